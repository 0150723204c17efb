"""Numbers of the active recipe that an operator moved, within the bounds that it was signed with.

They belong to one version: another one of the same name begins with its signed values, and so
does a version that is left and comes back. Another product's model in between changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from edge_daemon.core.events import RequestReceived
from edge_daemon.core.gate import Limits, failing_on_golden
from edge_daemon.core.golden import Golden
from edge_daemon.core.recipe import fault_of_tuning, tunable, tuned
from edge_daemon.core.state import Durable, State, Tuning
from edge_daemon.core.values import Instant, Recipe, Refusal, StoredBundle
from edge_daemon.errors import Code


def of(durable: Durable, known: StoredBundle | None) -> Tuning | None:
    """How a version is tuned; None where its signed values count."""
    return next((each for each in durable.tunings if each.target == known), None)


def recipe_of(durable: Durable, known: StoredBundle, signed: Recipe) -> Recipe:
    """What judges: the signed recipe with its tuning."""
    tuning = of(durable, known)
    return signed if tuning is None else tuned(signed, dict(tuning.changes))


def asked(state: State, event: RequestReceived, now: Instant) -> Tuning | Refusal:
    """How the active version would be tuned; without `changes` where nothing of it would be."""
    request, signed = event.request, event.recipe
    active, choice = state.active_bundle, request.model
    is_meant = active is not None and choice is not None and choice.name == active.ref.name
    if active is None or not is_meant or str(choice) not in (active.ref.name, str(active.ref)):
        return Refusal(
            Code.PRECONDITION_FAILED,
            f"{active.ref if active else 'Nothing'} is active, not {choice}.",
            "Only the model that judges can be tuned: read model/state and ask again.",
        )
    if signed is None:
        return Refusal(
            Code.PRECONDITION_FAILED,
            f"The recipe of {active.ref} cannot be read now.",
            "Ask again in a moment; edge-daemon models verify tells what is wrong with it.",
        )
    held = of(state.durable, active)
    before = dict(held.changes) if held is not None and not request.reset else {}
    wanted = {**before, **dict(request.changes)}
    if fault := fault_of_tuning(signed, dict(request.changes)) or fault_of_tuning(signed, wanted):
        hint = "Another value needs another version of the model, signed with it."
        return Refusal(Code.PRECONDITION_FAILED, fault, hint)
    if fault := fault_on_golden(signed, wanted, event.golden, event.limits):
        hint = "Choose values nearer to the signed ones: tune --preview tries them."
        return Refusal(Code.PRECONDITION_FAILED, fault, hint)
    usual = tunable(signed)
    moved = {name: value for name, value in wanted.items() if usual.get(name) != value}
    return Tuning(active, tuple(sorted(moved.items())), request.by, request.reason, now.utc)


def fault_on_golden(
    signed: Recipe, changes: Mapping[str, float], golden: Sequence[Golden], limits: Limits
) -> str:
    """Which check of the golden images would fail by these values and does not by the signed ones.

    As a sentence; empty for none, and where nothing was found on golden images since the start.
    """
    usual = {check.name for check in failing_on_golden(golden, signed, limits)}
    for check in failing_on_golden(golden, tuned(signed, changes), limits):
        if check.name not in usual:
            shown = f"{check.measured} where the limit is {check.limit}"
            return f"By these values {check.name} would fail on the golden images: {shown}."
    return ""


def put(durable: Durable, tuning: Tuning) -> Durable:
    """The same with this tuning of its version."""
    others = tuple(each for each in durable.tunings if each.target != tuning.target)
    return replace(durable, tunings=(*others, tuning) if tuning.changes else others)


def kept(durable: Durable, active: StoredBundle) -> Durable:
    """The same once `active` judges: other versions of its name begin anew."""
    tunings = tuple(
        each
        for each in durable.tunings
        if each.target == active or each.target.ref.name != active.ref.name
    )
    return durable if tunings == durable.tunings else replace(durable, tunings=tunings)


def told(before: Mapping[str, float], after: Tuning, signed: Recipe) -> str:
    """In words: what was moved from where to where, by whom and why."""
    usual, now = tunable(signed), dict(after.changes)
    moves = []
    for name in sorted({*before, *now}):
        was = before.get(name, usual.get(name))
        value = now.get(name, usual.get(name))
        if was != value:
            moves.append(f"{name} from {_number(was)} to {_number(value)}")
    by = f" by {after.by}" if after.by else ""
    why = f": {after.reason}" if after.reason else ""
    return f"{', '.join(moves)}{by}{why}"


def _number(value: float | None) -> str:
    return "no bound" if value is None else f"{value:g}"
