"""The decisions of a rollout once more, in words: `edge-daemon rollouts replay`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edge_daemon.control.rollout_rows import look_of
from edge_daemon.core.candidates import word
from edge_daemon.core.events import Decision
from edge_daemon.core.rollout.plan import recorded_plan
from edge_daemon.core.rollout.replay import Limits, Replayed, replay
from edge_daemon.core.rollout.values import Plan
from edge_daemon.errors import SenderError
from edge_daemon.messaging.times import iso_utc


def replayed(told: Mapping[str, Any], bodies: Sequence[bytes], limits: Limits) -> dict[str, Any]:
    """`decisions`: each that is another one than before it; `summary`: what it comes to.

    Raises SenderError where nothing of it was kept, or by another version of the rule.
    """
    if not bodies:
        raise SenderError(
            f"What the rule saw of {told['rollout']} is not on record.",
            hint="It is kept of rollouts since this version, the newest 20,000 looks.",
        )
    plan = limits.of(recorded_plan(told["plan"]))
    try:
        steps = list(replay(plan, [look_of(body) for body in bodies]))
    except ValueError as error:
        raise SenderError(
            f"{told['rollout']} cannot be decided once more: {error}.",
            hint="Use the version of edge-daemon that ran it.",
        ) from None
    is_same = all(step.is_same for step in steps) and len(steps) == len(bodies)
    return {
        "rollout": told["rollout"],
        "model": told["model"],
        "alpha": {"stop": plan.alpha_stop, "advance": plan.alpha_advance},
        "margin": plan.margin,
        "decisions": [_line(plan, step) for step in _changes(steps)],
        "looks": len(bodies),
        "is_same": is_same,
        "how": told["how"],
        "summary": _summary(plan, steps, told, is_same=is_same),
    }


def _changes(steps: Sequence[Replayed]) -> list[Replayed]:
    kept: list[Replayed] = []
    for step in steps:
        if not kept or (kept[-1].stage, kept[-1].decision) != (step.stage, step.decision):
            kept.append(step)
    return kept


def _line(plan: Plan, step: Replayed) -> dict[str, Any]:
    return {
        "time": iso_utc(step.utc),
        "stage": word(plan.stages[step.stage]),
        "decision": step.decision.value,
        "why": step.why,
        "recorded": step.recorded.value,
    }


def _summary(
    plan: Plan, steps: Sequence[Replayed], told: Mapping[str, Any], *, is_same: bool
) -> str:
    if is_same:
        return f"Each of the {len(steps)} decisions is the one on record ({told['how']})."
    last = steps[-1]
    when = iso_utc(last.utc)
    if last.decision is Decision.STOP:
        return f"It would have stopped at {when}, in the stage {word(plan.stages[last.stage])}."
    if last.decision is Decision.ADVANCE:
        then = plan.stages[last.stage + 1] if last.stage + 1 < len(plan.stages) else None
        goal = "its end" if then is None else word(then)
        return f"It would have gone on to {goal} at {when}."
    return (
        f"By the end of the record, at {when}, it would have been in the stage "
        f"{word(plan.stages[last.stage])}, undecided."
    )
