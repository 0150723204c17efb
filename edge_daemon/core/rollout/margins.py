"""How much recall may be lost at most for a stage of a plan to end, as a share."""

from __future__ import annotations

from edge_daemon.core.rollout.values import Mode, Plan


def stage_margin(plan: Plan, stage: int) -> float:
    """Of all parts.

    The last stage that gathers pairs before the candidate becomes active has the plan's own
    margin; the stage may ask for less, and not for more.
    """
    margin = plan.stages[stage].until.margin
    if margin is None:
        return plan.margin
    return min(margin, plan.margin) if leads_to_full(plan, stage) else margin


def margin_of(plan: Plan, stage: int, name: str) -> float:
    """Of one slice by its own margin, where it has one, but for an early stage that allows more.

    A name that the plan does not give stands for all parts.
    """
    margin = stage_margin(plan, stage)
    own = next((rule.margin for rule in plan.slices if rule.name == name), None)
    if own is None:
        return margin
    return own if leads_to_full(plan, stage) else max(margin, own)


def leads_to_full(plan: Plan, stage: int) -> bool:
    """Whether the candidate is active after this stage, but for comparing."""
    for later in plan.stages[stage + 1 :]:
        if later.mode is not Mode.COMPARE:
            return later.mode is Mode.FULL
    return False
