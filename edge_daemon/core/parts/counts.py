"""Counts of parts since the start of the order and of the shift. Pure: time is an argument."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from edge_daemon.core.parts.values import PartOutcome
from edge_daemon.core.values import Assignment, Verdict

MOST_WORDS = 256  # causes that are counted by name; of more, the rest is counted together
OTHERS = "…"


@dataclass(frozen=True)
class PartTotals:
    """Parts since `since_utc`: parts = ok + ng + empty + uninspected.

    A part with several causes counts for each. `reasons`: why parts were uninspected or late.
    """

    since_utc: float
    parts: int = 0
    ok: int = 0
    ng: int = 0
    empty: int = 0
    uninspected: int = 0
    late: int = 0
    causes: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)

    def plus(self, told: PartOutcome) -> PartTotals:
        """The tally with one more part."""
        verdict = told.verdict
        return PartTotals(
            self.since_utc,
            self.parts + 1,
            self.ok + (verdict is Verdict.OK),
            self.ng + (verdict is Verdict.NG),
            self.empty + (verdict is Verdict.EMPTY),
            self.uninspected + (verdict is Verdict.UNINSPECTED),
            self.late + told.late,
            _with(self.causes, told.causes),
            _with(self.reasons, (told.reason.value,) if told.reason else ()),
        )


def _with(held: Mapping[str, int], words: Sequence[str]) -> Mapping[str, int]:
    if not words:
        return held
    counts = dict(held)
    for word in words:
        key = word if word in counts or len(counts) < MOST_WORDS else OTHERS
        counts[key] = counts.get(key, 0) + 1
    return counts


@dataclass(frozen=True)
class OrderTally:
    """Parts of one job order; of what is made without one, since the last one."""

    job_order: str | None
    product: str | None
    tally: PartTotals


@dataclass(frozen=True)
class Counts:
    """The durable counts: they continue after a restart."""

    order: OrderTally
    shift: PartTotals | None = None


class Counter:
    """One boot's counting; goes on from what was kept.

    A part of the order before, told after the next one began, counts for the shift alone.
    """

    def __init__(self, shifts: Sequence[int], kept: Counts | None, now_utc: float) -> None:
        """`shifts`: minutes after midnight at which one begins, by the clock of the plant."""
        self._shifts = tuple(sorted(shifts))
        self._epoch = 0
        self.counts = kept or Counts(OrderTally(None, None, PartTotals(now_utc)))
        self._look_at_shift(now_utc)

    def add(self, told: PartOutcome, now_utc: float) -> None:
        """Count one more part, told now."""
        self.look(told.assignment, now_utc)
        counts = self.counts
        if told.assignment.epoch >= self._epoch:
            order = replace(counts.order, tally=counts.order.tally.plus(told))
            counts = replace(counts, order=order)
        if counts.shift is not None:
            counts = replace(counts, shift=counts.shift.plus(told))
        self.counts = counts

    def look(self, making: Assignment, now_utc: float) -> None:
        """What is being made now, and which shift it is.

        Epoch 0: nothing was told in this boot yet, so what was made before goes on.
        """
        self._look_at_shift(now_utc)
        if making.epoch < max(self._epoch, 1):
            return
        self._epoch = making.epoch
        order = self.counts.order
        if (making.job_order, making.product) != (order.job_order, order.product):
            fresh = OrderTally(making.job_order, making.product, PartTotals(now_utc))
            self.counts = replace(self.counts, order=fresh)

    def _look_at_shift(self, now_utc: float) -> None:
        began = shift_start(now_utc, self._shifts)
        held = self.counts.shift
        if began is None:
            self.counts = replace(self.counts, shift=None)
        elif held is None or held.since_utc < began:  # a clock set back begins no shift anew
            self.counts = replace(self.counts, shift=PartTotals(began))


def shift_start(now_utc: float, shifts: Sequence[int]) -> float | None:
    """When the shift of now began, by local time; None where there are none.

    On the two days of the year when clocks are moved the shift is an hour longer or shorter.
    """
    if not shifts:
        return None
    today = datetime.fromtimestamp(now_utc).replace(hour=0, minute=0, second=0, microsecond=0)
    starts = [
        (day + timedelta(minutes=minute)).timestamp()
        for day in (today - timedelta(days=1), today)
        for minute in shifts
    ]
    return max((start for start in starts if start <= now_utc), default=min(starts))
