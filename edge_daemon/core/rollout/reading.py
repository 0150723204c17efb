"""The evidence as the rule reads it: per slice two sides, each with evidence and a bound.

Two sides: defects that are missed (among truly bad parts that at least one model found) and good
parts that are rejected. What a part without a label counts as is the worst case each time:

              only the incumbent says ng        only the candidate says ng
  stop        nothing                           nothing
  bound       a defect that was lost            a good part that is rejected
  asking      as the incumbent says             as the incumbent says

So a candidate that seldom disagrees needs no label, one that often does must be looked at, and
none is stopped unseen. A label of a disagreement can only lower the bound or leave it.

Parts that both reject are bad parts, of which nothing is lost; where some of them were looked at
and were good, that share of the others is taken for good too. Else a line with many false rejects
would hide a loss among them.

Of the parts that both pass, an audit (`core.rollout.audit`) has some looked at: the share of them
that was good, is taken for good among the others. Without one they are good by the incumbent's
word, where the plan takes that.

Labels may be one-sided: in shadow a part that only the incumbent rejects is looked at, and one
that only the candidate rejects has left the line. Then equal models look unequal. So `sure` asks
for labels of both kinds alike, or for evidence that holds even if each unseen part speaks for the
candidate.

A missed defect counts from the first point on; the false rejects only beyond the plan's margin.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from edge_daemon.core.rollout.betting import (
    Counts,
    log_e,
    share_log_e,
    total,
    upper_bound,
)
from edge_daemon.core.rollout.evidence import Evidence, SliceCounts, Table
from edge_daemon.core.rollout.plan import OVERALL
from edge_daemon.core.rollout.values import Outcome, Plan, Truth

EVEN = 0.8
"""Labels count as even where the less labelled kind has this part of the other's share."""

MISSED_PART = 0.9
"""Of the chance of a false stop: what the tests for missed defects have, which cost more. The tests
for false rejects have the rest; each kind divides it among the named slices and all parts."""

_BOTH, _NEITHER = Outcome.BOTH, Outcome.NEITHER
_INCUMBENT, _CANDIDATE = Outcome.ONLY_INCUMBENT, Outcome.ONLY_CANDIDATE


@dataclass(frozen=True)
class Side:
    """Missed defects, or false rejects, of one slice.

    `log10_e`: evidence by labels that the candidate is worse. `sure`: whether the labels are even,
    or the evidence does not need them to be. `log10_reference`: the same where the incumbent's
    word stands in for each label that is missing. `bound`: what is lost at most, as a share.
    """

    limit: float
    """log10 of the evidence at which the rollout stops."""
    log10_e: float
    sure: bool
    log10_reference: float
    bound: float
    units: int
    plus: int
    minus: int

    @property
    def is_proven(self) -> bool:
        """Whether the labels show that the candidate is worse."""
        return self.sure and self.log10_e >= self.limit


@dataclass(frozen=True)
class SliceReading:
    """One slice, or all parts together."""

    name: str
    table: dict[Outcome, int]
    missed: Side
    false_rejects: Side
    labels: int
    """Disagreements with a label."""
    unlabelled: dict[Outcome, int]
    """Disagreements without one: of `ONLY_INCUMBENT` and `ONLY_CANDIDATE`."""
    lost: int

    @property
    def parts(self) -> int:
        return sum(self.table.values())

    @property
    def missing(self) -> int:
        """Disagreements without a label, of both kinds."""
        return sum(self.unlabelled.values())

    @property
    def defects(self) -> int:
        """Bad parts that at least one model found, as far as is known."""
        return self.missed.units

    @property
    def coverage(self) -> float | None:
        """Of the parts that both were to judge, those that both did; None without any."""
        drawn = self.parts + self.lost
        return self.parts / drawn if drawn else None


@dataclass(frozen=True)
class Reading:
    """All slices, all parts first. `log10_share`: evidence that the arms are drawn wrongly."""

    slices: tuple[SliceReading, ...]
    log10_share: float
    share_limit: float
    misassigned: int

    @property
    def overall(self) -> SliceReading:
        return self.slices[0]

    @cached_property
    def by_name(self) -> dict[str, SliceReading]:
        return {reading.name: reading for reading in self.slices}


def limits(plan: Plan) -> tuple[float, float]:
    """log10 of the evidence at which a rollout stops: for missed defects, for false rejects."""
    tests = len(plan.slices) + 1
    return (
        math.log10(tests / (plan.alpha_stop * MISSED_PART)),
        math.log10(tests / (plan.alpha_stop * (1.0 - MISSED_PART))),
    )


def read(evidence: Evidence, plan: Plan, margin: float) -> Reading:
    """The evidence at this moment. `margin`: recall that may be lost in the present stage."""
    return Reading(
        slices=tuple(
            _slice(name, evidence.slices[name], plan, margin)
            for name in (OVERALL, *(rule.name for rule in plan.slices))
            if name in evidence.slices
        ),
        log10_share=_log10(share_log_e(evidence.arms)),
        share_limit=-math.log10(plan.alpha_stop),
        misassigned=evidence.misassigned,
    )


def _slice(name: str, counts: SliceCounts, plan: Plan, margin: float) -> SliceReading:
    whole = counts.whole()
    presumed = Truth.REFERENCE in plan.truth
    incumbent, candidate = (
        _share(whole.labelled(kind), whole.all(kind)) for kind in (_INCUMBENT, _CANDIDATE)
    )
    missed_limit, rejects_limit = limits(plan)
    rejects_margin = plan.false_reject_margin
    missed = _Side(
        _missed_by_label, _missed_at_best, _missed_by_reference, 0.0, margin, missed_limit
    )
    rejects = _Side(
        _rejects_by_label,
        _rejects_at_best,
        _rejects_by_reference,
        rejects_margin,
        rejects_margin,
        rejects_limit,
    )
    alpha = plan.alpha_advance
    return SliceReading(
        name=name,
        table={outcome: whole.all(outcome) for outcome in Outcome},
        missed=missed.read(
            counts.blocks, _missed_at_worst(whole, presumed), alpha, candidate >= EVEN * incumbent
        ),
        false_rejects=rejects.read(
            counts.blocks, _rejects_at_worst(whole, presumed), alpha, incumbent >= EVEN * candidate
        ),
        labels=whole.labelled(_INCUMBENT) + whole.labelled(_CANDIDATE),
        unlabelled={kind: whole.unknown(kind) for kind in (_INCUMBENT, _CANDIDATE)},
        lost=counts.lost,
    )


@dataclass(frozen=True)
class _Side:
    """How one side counts a table: by labels, at the candidate's best, by the incumbent's word."""

    by_label: Callable[[Table], Counts]
    at_best: Callable[[Table], Counts]
    by_reference: Callable[[Table], Counts]
    delta: float
    reference_delta: float
    limit: float

    def read(self, blocks: Sequence[Table], worst: Counts, alpha: float, even: bool) -> Side:
        by_label = [self.by_label(block) for block in blocks]
        log10_e = _log10(log_e(by_label, self.delta))
        by_reference = [self.by_reference(block) for block in blocks]
        labelled = total(by_label)
        return Side(
            limit=self.limit,
            log10_e=log10_e,
            sure=even or (log10_e >= self.limit and self._holds_at_best(blocks)),
            log10_reference=_log10(log_e(by_reference, self.reference_delta)),
            bound=upper_bound(worst, alpha),
            units=worst.units,
            plus=labelled.plus,
            minus=labelled.minus,
        )

    def _holds_at_best(self, blocks: Sequence[Table]) -> bool:
        at_best = [self.at_best(block) for block in blocks]
        return _log10(log_e(at_best, self.delta)) >= self.limit


def _missed_by_label(table: Table) -> Counts:
    return Counts(table.ng(_INCUMBENT), table.ng(_BOTH), table.ng(_CANDIDATE))


def _missed_at_best(table: Table) -> Counts:
    return _missed_by_label(table) + Counts(minus=table.unknown(_CANDIDATE))


def _missed_by_reference(table: Table) -> Counts:
    return _missed_by_label(table) + Counts(table.unknown(_INCUMBENT), table.unknown(_BOTH))


def _missed_at_worst(table: Table, presumed: bool) -> Counts:
    """A part that both reject is taken for bad where the plan takes the incumbent's word."""
    zero = table.unknown(_BOTH) if presumed else 0
    if table.ok(_BOTH):
        zero = zero * table.ng(_BOTH) // table.labelled(_BOTH)
    return _missed_by_label(table) + Counts(table.unknown(_INCUMBENT), zero)


def _rejects_by_label(table: Table) -> Counts:
    """A part that both pass is taken for good: that only slows a stop down."""
    zero = table.ok(_BOTH) + table.ok(_NEITHER) + table.unknown(_NEITHER)
    return Counts(table.ok(_CANDIDATE), zero, table.ok(_INCUMBENT))


def _rejects_at_best(table: Table) -> Counts:
    return _rejects_by_label(table) + Counts(minus=table.unknown(_INCUMBENT))


def _rejects_by_reference(table: Table) -> Counts:
    return _rejects_by_label(table) + Counts(table.unknown(_CANDIDATE))


def _rejects_at_worst(table: Table, presumed: bool) -> Counts:
    """A part that both pass is taken for good by an audit, or by the incumbent's word.

    Where only the audit speaks, one bad part more is taken to be among those looked at.
    """
    unseen, looked_at = table.unknown(_NEITHER), table.labelled(_NEITHER)
    if looked_at:
        unseen = unseen * table.ok(_NEITHER) // (looked_at + (not presumed))
    elif not presumed:
        unseen = 0
    plus = table.ok(_CANDIDATE) + table.unknown(_CANDIDATE)
    return Counts(plus, table.ok(_BOTH) + table.ok(_NEITHER) + unseen, table.ok(_INCUMBENT))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def _log10(natural: float) -> float:
    return natural / math.log(10)
