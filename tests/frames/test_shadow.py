"""The candidate beside the line: the same pixels, no copy, and no frame that waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from edge_daemon.core.judged import Judged
from edge_daemon.core.rollout.values import Arm, Mode, Outcome, Pair, SliceRule, UnitKind
from edge_daemon.errors import BundleError, SlotLost
from edge_daemon.frames.captured import Captured
from edge_daemon.frames.looker import brightness
from edge_daemon.frames.shadow import BLOCK, Shadow, ShadowOutlets
from tests.sim.device import wait_until
from tests.sim.two_models import (
    CANDIDATE,
    INCUMBENT,
    NG_BOTH,
    NG_CANDIDATE,
    NG_INCUMBENT,
    OK,
    SHAPE,
    Two,
)


class Watched(Two):
    """A line with a shadow; its pairs are written down."""

    def __init__(self) -> None:
        super().__init__(told=self.offer)
        self.pairs: list[Pair] = []
        self.is_gap = True
        self.patient = True
        self.knows_units = True
        outlets = ShadowOutlets(self.pairs.append, self.arms.lose)
        self.shadow = Shadow(self.ring, self.active_slot, "boot", None, outlets)
        self.shadow.start()

    def offer(self, judged: Judged, captured: Captured) -> None:
        told = judged if self.knows_units else replace(judged, assigned=None)
        self.shadow.offer(told, captured, is_gap=self.is_gap)
        self.shadow.pass_on()

    def film(self, values: Sequence[int]) -> None:  # type: ignore[override]
        """Frames that leave the shadow time."""
        for value in values:
            super().film([value])
            if self.patient:
                wait_until(lambda: self.shadow.is_idle, "the shadow")

    def end_all(self) -> None:
        self.shadow.stop(30.0)


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_a_frame_in_shadow_is_seen_by_both_and_judged_by_one(watched: Watched) -> None:
    """A pair of each frame that was looked at: drawn beforehand, about half of them at first."""
    watched.split(share=0.0, mode=Mode.SHADOW)
    watched.film([OK, NG_INCUMBENT, NG_CANDIDATE, NG_BOTH] * 50)
    watched.end_all()
    tally = watched.shadow.tally
    assert {each.model for each in watched.verdicts} == {INCUMBENT}
    assert tally.compared + tally.skipped == 200
    assert len(watched.pairs) == tally.compared == watched.asked(CANDIDATE)
    assert 60 < tally.compared < 140
    outcomes = (Outcome.NEITHER, Outcome.ONLY_INCUMBENT, Outcome.ONLY_CANDIDATE, Outcome.BOTH)
    for pair in watched.pairs:
        assert pair.frames == (pair.part,), "both saw this very frame"
        assert pair.outcome is outcomes[pair.part % 4]
        assert pair.assigned.arm is Arm.INCUMBENT
        assert (pair.incumbent.model, pair.candidate.model) == (INCUMBENT, CANDIDATE)
    assert tally.lost == {"all": 0}


def test_of_a_share_the_lane_asks_both_and_the_shadow_sees_the_rest(watched: Watched) -> None:
    """Each candidate's frame is a pair; of the others those that were looked at."""
    watched.split(share=0.5, either=True)
    watched.film([NG_INCUMBENT] * 100)
    watched.end_all()
    theirs = [each.frame for each in watched.verdicts if each.model == CANDIDATE]
    paired = {pair.part: pair for pair in watched.pairs}
    assert set(theirs) < set(paired)
    assert len(paired) == len(watched.pairs) == watched.asked(CANDIDATE)
    for pair in watched.pairs:
        assert pair.outcome is Outcome.ONLY_INCUMBENT, "its own opinion, not the stricter one"
        assert (pair.assigned.arm is Arm.CANDIDATE) == (pair.part in theirs)


def test_arms_are_counted_of_all_units_and_not_of_pairs_alone(watched: Watched) -> None:
    """The candidate sees all of its own frames, and of the others only those that were drawn."""
    watched.split(share=0.5)
    watched.film([OK] * 200)
    watched.end_all()
    tally = watched.shadow.tally
    theirs = sum(each.model == CANDIDATE for each in watched.verdicts)
    assert tally.arms == {0.5: (200, theirs)}
    assert len(watched.pairs) < 200
    assert tally.misassigned == 0


@pytest.mark.parametrize("knows_units", [True, False])
def test_of_what_is_not_drawn_nothing_is_held_but_where_parts_are_not_known_yet(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, knows_units: bool
) -> None:
    """There the first frame of each block, for its brightness: its part may be drawn later on."""
    held: list[int] = []
    hand_over = watched.ring.hand_over

    def counted(captured: Captured) -> bool:
        held.append(captured.number)
        return hand_over(captured)

    monkeypatch.setattr(watched.ring, "hand_over", counted)
    watched.split(share=0.0, mode=Mode.SHADOW, coverage=0.0)
    watched.knows_units = knows_units
    watched.film([OK] * (3 * BLOCK))
    watched.end_all()
    assert watched.asked(CANDIDATE) == 0
    assert held == ([] if knows_units else [0, BLOCK, 2 * BLOCK])


def test_the_lane_gives_its_own_lease_away_and_takes_no_second_one(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each place is free again in the end, and none was released twice."""
    monkeypatch.setattr(watched.ring, "retain", None)
    watched.split(share=0.0, mode=Mode.SHADOW)
    watched.film([OK, NG_INCUMBENT] * 100)
    watched.end_all()
    assert watched.shadow.tally.compared > 0
    free = [watched.ring.begin(SHAPE).address for _ in range(16)]
    assert None not in free


def test_where_both_are_compared_in_turns_the_lane_keeps_its_frame(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks at the frame once more after its verdict."""
    monkeypatch.setattr(watched.ring, "hand_over", None)
    watched.split(share=0.0, mode=Mode.COMPARE, coverage=0.0)
    watched.knows_units = False
    watched.film([OK] * (2 * BLOCK))
    watched.end_all()
    assert len(watched.verdicts) == 2 * BLOCK


def test_a_frame_that_was_given_away_is_not_looked_at_again(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its new holder may have released it by now; a split can become another one in between."""
    looked: list[int] = []
    monkeypatch.setattr(watched.arms, "look", lambda captured, _: looked.append(captured.number))
    watched.split(share=0.0, mode=Mode.SHADOW)
    watched.film([OK] * 100)
    watched.end_all()
    assert len(looked) == 100 - watched.asked(CANDIDATE)


def test_the_line_waits_for_no_candidate(watched: Watched) -> None:
    """One that takes for ever holds one place of the ring, and every frame is judged."""
    watched.split(share=0.0, mode=Mode.SHADOW)
    watched.patient = False
    detect = watched.script.detect
    looking = threading.Event()

    def slow(order: object, pixels: object) -> object:
        if getattr(order, "ref", None) == CANDIDATE:
            looking.wait(30.0)
        return detect(order, pixels)  # type: ignore[arg-type]

    watched.script.detect = slow  # type: ignore[assignment]
    watched.film([OK] * 200)
    assert len(watched.verdicts) == 200
    looking.set()
    watched.end_all()
    tally = watched.shadow.tally
    assert tally.compared == watched.asked(CANDIDATE) <= 1
    assert tally.compared + tally.skipped == 200


def test_without_a_gap_nothing_is_looked_at(watched: Watched) -> None:
    """Where frames wait for the active model, the candidate takes no time from it."""
    watched.split(share=0.0, mode=Mode.SHADOW)
    watched.is_gap = False
    watched.film([OK] * 30)
    watched.end_all()
    assert watched.asked(CANDIDATE) == 0
    tally = watched.shadow.tally
    assert (tally.skipped, watched.pairs) == (30, [])
    assert 0 < tally.lost["all"] < 30, "what the draw left out is not missing"


def raises(watched: Watched) -> None:
    watched.script.fail_infer(CANDIDATE, BundleError("A layer raised."))


def dies(watched: Watched) -> None:
    watched.script.fail_infer(CANDIDATE, SlotLost("It was killed."))


def gives_nonsense(watched: Watched) -> None:
    watched.script.not_finite.add(CANDIDATE)


@pytest.mark.parametrize(
    ("fault", "guard"), [(raises, "raised"), (dies, "lost"), (gives_nonsense, "not_finite")]
)
def test_a_candidate_that_fails_in_shadow_is_told_once(
    watched: Watched, fault: Callable[[Watched], None], guard: str
) -> None:
    """No verdict is another one for it, and nothing is asked of it any more."""
    watched.split(share=0.0, mode=Mode.SHADOW)
    fault(watched)
    watched.film([OK] * 40)
    watched.end_all()
    assert [(rollout, word) for rollout, word, _ in watched.losses] == [("r-1", guard)]
    assert watched.asked(CANDIDATE) == 1
    assert watched.shadow.tally.failed == 1
    assert {each.model for each in watched.verdicts} == {INCUMBENT}


def test_a_span_is_one_pair(watched: Watched) -> None:
    """Folded over the frames that both saw; a clear view ends it."""
    watched.split(share=1.0, unit=UnitKind.SPAN)
    watched.film([OK, NG_INCUMBENT, OK, 0, OK, NG_CANDIDATE, 0])
    watched.end_all()
    assert [pair.frames for pair in watched.pairs] == [(0, 1, 2, 3), (4, 5, 6)]
    assert [pair.outcome for pair in watched.pairs] == [
        Outcome.ONLY_INCUMBENT,
        Outcome.ONLY_CANDIDATE,
    ]


def test_slices_are_of_pixels(watched: Watched) -> None:
    """A dark frame is dark for both; the share that was compared is known by slice."""
    rules = (SliceRule("dark", brightness_below=4.0), SliceRule("light", brightness_above=4.0))
    watched.split(share=0.0, mode=Mode.SHADOW, slices=rules)
    watched.film([OK, NG_CANDIDATE] * 40)
    watched.end_all()
    assert watched.shadow.tally.lost == {"all": 0}
    assert {name for pair in watched.pairs for name in pair.slices} == {"dark", "light"}
    for pair in watched.pairs:
        assert pair.brightness == (OK, NG_CANDIDATE)[pair.part % 2]
        assert pair.slices == (("dark", "light")[pair.part % 2],)


def test_each_part_of_an_order_that_is_the_candidates_has_its_own_brightness(
    watched: Watched,
) -> None:
    """The order is drawn once, and each of its parts is in a slice of its own."""
    rules = (SliceRule("dark", brightness_below=4.0), SliceRule("light", brightness_above=4.0))
    watched.split(share=1.0, unit=UnitKind.ORDER, slices=rules)
    watched.film([OK, NG_CANDIDATE] * 20)
    watched.end_all()
    assert [pair.slices for pair in watched.pairs] == [("dark",), ("light",)] * 20


def test_no_pair_waits_for_a_look(watched: Watched) -> None:
    """A candidate that hangs takes seconds; what was paired before is told by then."""
    looked: list[int] = []
    detect = watched.script.detect

    def seen(order: object, pixels: object) -> object:
        if getattr(order, "ref", None) == CANDIDATE:
            looked.append(len(watched.pairs))
        return detect(order, pixels)  # type: ignore[arg-type]

    watched.script.detect = seen  # type: ignore[assignment]
    watched.split(share=0.0, mode=Mode.SHADOW)
    watched.film([OK] * 100)
    watched.end_all()
    assert len(looked) > 10
    assert looked == list(range(len(looked))), "each look made a pair, told before the next one"


def test_a_look_of_a_rollout_that_is_over_holds_up_no_other(watched: Watched) -> None:
    """Its candidate hangs still; the frames of the next rollout are counted meanwhile."""
    looking, hangs = threading.Event(), threading.Event()
    detect = watched.script.detect

    def hang(order: object, pixels: object) -> object:
        if getattr(order, "ref", None) == CANDIDATE:
            hangs.set()
            looking.wait(300.0)  # longer than anybody here is patient
        return detect(order, pixels)  # type: ignore[arg-type]

    watched.script.detect = hang  # type: ignore[assignment]
    watched.patient = False
    watched.split(share=0.0, mode=Mode.SHADOW)
    while not hangs.is_set():
        watched.film([OK])
    watched.film([OK] * 5)
    watched.split(share=0.0, mode=Mode.SHADOW, rollout="r-2")
    watched.film([OK] * 40)
    wait_until(lambda: watched.shadow.tally.skipped == 40, "the frames of the second one")
    assert watched.shadow.tally.rollout == "r-2"
    looking.set()
    watched.end_all()
    assert watched.shadow.is_idle
    assert {pair.rollout for pair in watched.pairs} <= {"r-1"}
    assert watched.shadow.tally.skipped == 40


def test_brightness_is_the_mean_grey_level(watched: Watched) -> None:
    pixels = watched.address().memory.pixels(0)
    assert brightness(pixels) == 0.0
