"""What a rollout does next: one decision from the plan and the evidence.

In this order, so that nothing that asks or waits delays a stop:

    stop     the labels show that the candidate is worse
    hold     a doubt that labels or people must resolve, or a person holds the rollout
    advance  the stage has all that it needs
    hold     the time is up (or stop, where the plan says so)
    wait     something is missing, and it is said what

Evidence without labels holds and asks, and never stops. A lack of evidence never advances.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edge_daemon.core.events import Decision
from edge_daemon.core.rollout.margins import leads_to_full, margin_of, stage_margin
from edge_daemon.core.rollout.plan import OVERALL
from edge_daemon.core.rollout.reading import Reading, Side, SliceReading
from edge_daemon.core.rollout.values import Mode, Outcome, Plan, Truth

MIN_COVERAGE = 0.8
"""Of the parts that both models were to judge, in all parts and in each critical slice."""
ENOUGH_DRAWN = 200
"""Parts that both were to judge, before a low coverage is a doubt and not an accident."""


@dataclass(frozen=True)
class Situation:
    """Where the rollout stands, beside its evidence.

    `stage`: index in the plan. `parts`, `minutes` (of a running line), `compared` (pairs of
    blocks): since the stage began. `discarded`: blocks that came to nothing, and why. `hours`:
    since the rollout began. `held`: a person holds the rollout.
    """

    stage: int
    parts: int = 0
    minutes: float = 0.0
    compared: int = 0
    discarded: str = ""
    hours: float = 0.0
    held: bool = False


@dataclass(frozen=True)
class RuleResult:
    """What comes next, and why. `missing`: what the stage needs, where it goes on."""

    decision: Decision
    why: str
    missing: tuple[str, ...] = ()


def decide(plan: Plan, situation: Situation, reading: Reading) -> RuleResult:
    """What the rollout does next. `reading`: of this plan at `stage_margin` of this stage."""
    worse = _worse(plan, reading)
    if worse is not None:
        return RuleResult(Decision.STOP, worse)
    if plan.stages[situation.stage].mode is Mode.FULL:
        return RuleResult(Decision.WAIT, "The candidate is the active model now.")
    doubt = next(_doubts(plan, situation, reading), None)
    missing = tuple(_missing(plan, situation, reading))
    if doubt is None and not missing:
        return RuleResult(Decision.ADVANCE, _enough(plan, situation, reading))
    if situation.hours >= plan.at_most_h:
        why = f"After {plan.at_most_h:g} h the rollout has no result. {doubt or _sentence(missing)}"
        stops = plan.on_inconclusive == "stop"
        return RuleResult(Decision.STOP if stops else Decision.HOLD, why)
    if doubt is not None:
        return RuleResult(Decision.HOLD, doubt)
    return RuleResult(Decision.WAIT, _sentence(missing), missing)


# --------------------------------------------------------------------------- stop


def _worse(plan: Plan, reading: Reading) -> str | None:
    """In what the candidate is worse by the labels, if it is."""
    if not {Truth.VERIFIED, Truth.AUDIT} & set(plan.truth):
        return None
    for one in reading.slices:
        if one.missed.is_proven:
            side = one.missed
            return (
                f"The candidate misses {side.plus} bad parts that the incumbent rejects, and "
                f"rejects {side.minus} that the incumbent misses{where(one.name)} {evidence(side)}."
            )
        if one.false_rejects.is_proven:
            side = one.false_rejects
            return (
                f"The candidate rejects {side.plus} good parts that the incumbent passes, and "
                f"passes {side.minus} that the incumbent rejects{where(one.name)} {evidence(side)}."
            )
    return None


# --------------------------------------------------------------------------- hold


def _doubts(plan: Plan, situation: Situation, reading: Reading) -> Iterator[str]:
    if reading.misassigned:
        yield (
            f"{reading.misassigned} parts were judged by another arm than their draw says. "
            "Look at 'edge-daemon rollouts audit'."
        )
    if reading.log10_share >= reading.share_limit:
        yield (
            "The candidate's share of the parts is not the share of the plan "
            f"(evidence {power(reading.log10_share)}): parts are missing in one arm. "
            "No figure is to be trusted until it is known why."
        )
    for one in reading.slices:
        yield from _asking(one)
    critical = {OVERALL, *(rule.name for rule in plan.slices if rule.critical)}
    for one in reading.slices:
        yield from _too_slow(one) if one.name in critical else ()
    if situation.held:
        yield "A person holds the rollout."


def _too_slow(one: SliceReading) -> Iterator[str]:
    """It would wait for ever: what was missed stays missed, whatever the governor does."""
    drawn = one.parts + one.lost
    if one.coverage is None or one.coverage >= MIN_COVERAGE or drawn < ENOUGH_DRAWN:
        return
    yield (
        f"Only {one.coverage:.0%} of the {drawn} drawn parts could be compared{where(one.name)}, "
        f"{MIN_COVERAGE:.0%} are needed: the candidate is too slow for the gaps of this line, and "
        "would never advance. Make it faster, or abort the rollout."
    )


def _asking(one: SliceReading) -> Iterator[str]:
    """Evidence that waits for labels: it asks, and condemns nobody."""
    for side, kind, what in (
        (one.missed, Outcome.ONLY_CANDIDATE, "misses more bad parts"),
        (one.false_rejects, Outcome.ONLY_INCUMBENT, "rejects more good parts"),
    ):
        if side.log10_e >= side.limit and not side.sure:
            yield (
                f"By the labels the candidate {what}{where(one.name)}, but they are one-sided: "
                f"{_wanted(one.unlabelled[kind], kind)}."
            )
    for side, kind, what in (
        (one.missed, Outcome.ONLY_INCUMBENT, "rejects less"),
        (one.false_rejects, Outcome.ONLY_CANDIDATE, "rejects more"),
    ):
        if side.log10_reference >= side.limit and one.unlabelled[kind]:
            yield (
                f"The candidate {what} than the incumbent{where(one.name)}, and without labels "
                f"nobody knows which of them is right: {_wanted(one.unlabelled[kind], kind)}."
            )


# --------------------------------------------------------------------------- advance, wait


def _enough(plan: Plan, situation: Situation, reading: Reading) -> str:
    """What the stage is over by."""
    if plan.stages[situation.stage].mode is Mode.COMPARE:
        return f"{situation.compared} pairs of blocks were measured."
    bound = reading.overall.missed.bound
    known = f"at most {_points(bound)} of recall are lost"
    if bound < 0.0:
        known = f"at least {_points(-bound)} of recall are gained"
    return (
        f"{situation.parts} parts in {_time(situation.minutes)}: {known}, "
        f"{_points(stage_margin(plan, situation.stage))} may be lost."
    )


def _missing(plan: Plan, situation: Situation, reading: Reading) -> Iterator[str]:
    """All that the stage still needs; nothing is left out, so that people see the whole."""
    stage = plan.stages[situation.stage]
    is_compared = stage.mode is Mode.COMPARE  # then no part is judged by both
    if situation.parts < stage.until.parts and not is_compared:
        yield f"{situation.parts} of {stage.until.parts} parts were judged by both"
    if situation.minutes < stage.until.minutes:
        yield f"{situation.minutes:.0f} of {stage.until.minutes:g} minutes of a running line"
    if is_compared:
        if situation.compared < stage.pairs:
            lost = f" (discarded: {situation.discarded})" if situation.discarded else ""
            yield f"{situation.compared} of {stage.pairs} pairs of blocks were measured{lost}"
        if not leads_to_full(plan, situation.stage):
            return
    margin = stage_margin(plan, situation.stage)
    yield from _missing_of(reading.overall, margin, plan.false_reject_margin)
    for rule in plan.slices:
        one = reading.by_name.get(rule.name)
        if one is None:
            yield f"{rule.name}: no part of it was seen"
            continue
        if one.defects < rule.min_defects:
            yield f"{rule.name}: {one.defects} of {rule.min_defects} bad parts were seen"
        if rule.critical:
            own = margin_of(plan, situation.stage, rule.name)
            yield from _missing_of(one, own, plan.false_reject_margin)


def _missing_of(one: SliceReading, margin: float, rejects_margin: float) -> Iterator[str]:
    name = "" if one.name == OVERALL else f"{one.name}: "
    if one.coverage is None:
        yield f"{name}no part was judged by both"
    elif one.coverage < MIN_COVERAGE:
        yield (
            f"{name}both judged {one.coverage:.0%} of the parts that they were to judge; "
            f"{MIN_COVERAGE:.0%} are needed"
        )
    if not one.missed.bound < margin:
        wanted = _also(one, Outcome.ONLY_INCUMBENT)
        yield (
            f"{name}up to {_points(one.missed.bound)} of recall may be lost by {one.defects} bad "
            f"parts, {_points(margin)} are allowed{wanted}"
        )
    if not one.false_rejects.bound < rejects_margin:
        wanted = _also(one, Outcome.ONLY_CANDIDATE)
        yield (
            f"{name}up to {_points(one.false_rejects.bound)} more of the good parts may be "
            f"rejected, {_points(rejects_margin)} are allowed{wanted}"
        )


# --------------------------------------------------------------------------- words


def _sentence(missing: tuple[str, ...]) -> str:
    text = "; ".join(missing)
    return text[:1].upper() + text[1:] + "."


def _also(one: SliceReading, kind: Outcome) -> str:
    return f" ({_wanted(one.unlabelled[kind], kind)})" if one.unlabelled[kind] else ""


def _wanted(parts: int, kind: Outcome) -> str:
    who = "incumbent" if kind is Outcome.ONLY_INCUMBENT else "candidate"
    if parts == 1:
        return f"1 part that only the {who} rejects has no label"
    return f"{parts} parts that only the {who} rejects have no label"


def where(name: str) -> str:
    """A slice in a sentence; all parts need no word."""
    return "" if name == OVERALL else f" in {name}"


def _points(share: float) -> str:
    return f"{100 * share:.1f} points"


def _time(minutes: float) -> str:
    return f"{minutes:.0f} minutes" if minutes >= 2.0 else f"{60 * minutes:.0f} s"


def evidence(side: Side) -> str:
    """With its limit, in a sentence."""
    return f"(evidence {power(side.log10_e)}, limit {power(side.limit)})"


def power(log10: float) -> str:
    """Evidence as people read it."""
    return f"10^{log10:.1f}"
