"""The report of a rollout: what is known, with n and interval, and what it recommends.

Plain values only. A figure that was not measured is None; it is never put as 0.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_daemon.core.events import Decision
from edge_daemon.core.rollout.blocks import Block, Compared, compared
from edge_daemon.core.rollout.evidence import Table
from edge_daemon.core.rollout.intervals import Interval, share
from edge_daemon.core.rollout.margins import margin_of
from edge_daemon.core.rollout.plan import OVERALL
from edge_daemon.core.rollout.progress import Progress
from edge_daemon.core.rollout.reading import Reading, Side, SliceReading
from edge_daemon.core.rollout.rule import power
from edge_daemon.core.rollout.values import Mode, Outcome

VERSION = 1
COMPLETED = "rollout_completed"
STOPPED = "rollout_stopped"

NOT_ALIKE = (
    "The two models did not look at the same share of the frames, so their power and temperature "
    "cannot be compared."
)


@dataclass(frozen=True)
class Costs:
    """What one wrong verdict costs, in the plant's own currency."""

    missed: float
    false_reject: float
    currency: str = ""


@dataclass(frozen=True)
class Ending:
    """How the rollout ended: its last event, why, and whether the evidence of it stopped it."""

    how: str = ""
    why: str = ""
    was_aborted: bool = False


def made(
    rollout: str, progress: Progress, ending: Ending, now_utc: float, costs: Costs | None
) -> dict[str, Any]:
    """All that is computed of the evidence, as plain values."""
    reading = progress.reading()
    said = progress.said
    if not ending.how:
        said = progress.decide(reading, now_utc, held=False)
    whole = progress.evidence.slices[OVERALL].whole()
    return {
        "report": VERSION,
        "parts": reading.overall.parts,
        "recommendation": _recommendation(progress, reading, ending, said.decision, said.why),
        "would_change": _would_change(progress, reading, ending, said.missing),
        "table": _table(reading.overall),
        "slices": [_slice(one, progress) for one in reading.slices],
        "labels": {"have": reading.overall.labels, "missing": reading.overall.missing},
        "verified": {arm: _verified(whole, kind) for arm, kind in _OWN.items()},
        "compare": _compare(rollout, progress),
        "cost_per_1000_parts": _cost(whole, reading.overall.parts, costs),
    }


_OWN = {"incumbent": Outcome.ONLY_INCUMBENT, "candidate": Outcome.ONLY_CANDIDATE}


def digest(report: Mapping[str, Any]) -> str:
    """SHA-256 of the report as JSON with sorted keys, without its own digest."""
    plain = {key: value for key, value in report.items() if key != "sha256"}
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


# --------------------------------------------------------------------------- what is recommended


def _recommendation(
    progress: Progress, reading: Reading, ending: Ending, decision: Decision, why: str
) -> dict[str, str]:
    if ending.how == COMPLETED:
        is_full = progress.plan.stages[-1].mode is Mode.FULL
        return {"do": "keep" if is_full else "decide", "why": ending.why}
    if ending.how:
        do = "decide" if ending.was_aborted else "do not use"
        return {"do": do, "why": ending.why}
    if not reading.overall.parts and not any(progress.blocks.values()):
        return {"do": "wait", "why": "Nothing was measured yet: no part was judged by both models."}
    words = {
        Decision.ADVANCE: "advance",
        Decision.STOP: "do not use",
        Decision.HOLD: "look",
        Decision.WAIT: "wait",
    }
    return {"do": words[decision], "why": why}


def _would_change(
    progress: Progress, reading: Reading, ending: Ending, missing: tuple[str, ...]
) -> list[str]:
    """What would have to be known for another recommendation."""
    missing_labels = reading.overall.missing
    wanted = f"true verdicts of parts on which the models disagree: {missing_labels} have none"
    disagreed = [wanted] if missing_labels else []
    if ending.how:
        return [*disagreed, "the rollout is over: labels that come now do not change how it ended"]
    found = [*missing, *disagreed]
    for one in reading.slices:
        for side, what in ((one.missed, "missed defects"), (one.false_rejects, "false rejects")):
            found.append(_distance(one, side, what))
    if progress.plan.stages[progress.stage].mode is Mode.FULL:
        found.append("the trial of the candidate, which is the active model now")
    return found


def _distance(one: SliceReading, side: Side, what: str) -> str:
    name = "all parts" if one.name == OVERALL else one.name
    now, limit = power(side.log10_e), power(side.limit)
    if side.log10_e >= side.limit:
        return f"{name}: labels that lower the evidence for more {what} from {now} to below {limit}"
    return f"{name}: labels that raise the evidence for more {what} from {now} to {limit} stop it"


# --------------------------------------------------------------------------- figures


def _plain(interval: Interval | None) -> dict[str, float] | None:
    if interval is None:
        return None
    low, high = round(interval.low, 6), round(interval.high, 6)
    return {"value": round(interval.value, 6), "low": low, "high": high, "n": interval.n}


def _table(one: SliceReading) -> dict[str, Any]:
    return {
        outcome.value: {"parts": count, "share": _plain(share(count, one.parts))}
        for outcome, count in one.table.items()
    }


def _slice(one: SliceReading, progress: Progress) -> dict[str, Any]:
    margin = margin_of(progress.plan, progress.stage, one.name)
    coverage = share(one.parts, one.parts + one.lost)
    return {
        "name": one.name,
        "parts": one.parts,
        "table": {outcome.value: count for outcome, count in one.table.items()},
        "labels": one.labels,
        "coverage": _plain(coverage),
        "missed": _side(one.missed, margin, progress),
        "false_rejects": _side(one.false_rejects, progress.plan.false_reject_margin, progress),
    }


def _side(side: Side, allowed: float, progress: Progress) -> dict[str, Any]:
    """`bound`: at most so much is lost, one-sided; None without a part. `by_label`: the share of
    labelled disagreements that speak against the candidate.
    """
    return {
        "bound": round(side.bound, 6) if side.units else None,
        "allowed": allowed,
        "level": 1.0 - progress.plan.alpha_advance,
        "n": side.units,
        "against": side.plus,
        "for": side.minus,
        "by_label": _plain(share(side.plus, side.plus + side.minus)),
        "evidence_log10": round(side.log10_e, 3),
        "limit_log10": round(side.limit, 3),
    }


def _verified(whole: Table, own: Outcome) -> dict[str, Any]:
    """On parts with a true verdict alone; bad parts that nobody looked at are not in it."""
    rejected = (Outcome.BOTH, own)
    found = sum(whole.ng(outcome) for outcome in rejected)
    good = sum(whole.ok(outcome) for outcome in rejected)
    bad = sum(whole.ng(outcome) for outcome in Outcome)
    return {
        "precision": _plain(share(found, found + good)),
        "recall": _plain(share(found, bad)),
    }


def _cost(whole: Table, parts: int, costs: Costs | None) -> dict[str, Any] | None:
    """Of the wrong verdicts that are known, for each 1,000 parts; None without costs or parts."""
    if costs is None or not parts:
        return None
    arms: dict[str, Any] = {}
    for arm, own in _OWN.items():
        rejected = (Outcome.BOTH, own)
        passed = [outcome for outcome in Outcome if outcome not in rejected]
        missed = share(sum(whole.ng(outcome) for outcome in passed), parts)
        wrong = share(sum(whole.ok(outcome) for outcome in rejected), parts)
        assert missed is not None
        assert wrong is not None
        arms[arm] = {
            key: round(
                1e3
                * (costs.missed * getattr(missed, key) + costs.false_reject * getattr(wrong, key)),
                4,
            )
            for key in ("value", "low", "high")
        } | {"n": parts}
    unlabelled = sum(
        whole.unknown(outcome) for outcome in (Outcome.ONLY_INCUMBENT, Outcome.ONLY_CANDIDATE)
    )
    return {
        **arms,
        "missed": costs.missed,
        "false_reject": costs.false_reject,
        "currency": costs.currency,
        "unlabelled": unlabelled,
    }


# --------------------------------------------------------------------------- blocks


def _compare(rollout: str, progress: Progress) -> list[dict[str, Any]]:
    """Each compare stage of the plan, whether it ran or not."""
    return [
        _stage(rollout, stage, progress.plan.stages[stage].pairs, progress)
        for stage, each in enumerate(progress.plan.stages)
        if each.mode is Mode.COMPARE
    ]


def _stage(rollout: str, stage: int, wanted: int, progress: Progress) -> dict[str, Any]:
    blocks: list[Block] = progress.blocks.get(stage, [])
    quantities = compared(rollout, blocks)
    looks = next(each for each in quantities if each.quantity == "looks_share").difference
    notes = []
    if looks is not None and looks.low is not None and looks.high is not None:
        notes = [NOT_ALIKE] if not looks.low <= 0.0 <= looks.high else []
    return {
        "stage": stage,
        "pairs": len(blocks) // 2,
        "wanted": wanted,
        "order": [block.arm.value for block in blocks],
        "discarded": dict(progress.discarded),
        "quantities": [_quantity(each) for each in _with_unmeasured(quantities)],
        "notes": notes,
    }


def _with_unmeasured(quantities: tuple[Compared, ...]) -> list[Compared]:
    """Power and temperature have a line each, also where the box has told neither."""
    found = list(quantities)
    for kind, unit in (("power", "W"), ("temperature", "°C")):
        if not any(each.quantity.startswith(kind) for each in found):
            found.append(Compared(kind, unit, None, None, (0, 0), None))
    return found


def _quantity(one: Compared) -> dict[str, Any]:
    difference = one.difference
    return {
        "quantity": one.quantity,
        "unit": one.unit,
        "incumbent": _rounded(one.incumbent),
        "candidate": _rounded(one.candidate),
        "blocks": list(one.blocks),
        "difference": None
        if difference is None
        else {
            "value": _rounded(difference.value),
            "low": _rounded(difference.low),
            "high": _rounded(difference.high),
            "n": difference.pairs,
        },
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")
