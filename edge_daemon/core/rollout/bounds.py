"""What the station allows of a plan, whoever wrote it: of two limits the narrower one counts."""

from __future__ import annotations

from dataclasses import replace

from edge_daemon.core.rollout.values import Bounds, Mode, Plan, SliceRule, Stage


def bounded(plan: Plan, bounds: Bounds) -> Plan:
    """The plan within what the station allows: of two limits the narrower one counts.

    A webhook is kept only where the station names the same address, with the station's token: a
    plan comes from a request or a bundle, and must not choose which file is sent where.
    """
    stages = tuple(
        _bounded_stage(stage, bounds) for stage in plan.stages if bounds.full or not _full(stage)
    )
    at_most_h = plan.at_most_h if bounds.at_most_h is None else bounds.at_most_h
    allowed = {webhook.url: webhook for webhook in bounds.notify}
    return replace(
        plan,
        stages=stages,
        alpha_advance=min(plan.alpha_advance, bounds.alpha_advance),
        margin=min(plan.margin, bounds.margin),
        false_reject_margin=min(plan.false_reject_margin, bounds.false_reject_margin),
        slices=_merged(plan.slices, bounds.slices),
        at_most_h=min(plan.at_most_h, at_most_h),
        on_inconclusive="stop" if bounds.on_inconclusive == "stop" else plan.on_inconclusive,
        notify=tuple(allowed[webhook.url] for webhook in plan.notify if webhook.url in allowed),
    )


def _full(stage: Stage) -> bool:
    return stage.mode is Mode.FULL


def _bounded_stage(stage: Stage, bounds: Bounds) -> Stage:
    if stage.mode is Mode.FULL:
        return stage
    until = replace(
        stage.until,
        parts=max(stage.until.parts, bounds.parts),
        minutes=max(stage.until.minutes, bounds.minutes),
    )
    if stage.mode is not Mode.SHARE:
        return replace(stage, until=until)
    share = min(stage.share, bounds.share)
    return replace(
        stage, share=share, either=stage.either or share < bounds.either_below, until=until
    )


def _merged(slices: tuple[SliceRule, ...], station: tuple[SliceRule, ...]) -> tuple[SliceRule, ...]:
    """The station's slices as they stand there, stricter where the plan is; then the plan's."""
    own = {rule.name: rule for rule in slices}
    merged = [_stricter(rule, own.pop(rule.name, None)) for rule in station]
    return (*merged, *own.values())


def _stricter(rule: SliceRule, other: SliceRule | None) -> SliceRule:
    if other is None:
        return rule
    margins = [margin for margin in (rule.margin, other.margin) if margin is not None]
    return replace(
        rule,
        critical=rule.critical or other.critical,
        min_defects=max(rule.min_defects, other.min_defects),
        margin=min(margins, default=None),
    )
