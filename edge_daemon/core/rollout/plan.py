"""The plan of a rollout: read from a mapping of plain values, and written back as one.

The same block stands in a request, in a file and in a signed model.yaml. All that it may hold:

    unit: {by: part}                         # part, span or order
    truth: [verified, reference]
    alpha: {stop: 0.001, advance: 0.01}
    margin: 0.03                             # recall that may be lost
    false_reject_margin: 0.02
    slices: {low_light: {brightness_below: 60, critical: true, min_defects: 30}}
    stages:
      - {shadow: 1.0, until: {parts: 500, minutes: 30, margin: 0.2}}
      - {share: 0.1, either: reject, until: {parts: 500, minutes: 60, margin: 0.1}}
      - {compare: {rotate_s: 60, burn_in_s: 5, pairs: 20}}
      - {full: true, shadow_back_h: 24, on_alarm: ask}       # or rollback
    at_most_h: 72
    on_inconclusive: hold                    # or stop
    notify: [{webhook: "https://…", token_file: …}]

Two short forms stand for `stages`: `canary_traffic: 0.1` (shadow, this share, then full) and
`shadow_only: true`. A plan that is empty is `canary_traffic: 0.1`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from edge_daemon.core.rollout.plan_table import Table, complaint
from edge_daemon.core.rollout.values import (
    Mode,
    Plan,
    SliceRule,
    Stage,
    Truth,
    UnitKind,
    Until,
    Webhook,
)

OVERALL = "all"
"""The name of all parts together, which no slice may have."""
USUAL_SHARE = 0.1
EITHER_BELOW = 0.5
"""Below this share the stricter verdict counts, unless the stage says otherwise."""

MAX_STAGES = 16
MOST_BLOCK_PAIRS = 100
"""Each stands in the journal; the interval of more is hardly narrower."""
MAX_SLICES = 16
MAX_WEBHOOKS = 8
MAX_PRODUCTS = 64

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
_LEAST = 1e-6  # of what must be more than nothing
_WEEK_MINUTES = 7 * 24 * 60
_YEAR_H = 366 * 24
_AREA = 1e9

_SHADOW_UNTIL = Until(parts=500, minutes=30.0, margin=0.2)
_SHARE_UNTIL = Until(parts=500, minutes=60.0, margin=0.1)


def recorded_plan(mapping: Mapping[str, Any]) -> Plan:
    """A plan as the journal has it: also that of a look back, which nobody can ask for.

    Raises PlanError(invalid_plan).
    """
    stages = mapping.get("stages")
    first = stages[0] if isinstance(stages, list) and stages else None
    if not isinstance(first, Mapping) or not {"shadow", "shadow_back_h"} <= set(first):
        return read_plan(mapping)
    given = {"shadow_back_h": first["shadow_back_h"], "on_alarm": first.get("on_alarm")}
    looks_on = {key: value for key, value in first.items() if key not in given}
    plan = read_plan({**mapping, "stages": [looks_on]})
    back_h, on_alarm = float(given["shadow_back_h"]), given["on_alarm"] or Stage.on_alarm
    stage = replace(plan.stages[0], shadow_back_h=back_h, on_alarm=on_alarm)
    return replace(plan, stages=(stage,))


def read_plan(mapping: object) -> Plan:
    """The plan that a mapping of plain values holds; one that holds only `rollout` is opened.

    Raises PlanError(invalid_plan), whatever the values are.
    """
    top = Table(mapping, "rollout")
    if isinstance(mapping, Mapping) and set(mapping) == {"rollout"}:
        top = top.table("rollout")
        top.place = "rollout"
    top.refuse_unknown(*_TOP, "canary_traffic", "shadow_only")
    top.table("unit").refuse_unknown("by")
    alpha = top.table("alpha")
    alpha.refuse_unknown("stop", "advance")
    return Plan(
        stages=_stages(top),
        unit=UnitKind(top.table("unit").word("by", [kind.value for kind in UnitKind], "part")),
        truth=_truth(top),
        alpha_stop=alpha.number("stop", 1e-9, 0.1, Plan.alpha_stop),
        alpha_advance=alpha.number("advance", 1e-9, 0.2, Plan.alpha_advance),
        margin=top.number("margin", 0.001, 1.0, Plan.margin),
        false_reject_margin=top.number("false_reject_margin", 0.001, 1.0, Plan.false_reject_margin),
        slices=read_slices(top.table("slices")),
        at_most_h=top.number("at_most_h", 0.01, _YEAR_H, Plan.at_most_h),
        on_inconclusive=top.word("on_inconclusive", ("hold", "stop"), Plan.on_inconclusive),
        notify=_notify(top),
    )


_TOP = (
    *("unit", "truth", "alpha", "margin", "false_reject_margin", "slices", "stages"),
    *("at_most_h", "on_inconclusive", "notify"),
)


# --------------------------------------------------------------------------- stages


def _stages(top: Table) -> tuple[Stage, ...]:
    given = [key for key in ("stages", "canary_traffic", "shadow_only") if key in top]
    if len(given) > 1:
        raise top.wrong(given[1], f"says what {given[0]} says too; leave one of them out")
    shadow = Stage(Mode.SHADOW, 1.0, until=_SHADOW_UNTIL)
    if given == ["shadow_only"] and top.flag("shadow_only", True):
        return (shadow,)
    if given != ["stages"]:
        share = top.number("canary_traffic", _LEAST, 1.0, USUAL_SHARE)
        middle = Stage(Mode.SHARE, share, share < EITHER_BELOW, _SHARE_UNTIL)
        return (shadow, middle, Stage(Mode.FULL))
    stages = tuple(_stage(Table(value, place)) for value, place in top.items("stages", MAX_STAGES))
    _check_order(stages, top.at("stages"))
    return stages


def _check_order(stages: tuple[Stage, ...], place: str) -> None:
    """The share never falls, and nothing becomes active before it was compared."""
    if not any(stage.mode in (Mode.SHADOW, Mode.SHARE) for stage in stages):
        raise complaint(
            place, "must have a shadow or a share stage: without it there is no evidence"
        )
    reached = 0.0
    for index, stage in enumerate(stages):
        here = f"{place}[{index}]"
        if stage.mode is Mode.FULL and index != len(stages) - 1:
            raise complaint(here, "is full, and stages follow it; full must be the last one")
        share = stage.share if stage.mode is Mode.SHARE else 0.0
        if stage.mode in (Mode.SHADOW, Mode.SHARE) and share < reached:
            raise complaint(
                here, f"has a share of {share:g} after one of {reached:g}; shares must not fall"
            )
        reached = max(reached, share)


def _stage(table: Table) -> Stage:
    modes = [mode for mode in Mode if mode.value in table]
    if len(modes) != 1:
        raise complaint(
            table.place, f"must have exactly one of {', '.join(mode.value for mode in Mode)}"
        )
    if modes[0] is Mode.COMPARE:
        return _compare(table)
    if modes[0] is Mode.FULL:
        table.refuse_unknown("full", "shadow_back_h", "on_alarm")
        if not table.flag("full", True):
            raise table.wrong("full", "must be true")
        back_h = table.number("shadow_back_h", 0.0, 720.0, 0.0)
        on_alarm = table.word("on_alarm", ("ask", "rollback"), Stage.on_alarm)
        if on_alarm != Stage.on_alarm and not back_h:
            raise table.wrong("on_alarm", "needs shadow_back_h: without it nobody raises an alarm")
        return Stage(Mode.FULL, shadow_back_h=back_h, on_alarm=on_alarm)
    if modes[0] is Mode.SHADOW:
        table.refuse_unknown("shadow", "until")
        return Stage(
            Mode.SHADOW,
            table.number("shadow", _LEAST, 1.0, 1.0),
            until=_until(table.table("until")),
        )
    table.refuse_unknown("share", "either", "until")
    share = table.number("share", _LEAST, 1.0, USUAL_SHARE)
    usual = "reject" if share < EITHER_BELOW else "none"
    either = table.word("either", ("reject", "none"), usual) == "reject"
    return Stage(Mode.SHARE, share, either, _until(table.table("until")))


def _compare(table: Table) -> Stage:
    table.refuse_unknown("compare", "until")
    inner = table.table("compare")
    inner.refuse_unknown("rotate_s", "burn_in_s", "pairs")
    rotate_s = inner.number("rotate_s", 1.0, 86400.0, Stage.rotate_s)
    burn_in_s = inner.number("burn_in_s", 0.0, 86400.0, min(Stage.burn_in_s, rotate_s / 2))
    if burn_in_s >= rotate_s:
        raise inner.wrong("burn_in_s", f"must be shorter than rotate_s ({rotate_s:g})")
    return Stage(
        Mode.COMPARE,
        until=_until(table.table("until")),
        rotate_s=rotate_s,
        burn_in_s=burn_in_s,
        pairs=inner.whole("pairs", 2, MOST_BLOCK_PAIRS, Stage.pairs),
    )


def _until(table: Table) -> Until:
    table.refuse_unknown("parts", "minutes", "margin")
    return Until(
        table.whole("parts", 0, 10**7, 0),
        table.number("minutes", 0.0, _WEEK_MINUTES, 0.0),
        table.maybe("margin", 0.001, 1.0),
    )


# --------------------------------------------------------------------------- the rest


def _truth(top: Table) -> tuple[Truth, ...]:
    names = top.texts("truth", len(Truth))
    for name in names:
        if name not in [truth.value for truth in Truth]:
            known = ", ".join(truth.value for truth in Truth)
            raise top.wrong("truth", f"has {name[:40]!r}; known are {known}")
    if "truth" in top and not names:
        raise top.wrong("truth", "must name at least one source of truth")
    return tuple(Truth(name) for name in names) or Plan.truth


def read_slices(table: Table) -> tuple[SliceRule, ...]:
    """The named slices of a plan or of the station's settings."""
    names = tuple(table.names())
    if len(names) > MAX_SLICES:
        raise complaint(table.place, f"has {len(names)} slices; at most {MAX_SLICES} are allowed")
    return tuple(_slice(name, table) for name in names)


def _slice(name: str, table: Table) -> SliceRule:
    if not _NAME.fullmatch(name) or name == OVERALL:
        raise table.wrong(name, "is no name for a slice: use letters, digits, '_', '.' and '-'")
    inner = table.table(name)
    inner.refuse_unknown(*_CONDITIONS, "critical", "min_defects", "margin")
    if not any(key in inner for key in _CONDITIONS):
        raise table.wrong(name, f"must say which parts it has: {', '.join(_CONDITIONS)}")
    rule = SliceRule(
        name,
        brightness_below=inner.maybe("brightness_below", 0.0, 256.0),
        brightness_above=inner.maybe("brightness_above", 0.0, 256.0),
        box_area_below=inner.maybe("box_area_below", 0.0, _AREA),
        box_area_above=inner.maybe("box_area_above", 0.0, _AREA),
        products=inner.texts("products", MAX_PRODUCTS),
        hours=_hours(inner),
        critical=inner.flag("critical", False),
        min_defects=inner.whole("min_defects", 0, 10**6, 0),
        margin=inner.maybe("margin", 0.001, 1.0),
    )
    for what in ("brightness", "box_area"):
        below, above = getattr(rule, f"{what}_below"), getattr(rule, f"{what}_above")
        if below is not None and above is not None and above >= below:
            raise inner.wrong(f"{what}_above", f"must be less than {what}_below ({below:g})")
    return rule


_CONDITIONS = (
    *("brightness_below", "brightness_above", "box_area_below", "box_area_above"),
    *("products", "hours"),
)


def _hours(table: Table) -> tuple[int, int] | None:
    if "hours" not in table:
        return None
    values = [value for value, _ in table.items("hours", 2)]
    is_hours = len(values) == 2 and all(
        isinstance(hour, int) and not isinstance(hour, bool) and 0 <= hour <= 24 for hour in values
    )
    if not is_hours or values[0] == values[1]:
        raise table.wrong("hours", "must be two different full hours from 0 to 24, such as [22, 6]")
    return values[0], values[1]


def _notify(top: Table) -> tuple[Webhook, ...]:
    found = []
    for value, place in top.items("notify", MAX_WEBHOOKS):
        table = Table(value, place)
        table.refuse_unknown("webhook", "token_file")
        url = table.text("webhook")
        if url is None or not _is_address(url):
            raise table.wrong("webhook", "must be an address that begins with https:// or http://")
        found.append(Webhook(url, table.text("token_file")))
    return tuple(found)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


# --------------------------------------------------------------------------- written back


def as_mapping(plan: Plan) -> dict[str, Any]:
    """The plan as plain values, each said: `read_plan` makes the same plan of it."""
    return {
        "unit": {"by": plan.unit.value},
        "truth": [truth.value for truth in plan.truth],
        "alpha": {"stop": plan.alpha_stop, "advance": plan.alpha_advance},
        "margin": plan.margin,
        "false_reject_margin": plan.false_reject_margin,
        "slices": {rule.name: _slice_mapping(rule) for rule in plan.slices},
        "stages": [_stage_mapping(stage) for stage in plan.stages],
        "at_most_h": plan.at_most_h,
        "on_inconclusive": plan.on_inconclusive,
        "notify": [
            _said({"webhook": hook.url, "token_file": hook.token_file}) for hook in plan.notify
        ],
    }


def digest(plan: Plan) -> str:
    """SHA-256 of the plan as JSON with sorted keys, in hexadecimal digits."""
    text = json.dumps(as_mapping(plan), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _slice_mapping(rule: SliceRule) -> dict[str, Any]:
    return _said(
        {
            "brightness_below": rule.brightness_below,
            "brightness_above": rule.brightness_above,
            "box_area_below": rule.box_area_below,
            "box_area_above": rule.box_area_above,
            "products": list(rule.products) or None,
            "hours": None if rule.hours is None else list(rule.hours),
            "critical": rule.critical,
            "min_defects": rule.min_defects,
            "margin": rule.margin,
        }
    )


def _stage_mapping(stage: Stage) -> dict[str, Any]:
    if stage.mode is Mode.FULL:
        return {"full": True, **_back_mapping(stage)}
    until = _said(
        {
            "parts": stage.until.parts,
            "minutes": stage.until.minutes,
            "margin": stage.until.margin,
        }
    )
    if stage.mode is Mode.SHADOW:
        back = _back_mapping(stage) if stage.is_back else {}
        return {"shadow": stage.share, "until": until, **back}
    if stage.mode is Mode.SHARE:
        return {
            "share": stage.share,
            "either": "reject" if stage.either else "none",
            "until": until,
        }
    rotation = {"rotate_s": stage.rotate_s, "burn_in_s": stage.burn_in_s, "pairs": stage.pairs}
    return {"compare": rotation, "until": until}


def _back_mapping(stage: Stage) -> dict[str, Any]:
    on_alarm = {} if stage.on_alarm == Stage.on_alarm else {"on_alarm": stage.on_alarm}
    return {"shadow_back_h": stage.shadow_back_h, **on_alarm}


def _said(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
