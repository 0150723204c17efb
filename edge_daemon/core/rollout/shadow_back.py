"""After a rollout: the version before goes on beside the new one, and its verdicts never count.

Everything is counted as in a rollout, with the roles swapped: what was the candidate judges, and
what was the reference looks on. So the question is swapped too: the sides of a reading say what
the model that judges misses, or rejects wrongly, compared with the one before. It raises an alarm
by the same statistics that stop a rollout, and never for what nobody verified.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from edge_daemon.core.events import Decision
from edge_daemon.core.rollout.evidence import Evidence
from edge_daemon.core.rollout.plan import OVERALL
from edge_daemon.core.rollout.reading import Reading, SliceReading, read
from edge_daemon.core.rollout.rule import RuleResult, Situation, evidence, where
from edge_daemon.core.rollout.values import Mode, Outcome, Plan, Stage, Truth

_SWAPPED = {
    Outcome.BOTH: Outcome.BOTH,
    Outcome.NEITHER: Outcome.NEITHER,
    Outcome.ONLY_INCUMBENT: Outcome.ONLY_CANDIDATE,
    Outcome.ONLY_CANDIDATE: Outcome.ONLY_INCUMBENT,
}


def back_plan(plan: Plan) -> Plan:
    """What follows after the full stage of this plan: one stage, for so many hours."""
    full = plan.stages[-1]
    stage = Stage(Mode.SHADOW, 1.0, shadow_back_h=full.shadow_back_h, on_alarm=full.on_alarm)
    return replace(plan, stages=(stage,), at_most_h=full.shadow_back_h, on_inconclusive="hold")


def read_back(evidence: Evidence, plan: Plan) -> Reading:
    """The evidence with the question swapped: whether the model that judges is worse."""
    return read(mirrored(evidence), plan, plan.margin)


def mirrored(evidence: Evidence) -> Evidence:
    """The same parts, with who alone rejected them swapped."""
    made = Evidence(name for name in evidence.slices if name != OVERALL)
    for name, counts in evidence.slices.items():
        other = made.slices[name]
        other.rejected, other.lost = counts.rejected, counts.lost
        other.blocks = [block.swapped() for block in counts.blocks]
    made.arms, made.misassigned = dict(evidence.arms), evidence.misassigned
    return made


def told_table(table: Mapping[Outcome, int]) -> dict[Outcome, int]:
    """A table of a swapped reading as it is told: `only_candidate` is who looks on."""
    return {_SWAPPED[outcome]: count for outcome, count in table.items()}


def decide_back(plan: Plan, situation: Situation, reading: Reading) -> RuleResult:
    """Stop: an alarm. Advance: the time is over, and all is well.

    `reading`: by `read_back`. An alarm stays until somebody looks, also when the time is over.
    """
    if {Truth.VERIFIED, Truth.AUDIT} & set(plan.truth):
        for one in reading.slices:
            if one.missed.is_proven:
                return RuleResult(Decision.STOP, _alarm(one))
    hours = f"{situation.hours:.1f} of {plan.at_most_h:g} h"
    if situation.hours >= plan.at_most_h:
        why = f"{plan.at_most_h:g} h are over: {_seen(reading.overall)}."
        return RuleResult(Decision.ADVANCE, why)
    for one in reading.slices:
        side, lone = one.missed, one.unlabelled[Outcome.ONLY_INCUMBENT]
        if max(side.log10_e, side.log10_reference) >= side.limit and lone:
            return RuleResult(
                Decision.HOLD,
                f"The version before rejects parts that the one that judges passes{where(one.name)}"
                f", and {lone} of them have no label: nobody knows which of both is right.",
            )
    return RuleResult(Decision.WAIT, f"{hours}: {_seen(reading.overall)}.")


def _alarm(one: SliceReading) -> str:
    side = one.missed
    return (
        f"The model that judges misses {side.plus} bad parts that the version before rejects, and "
        f"rejects {side.minus} that it misses{where(one.name)} {evidence(side)}."
    )


def _seen(one: SliceReading) -> str:
    table = one.table
    return (
        f"{one.parts} parts were seen by both; {table[Outcome.ONLY_INCUMBENT]} were rejected by "
        f"the version before alone, {table[Outcome.ONLY_CANDIDATE]} by the one that judges alone"
    )
