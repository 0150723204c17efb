"""Parts are counted for the order and the shift that they were made in."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from edge_daemon.core.parts.counts import MOST_WORDS, OTHERS, Counter, shift_start
from edge_daemon.core.parts.values import By, PartOutcome, PartReason
from edge_daemon.core.values import Assignment, Verdict

DAY = 1_780_012_800.0  # midnight in UTC
HOUR = 3600.0
SHIFTS = (360, 840, 1320)
FIRST, SECOND = Assignment(1, "BTL", "WO-1"), Assignment(2, "BTL", "WO-2")


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The plant's clock."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def part(verdict: Verdict, *causes: str, made: Assignment = FIRST) -> PartOutcome:
    told = PartOutcome(
        *(0, None, By.FRAME, verdict, None, causes, (0,), None, None, None, None, None),
        made,
        None,
        1.0,
        late=False,
        trial=False,
    )
    if verdict is Verdict.UNINSPECTED:
        return replace(told, reason=PartReason.NO_FRAME, late=True)
    return told


def test_parts_are_counted_by_verdict_cause_and_reason() -> None:
    """Their sum is the number of parts; one with two causes counts for both."""
    counter = Counter((), None, DAY)
    for each in (
        part(Verdict.OK),
        part(Verdict.NG, "scratch", "dent"),
        part(Verdict.NG, "dent"),
        part(Verdict.EMPTY),
        part(Verdict.UNINSPECTED),
    ):
        counter.add(each, DAY)
    order, tally = counter.counts.order, counter.counts.order.tally
    assert (order.job_order, order.product) == ("WO-1", "BTL")
    assert tally.parts == tally.ok + tally.ng + tally.empty + tally.uninspected == 5
    assert tally.causes == {"scratch": 1, "dent": 2}
    assert (tally.reasons, tally.late) == ({"no_frame": 1}, 1)
    assert counter.counts.shift is None


def test_an_order_begins_anew_and_the_shift_goes_on() -> None:
    """Also where no part of it came yet; one of the order before then counts for the shift."""
    counter = Counter(SHIFTS, None, DAY + 7 * HOUR)
    counter.add(part(Verdict.OK), DAY + 7 * HOUR)
    counter.look(SECOND, DAY + 8 * HOUR)
    assert counter.counts.order.job_order == "WO-2"
    assert counter.counts.order.tally.parts == 0
    assert counter.counts.order.tally.since_utc == DAY + 8 * HOUR
    counter.add(part(Verdict.OK), DAY + 8 * HOUR)
    counter.add(part(Verdict.NG, made=SECOND), DAY + 8 * HOUR)
    assert (counter.counts.order.tally.parts, counter.counts.order.tally.ng) == (1, 1)
    assert counter.counts.shift is not None
    assert counter.counts.shift.parts == 3


def test_a_shift_begins_at_its_hour() -> None:
    """A clock that is set back begins none anew."""
    counter = Counter(SHIFTS, None, DAY + 13 * HOUR)
    counter.add(part(Verdict.OK), DAY + 13.9 * HOUR)
    counter.look(FIRST, DAY + 14 * HOUR)
    assert counter.counts.shift is not None
    assert (counter.counts.shift.since_utc, counter.counts.shift.parts) == (DAY + 14 * HOUR, 0)
    counter.add(part(Verdict.OK), DAY + 13.9 * HOUR)
    assert counter.counts.shift.since_utc == DAY + 14 * HOUR
    assert counter.counts.order.tally.parts == 2


def test_counting_goes_on_after_a_restart() -> None:
    """Before anything is told in the new boot, what was made before is made."""
    before = Counter(SHIFTS, None, DAY + 7 * HOUR)
    before.add(part(Verdict.OK), DAY + 7 * HOUR)
    after = Counter(SHIFTS, before.counts, DAY + 7.5 * HOUR)
    after.look(Assignment(), DAY + 7.5 * HOUR)
    assert after.counts == before.counts
    after.add(part(Verdict.OK), DAY + 7.5 * HOUR)
    assert after.counts.order.tally.parts == 2
    next_day = Counter(SHIFTS, before.counts, DAY + 31 * HOUR)
    assert next_day.counts.shift is not None
    assert next_day.counts.shift.parts == 0
    assert next_day.counts.order.tally.parts == 1
    assert Counter((), before.counts, DAY).counts.shift is None


@pytest.mark.parametrize(
    ("hour", "began"), [(0.0, -2.0), (5.99, -2.0), (6.0, 6.0), (13.0, 6.0), (23.0, 22.0)]
)
def test_the_shift_of_now(hour: float, began: float) -> None:
    """The night's shift began the day before."""
    assert shift_start(DAY + hour * HOUR, SHIFTS) == DAY + began * HOUR


def test_causes_without_end_are_bounded() -> None:
    """Beyond so many names the rest is counted together."""
    counter = Counter((), None, DAY)
    for number in range(MOST_WORDS + 5):
        counter.add(part(Verdict.NG, f"c{number}"), DAY)
    causes = counter.counts.order.tally.causes
    assert len(causes) == MOST_WORDS + 1
    assert causes[OTHERS] == 5
