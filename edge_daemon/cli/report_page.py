"""The report of a rollout as one page that needs nothing beside it, and as a few lines of text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

NOT_MEASURED = "not measured"

_DO = {
    "advance": "Advance",
    "keep": "Keep the candidate",
    "wait": "Wait",
    "look": "Look at it",
    "decide": "A person decides",
    "do not use": "Do not use the candidate",
}
_ARMS = ("incumbent", "candidate")
_OUTCOMES = {
    "both": "both say ng",
    "neither": "both say ok",
    "only_incumbent": "only the incumbent says ng",
    "only_candidate": "only the candidate says ng",
}
_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #8886; }
td.n { font-variant-numeric: tabular-nums; }
.do { border-left: .4rem solid #2a6fbb; padding: .5rem 1rem; background: #8881; }
.do strong { font-size: 1.2rem; }
.none { opacity: .7; font-style: italic; }
.wide { overflow-x: auto; } .record td + td, code { overflow-wrap: anywhere; }
"""


def page(report: Mapping[str, Any]) -> str:
    """The whole page; its data stand in it once more, so that it can be verified."""
    data = json.dumps(report, sort_keys=True).replace("<", "\\u003c")
    title = f"Rollout {report['rollout']}: {report['model']}"
    done, end = report["recommendation"], report["ended"]
    body = [
        f"<h1>{escape(title)}</h1>",
        f"<p>Beside {escape(report['reference'])}, since {escape(report['began'])}; "
        f"{'it runs' if end is None else f'it ended {escape(end)}'}. "
        f"Made {escape(report['made'])}.</p>",
        f'<p class="do"><strong>{escape(_DO[done["do"]])}</strong><br>{escape(done["why"])}</p>',
        "<h2>What would change it</h2>",
        _list(report["would_change"]),
        _meaning(report["would_change"]),
        "<h2>Verdicts by part</h2>",
        _verdicts(report),
        "<h2>Slices</h2>",
        _slices(report),
        "<h2>On verified parts</h2>",
        _verified(report),
        "<h2>Compared in blocks of time</h2>",
        *_compare(report),
        "<h2>Cost of known wrong verdicts per 1,000 parts</h2>",
        _costs(report),
        "<h2>Record</h2>",
        _record(report),
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}'
        '</title><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body>\n" + "\n".join(body) + "\n"
        f'<script type="application/json" id="report">{data}</script>\n</body></html>\n'
    )


def summary(report: Mapping[str, Any]) -> str:
    """For a terminal."""
    done = report["recommendation"]
    lines = [
        f"{report['rollout']}: {report['model']} beside {report['reference']}",
        f"{_DO[done['do']]}. {done['why']}",
        f"{report['parts']} parts were judged by both; of those on which they disagree, "
        f"{report['labels']['have']} have a label and {report['labels']['missing']} have none",
    ]
    for stage in report["compare"]:
        lines.append(f"{stage['pairs']} of {stage['wanted']} pairs of blocks were measured")
        for each in stage["quantities"]:
            told = _difference(each)
            lines.append(f"  {_name(each)}: {told}")
    lines += [f"- {each}" for each in report["would_change"]]
    if _names_evidence(report["would_change"]):
        lines.append(EVIDENCE)
    return "\n".join(lines)


# --------------------------------------------------------------------------- its parts


EVIDENCE = (
    "Evidence of 10^3 for more missed defects or false rejects: of 1,000 candidates that are as"
    " good as the incumbent, at most one ever shows so much."
)


def _names_evidence(sentences: Sequence[str]) -> bool:
    return any("10^" in each for each in sentences)


def _meaning(sentences: Sequence[str]) -> str:
    """What the powers of ten say, where there are some."""
    return f"<p>{escape(EVIDENCE)}</p>" if _names_evidence(sentences) else ""


def _verdicts(report: Mapping[str, Any]) -> str:
    rows = [
        (words, str(report["table"][key]["parts"]), _share(report["table"][key]["share"]))
        for key, words in _OUTCOMES.items()
    ]
    have, missing = report["labels"]["have"], report["labels"]["missing"]
    told = (
        f"<p>{report['parts']} parts were judged by both. Of those on which they disagree, "
        f"{have} have a true verdict and {missing} have none.</p>"
    )
    return told + _table(("", "parts", "share, 95 % interval"), rows)


def _slices(report: Mapping[str, Any]) -> str:
    rows = [
        (
            one["name"],
            str(one["parts"]),
            _share(one["coverage"]),
            *(text for side in ("missed", "false_rejects") for text in _side(one[side])),
        )
        for one in report["slices"]
    ]
    heads = ("slice", "parts", "coverage", "recall lost at most", "against, by label")
    return _table((*heads, "more false rejects at most", "against, by label"), rows)


def _side(side: Mapping[str, Any]) -> tuple[str, str]:
    if side["bound"] is None:
        bound = NOT_MEASURED
    else:
        bound = (
            f"{_percent(side['bound'])} of {side['n']} (level {_percent(side['level'])}; "
            f"allowed {_percent(side['allowed'])})"
        )
    return bound, _share(side["by_label"])


def _verified(report: Mapping[str, Any]) -> str:
    rows = [
        (arm, _share(told["precision"]), _share(told["recall"]))
        for arm in _ARMS
        for told in (report["verified"][arm],)
    ]
    note = "<p>Recall is of the bad parts that somebody verified: what nobody saw is not in it.</p>"
    return note + _table(("", "precision", "recall"), rows)


def _compare(report: Mapping[str, Any]) -> Iterable[str]:
    if not report["compare"]:
        yield '<p class="none">The plan has no compare stage.</p>'
    for stage in report["compare"]:
        discarded = ", ".join(f"{why} {n} times" for why, n in sorted(stage["discarded"].items()))
        yield (
            f"<p>{stage['pairs']} of {stage['wanted']} pairs of blocks; discarded: "
            f"{escape(discarded or 'none')}. The line's own judging is in both blocks of a pair."
            "</p>"
        )
        rows = [
            (_name(each), _arm(each, "incumbent", 0), _arm(each, "candidate", 1), _difference(each))
            for each in stage["quantities"]
        ]
        heads = ("", "incumbent", "candidate", "candidate less incumbent, 95 % interval")
        yield _table(heads, rows)
        yield _list(stage["notes"])


def _arm(each: Mapping[str, Any], arm: str, place: int) -> str:
    if each[arm] is None:
        return NOT_MEASURED
    return f"{each[arm]:g} {each['unit']} ({each['blocks'][place]} blocks)"


def _difference(each: Mapping[str, Any]) -> str:
    found = each["difference"]
    if found is None:
        return NOT_MEASURED
    between = "too few pairs for an interval"
    if found["low"] is not None:
        between = f"{found['low']:+g} to {found['high']:+g}"
    return f"{found['value']:+g} {each['unit']} ({between}; {found['n']} pairs)"


def _name(each: Mapping[str, Any]) -> str:
    words = str(each["quantity"]).split("_")
    if words[-1] in ("ms", "fps", "mb", "w", "c") and len(words) > 1:
        words = words[:-1]
    return " ".join(words)


def _costs(report: Mapping[str, Any]) -> str:
    told = report["cost_per_1000_parts"]
    if told is None:
        return (
            f'<p class="none">{NOT_MEASURED}: the settings name no rollouts.costs, or no part.</p>'
        )
    money = told["currency"]
    rows = [
        (
            arm,
            f"{told[arm]['value']:g} {money}",
            f"{told[arm]['low']:g} to {told[arm]['high']:g}",
            str(told[arm]["n"]),
        )
        for arm in _ARMS
    ]
    note = (
        f"<p>{told['missed']:g} {escape(money)} for a missed defect, {told['false_reject']:g} "
        f"{escape(money)} for a false reject. {told['unlabelled']} disagreements without a true "
        "verdict are not in it.</p>"
    )
    return note + _table(("", "cost", "95 % interval", "parts"), rows)


def _record(report: Mapping[str, Any]) -> str:
    rows = [
        ("candidate, SHA-256", report["model_sha256"]),
        ("plan, SHA-256", report["plan_sha256"]),
        ("this report, SHA-256", report["sha256"]),
        ("audit trail before it", f"{report['audit']['seq']}:{report['audit']['hash']}"),
        *(
            (f"stage {one['stage'] + 1}", f"share {one['share']:g}, {one['time']}")
            for one in report["entered"]
        ),
    ]
    note = "<p>Check it with <code>edge-daemon rollouts report --verify FILE</code>.</p>"
    return f'{note}<div class="record">{_table(("", ""), rows)}</div>'


# --------------------------------------------------------------------------- pieces of the page


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(each)}</th>" for each in heads)
    body = "".join(f"<tr>{''.join(_cell(each) for each in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _cell(text: str) -> str:
    kind = "none" if text == NOT_MEASURED else "n"
    return f'<td class="{kind}">{escape(str(text))}</td>'


def _list(sentences: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(each)}</li>" for each in sentences) + "</ul>"


def _share(told: Mapping[str, Any] | None) -> str:
    if told is None:
        return NOT_MEASURED
    low, high = _percent(told["low"]), _percent(told["high"])
    return f"{_percent(told['value'])} ({low} to {high}; n {told['n']})"


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"
