"""A part is kept exactly where its draw lies below the largest share of its reasons."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from edge_daemon.core.collecting.choice import (
    AHEAD,
    MOST_UNITS,
    Choice,
    DrawnAhead,
    Inclusion,
    draw,
)
from edge_daemon.core.collecting.reasons import Why

WHYS = st.sampled_from(list(Why))
SHARES = st.dictionaries(WHYS, st.floats(0.0, 1.0), min_size=1)
FRAMES = st.lists(st.sets(WHYS), min_size=1, max_size=8)


def test_anybody_can_compute_the_draw_again() -> None:
    digest = hashlib.sha256(b"collect:b7:812").digest()
    assert draw("b7", "812") == int.from_bytes(digest[:8], "big") / 2.0**64


def test_draws_are_spread_evenly() -> None:
    drawn = sum(draw("boot", str(part)) < 0.02 for part in range(50_000))
    assert 850 < drawn < 1150


@given(SHARES, FRAMES, st.integers(0, 10_000))
def test_a_part_is_in_exactly_where_its_draw_lies_below_its_probability(
    shares: dict[Why, float], frames: list[set[Why]], part: int
) -> None:
    """Whatever the order of its frames; the last word names its probability and all reasons."""
    choice, unit = Choice("boot", shares), str(part)
    told = [each for each in (choice.see(unit, reasons) for reasons in frames) if each is not None]
    holding = {why for reasons in frames for why in reasons if why in shares}
    probability = max((shares[why] for why in holding), default=0.0)
    assert bool(told) == (draw("boot", unit) < probability)
    if told:
        last = told[-1].inclusion
        assert last.draw < last.probability <= probability
        assert shares[last.leading] > last.draw
        assert any(each.is_taken for each in told)
        ranks = [each.inclusion.leading.rank for each in told if each.is_taken]
        assert ranks == sorted(set(ranks), reverse=True), "each picture is better than the last"


@given(SHARES, st.sets(WHYS), st.integers(0, 10_000))
def test_what_could_take_a_part_takes_it(
    shares: dict[Why, float], holding: set[Why], part: int
) -> None:
    """The lane asks before anything is noted, and comes to the same as what is chosen later."""
    choice, unit = Choice("boot", shares), str(part)
    could = choice.could_take(unit)
    assert could == {why for why, share in shares.items() if draw("boot", unit) < share}
    assert (choice.see(unit, holding) is not None) == bool(could & holding)


@given(SHARES, st.lists(st.tuples(st.integers(1, 3 * AHEAD), st.booleans()), max_size=8))
def test_what_is_drawn_ahead_is_what_would_be_drawn_then(
    shares: dict[Why, float], steps: list[tuple[int, bool]]
) -> None:
    """Frames are asked for in order, some not at all; the other thread comes in time, or late."""
    choice = Choice("boot", shares)
    ahead, frame = DrawnAhead(choice), 0
    for step, in_time in steps:
        if in_time:
            ahead.go_on()
        for after in (step, 1):
            frame += after
            assert ahead.of(frame) == choice.could_take(str(frame))


class Counted(Choice):
    """Knows who asked for a draw."""

    def __init__(self) -> None:
        super().__init__("boot", {Why.AUDIT: 0.5})
        self.drawn: list[str] = []

    def could_take(self, unit: str) -> frozenset[Why]:
        self.drawn.append(unit)
        return super().could_take(unit)


def test_the_lane_itself_draws_only_where_the_other_thread_is_late() -> None:
    choice = Counted()
    ahead = DrawnAhead(choice)
    for first in range(0, 4 * AHEAD, AHEAD):
        ahead.go_on()
        before = len(choice.drawn)
        for frame in range(first, first + AHEAD):
            ahead.of(frame)
        assert len(choice.drawn) == before
    ahead.of(4 * AHEAD)
    assert choice.drawn == [str(frame) for frame in range(4 * AHEAD + 1)], "each once"


def test_a_part_has_one_picture_and_a_better_one_takes_its_place() -> None:
    choice = Choice("boot", {Why.AUDIT: 1.0, Why.NG: 1.0})
    first = choice.see("7", {Why.AUDIT})
    assert first is not None
    assert first.is_taken
    assert choice.see("7", {Why.AUDIT}) is None
    better = choice.see("7", {Why.AUDIT, Why.NG})
    assert better is not None
    assert (better.is_taken, better.inclusion.leading) == (True, Why.NG)
    assert better.inclusion.reasons == (Why.NG, Why.AUDIT)
    assert better.inclusion.is_audited


def test_a_reason_that_is_not_collected_counts_for_nothing() -> None:
    assert Choice("boot", {Why.NG: 1.0}).see("7", {Why.AUDIT, Why.DRIFT}) is None


def test_a_picture_that_was_lost_may_be_made_of_a_later_frame() -> None:
    choice = Choice("boot", {Why.NG: 1.0})
    assert choice.see("7", {Why.NG}) is not None
    choice.was_lost("7")
    again = choice.see("7", {Why.NG})
    assert again is not None
    assert again.is_taken
    assert isinstance(again.inclusion, Inclusion)


def test_it_remembers_only_so_many_parts() -> None:
    choice = Choice("boot", {Why.NG: 1.0})
    for part in range(MOST_UNITS + 10):
        choice.see(str(part), {Why.NG})
    assert choice.see("0", {Why.NG}) is not None, "the oldest is forgotten"
    assert choice.see(str(MOST_UNITS), {Why.NG}) is None
