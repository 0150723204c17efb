"""Parts while a candidate is tried: each is judged by one model, and both opinions are paired."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_daemon.core.judged import Judged
from edge_daemon.core.parts.values import By, Opened, PartOutcome, PartRules, Triggered
from edge_daemon.core.rollout.draw import LATER_BITS, draw
from edge_daemon.core.rollout.values import Arm, Assigned, Mode, Outcome, Pair
from edge_daemon.core.values import (
    Detection,
    Instant,
    Recipe,
    Rule,
    Verdict,
)
from edge_daemon.errors import BundleError
from edge_daemon.frames.captured import Captured
from edge_daemon.frames.shadow import Shadow, ShadowOutlets
from edge_daemon.host.memory import Pixels
from edge_daemon.messaging import part_payloads
from edge_daemon.parts.line import PartLine
from edge_daemon.slots.active import Cutover
from edge_daemon.slots.slot import LoadOrder
from tests.sim.device import wait_until
from tests.sim.two_models import CANDIDATE, INCUMBENT, NG_BOTH, NG_CANDIDATE, NG_INCUMBENT, OK, Two

FRAME_S = 0.01
WINDOW = PartRules(By.TRIGGER, window_s=(0.0, 0.035), max_frames=30)


class Station(Two):
    """Lane, shadow and parts of one line; what is told of parts is written down."""

    def __init__(self, rules: PartRules = WINDOW) -> None:
        self.line = PartLine(rules, self._now, boot="boot")
        is_trigger = rules.by is By.TRIGGER
        assigned_of: Callable[[int], Assigned | None] = (
            self.line.assigned_of if is_trigger else lambda frame: None
        )
        super().__init__(assigned_of, self.offer)
        self.active_slot.on_split = self.line.split
        self.ring.on_capture = self.line.captured
        self.knows_arms = False  # whether the lane finds the arm of each frame's part
        self.told: list[PartOutcome] = []
        self.pairs: list[Pair] = []
        outlets = ShadowOutlets(self.pairs.append, self.arms.lose)
        self.shadow = Shadow(self.ring, self.active_slot, "boot", rules, outlets)
        self.line.on_told = self.shadow.told
        self.shadow.start()
        self.line.start(self)

    def _now(self) -> Instant:
        return self.clock.now()

    def offer(self, judged: Judged, captured: Captured) -> None:
        self.shadow.offer(judged, captured, is_gap=True)
        self.shadow.pass_on()
        self.line.judged(judged)

    # ------------------------------------------------------------------ the parts' outlets

    def tell(self, parts: Sequence[PartOutcome]) -> None:
        self.told += parts

    def look(self) -> None: ...

    def is_trial(self) -> bool:
        return False

    # ------------------------------------------------------------------ the story

    def part(self, name: str | None, values: Sequence[int]) -> None:
        """A trigger, and the frames of its window; then nothing until the window is over."""
        self.trigger(name)
        self.film(values)
        self.clock.advance(0.05)

    def trigger(self, name: str | None) -> None:
        """One that is heard when this returns."""
        answered = threading.Event()
        now = self.clock.now()

        def answer(opened: Opened) -> None:
            answered.set()

        self.line.trigger(Triggered(name, now, now.at), answer)
        assert answered.wait(30.0)

    def capture(self, value: int) -> None:
        super().capture(value)
        if self.knows_arms:
            frame = self.captured - 1
            wait_until(lambda: self.line.assigned_of(frame) is not None, "the frame's arm")

    def film(self, values: Sequence[int]) -> None:  # type: ignore[override]
        for value in values:
            super().film([value])
            wait_until(lambda: self.shadow.is_idle, "the shadow")

    def end_all(self) -> None:
        """With a frame after the last window, so that it is known to be over."""
        self.knows_arms = False
        self.clock.advance(0.05)
        self.film([OK])
        self.line.stop()
        self.shadow.stop(30.0)


def parts_of(station: Station) -> list[dict[str, object]]:
    """What was published, in order."""
    return [msgspec.json.decode(part_payloads.part("boot", each)) for each in station.told]


def test_a_part_is_judged_by_the_model_that_its_id_draws() -> None:
    """All its frames by one model; the other one's verdict stands beside it."""
    station = Station()
    station.split(share=0.5, either=False)
    for number in range(30):
        station.part(f"SN-{number}", [OK, NG_CANDIDATE, OK])
    station.end_all()
    assert len(station.told) == 30
    for told in station.told:
        drawn = draw("r-1", "boot", f"SN-{told.part}")
        is_candidates = drawn < 0.5
        assert told.assigned is not None
        assert (told.assigned.draw, told.assigned.unit) == (drawn, f"SN-{told.part}")
        assert told.model == (CANDIDATE if is_candidates else INCUMBENT)
        assert told.verdict is (Verdict.NG if is_candidates else Verdict.OK)
        assert len(told.frames) == 3
        if is_candidates:
            assert told.shadow is not None
            assert (told.shadow.model, told.shadow.verdict) == (INCUMBENT, Verdict.OK)
    assert {each.model for each in station.told} == {CANDIDATE, INCUMBENT}


@pytest.mark.parametrize("arm", list(Arm))
def test_a_part_that_a_cutover_overtakes_is_of_no_arm(arm: Arm) -> None:
    """It was drawn, and the candidate is active before its first frame: who judges it is no arm of
    the rollout any more, so none is told.
    """
    station = Station()
    station.split(share=0.5, either=False)
    names = (f"SN-{number}" for number in range(100))
    is_candidates = arm is Arm.CANDIDATE
    station.trigger(next(n for n in names if (draw("r-1", "boot", n) < 0.5) is is_candidates))
    station.end()
    station.active_slot.ask(Cutover(5, station.pointer("B", CANDIDATE), "full"))
    station.film([OK, NG_CANDIDATE, OK])
    station.end_all()
    [told] = station.told
    assert (told.model, told.verdict) == (CANDIDATE, Verdict.NG)
    assert (told.assigned, told.shadow) == (None, None)
    assert station.pairs == []


def test_of_a_candidates_part_the_stricter_verdict_counts() -> None:
    """With `either`: for the causes of both; the pair has each one's own."""
    station = Station()
    station.split(share=1.0)
    station.part("one", [OK, NG_INCUMBENT, OK])
    station.part("two", [NG_BOTH, OK, OK])
    station.end_all()
    first, second = station.told
    assert (first.verdict, first.causes, first.model) == (Verdict.NG, ("dent",), CANDIDATE)
    assert (second.verdict, second.causes) == (Verdict.NG, ("scratch", "dent"))
    assert [pair.outcome for pair in station.pairs] == [Outcome.ONLY_INCUMBENT, Outcome.BOTH]
    assert [pair.id for pair in station.pairs] == ["one", "two"]
    assert [pair.frames for pair in station.pairs] == [(0, 1, 2), (3, 4, 5)]


def test_a_part_during_which_the_candidate_dies_is_the_incumbents() -> None:
    """All of it, with a share of 0; what the candidate saw before counts for nothing."""
    station = Station()
    station.split(share=1.0)
    station.part("good", [NG_CANDIDATE, OK, OK])
    station.script.fail_infer(CANDIDATE, BundleError("A layer raised."), after=4)
    station.part("broken", [NG_CANDIDATE, NG_INCUMBENT, OK])
    station.part("after", [NG_CANDIDATE, OK, OK])
    station.end_all()
    good, broken, after = station.told
    assert (good.model, good.verdict) == (CANDIDATE, Verdict.NG)
    assert (broken.model, broken.causes) == (INCUMBENT, ("dent",))
    assert broken.assigned is not None
    assert (broken.assigned.arm, broken.assigned.share) == (Arm.INCUMBENT, 0.0)
    assert (after.model, after.verdict, after.assigned) == (INCUMBENT, Verdict.OK, None)
    assert [word for _, word, _ in station.losses] == ["raised"]
    assert len(station.told) == 3


def test_a_part_that_began_in_a_share_ends_with_the_model_that_it_began_with() -> None:
    """A stage that ends in the middle of it waits for the next part."""
    station = Station()
    station.knows_arms = True
    station.split(share=1.0, either=False)
    station.trigger("one")
    station.film([NG_CANDIDATE, OK])
    station.split(share=0.0, mode=Mode.SHADOW)
    station.film([OK])
    station.clock.advance(0.05)
    station.part("two", [NG_CANDIDATE, OK])
    station.end_all()
    first, second = station.told
    assert (first.model, first.verdict, len(first.frames)) == (CANDIDATE, Verdict.NG, 3)
    assert (second.model, second.verdict) == (INCUMBENT, Verdict.OK)
    assert {each.model for each in station.verdicts[3:]} == {INCUMBENT}


def test_in_shadow_parts_are_paired_over_the_frames_that_both_saw() -> None:
    """The verdict is the incumbent's, whatever the candidate finds."""
    station = Station()
    station.knows_arms = True
    station.split(share=0.0, mode=Mode.SHADOW)
    for number in range(40):
        station.part(f"SN-{number}", [OK, NG_CANDIDATE, OK])
    station.end_all()
    assert {(each.model, each.verdict) for each in station.told} == {(INCUMBENT, Verdict.OK)}
    assert 5 < len(station.pairs) < 36
    for pair in station.pairs:
        assert len(pair.frames) == 3, "a part is looked at whole, or not at all"
        assert pair.outcome is Outcome.ONLY_CANDIDATE
        assert pair.assigned.share == 0.0
    assert station.shadow.tally.lost == {"all": 0}, "the others were not drawn"


def test_without_a_split_a_part_says_nothing_of_one() -> None:
    station = Station()
    station.part("one", [OK, NG_INCUMBENT, OK])
    station.end_all()
    assert station.told[0].verdict is Verdict.NG
    assert station.told[0].looks == ()
    assert not {"rollout", "shadow"} & set(parts_of(station)[0])


def test_followed_parts_are_the_incumbents_tracks_for_both_arms() -> None:
    """Each object is of one arm; what the candidate found is judged in the incumbent's box."""
    pytest.importorskip("scipy")
    station = Station(PartRules(By.TRACK))
    station.script.detect = belt
    recipe = Recipe(0.3, (Rule("scratch", "scratch", 0.3, at_most=0),), "bottle")
    station.split(share=0.5, either=False, recipe=recipe)
    pointer = station.active_slot.pointer
    assert pointer.known is not None
    station.active_slot.retune(pointer.known, recipe)
    station.film(list(range(1, 200)))
    station.end_all()
    assert len(station.told) >= 6
    whole = [each for each in station.told if each.reason is None]
    for told in whole:
        assert told.assigned is not None
        drawn = draw("r-1", "boot", str(told.part))
        assert told.assigned.draw == drawn
        assert told.model == (CANDIDATE if drawn < 0.5 else INCUMBENT)
        assert told.verdict is (Verdict.NG if told.model == CANDIDATE else Verdict.OK)
    assert {each.model for each in whole} == {CANDIDATE, INCUMBENT}
    assert [each.assigned for each in station.verdicts] == [None] * len(station.verdicts)
    assert {each.model for each in station.verdicts} == {INCUMBENT}
    assert {pair.outcome for pair in station.pairs} == {Outcome.ONLY_CANDIDATE}
    assert {each.part for each in whole} <= {pair.part for pair in station.pairs}


def belt(order: object, pixels: object) -> tuple[Detection, ...]:
    """Bottles that pass; the candidate finds a scratch on each, the incumbent none."""
    number = int(pixels[0, 0, 0])  # type: ignore[index]
    found = []
    for bottle in range(8):
        x = number * 0.2 - bottle * 5.0
        if 0.0 < x < 8.0:
            found.append(Detection("bottle", 0.9, (x - 0.6, 3.0, x + 0.6, 4.2)))
            if getattr(order, "ref", None) == CANDIDATE:
                found.append(Detection("scratch", 0.9, (x - 0.1, 3.4, x + 0.1, 3.6)))
    return tuple(found)


OPS = st.lists(
    st.one_of(
        st.tuples(st.just("part"), st.lists(st.integers(0, 7), max_size=4)),
        st.tuples(st.just("frames"), st.lists(st.integers(0, 7), min_size=1, max_size=3)),
        st.tuples(st.just("split"), st.sampled_from((0.0, 0.3, 1.0)), st.booleans()),
        st.tuples(st.just("shadow")),
        st.tuples(st.just("end")),
        st.tuples(st.just("die"), st.sampled_from(("raised", "lost"))),
    ),
    max_size=14,
)


@settings(max_examples=40, deadline=None)
@given(OPS)
def test_an_auditor_finds_no_part_that_two_models_judged(ops: list[tuple[object, ...]]) -> None:
    """From what was published: every trigger has its part, by the model that its draw says."""
    station = Station()
    number = parts = 0
    for op in ops:
        if op[0] == "part":
            station.part(f"SN-{parts}", op[1])  # type: ignore[arg-type]
            parts += 1
        elif op[0] == "frames":
            station.film(op[1])  # type: ignore[arg-type]
        elif op[0] == "split":
            number += station.is_over
            station.split(share=op[1], either=op[2], rollout=f"r-{number}")  # type: ignore[arg-type]
        elif op[0] == "shadow":
            number += station.is_over
            station.split(share=0.0, mode=Mode.SHADOW, rollout=f"r-{number}")
        elif op[0] == "end":
            station.end()
        else:
            station.die(str(op[1]))
    station.end_all()
    audit(station, parts)


def audit(station: Station, parts: int) -> None:
    """Recomputed from the published bytes, and from nothing else."""
    lines = parts_of(station)
    assert [line["part"] for line in lines] == list(range(parts))
    for line in lines:
        rollout = line.get("rollout")
        is_candidates = line["model"] == str(CANDIDATE)
        if not isinstance(rollout, dict):
            assert not is_candidates
            continue
        drawn = draw(rollout["id"], "boot", str(line["id"]))
        assert (rollout["draw"], rollout["unit"]) == (drawn, line["id"])
        assert rollout["arm"] == ("candidate" if drawn < rollout["share"] else "incumbent")
        if line["reason"] is None:
            assert is_candidates == (rollout["arm"] == "candidate")
            assert line["reason"] != "changeover", "two models in one part"
    assert [each.frame for each in station.verdicts] == list(range(station.captured))
    assert all(each.model is not None for each in station.verdicts)
    for pair in station.pairs:
        assert pair.incumbent.model == INCUMBENT
        assert pair.candidate.model == CANDIDATE


def test_a_candidate_that_hangs_holds_up_the_part_that_it_looks_at_and_no_other() -> None:
    """What both judged before is paired at once, whatever the candidate does meanwhile."""
    station = Station()
    station.knows_arms = True
    may_hang, hangs, over = threading.Event(), threading.Event(), threading.Event()
    detect, told = station.script.detect, list[PartOutcome]()

    def hang(order: LoadOrder, pixels: Pixels) -> tuple[Detection, ...]:
        if may_hang.is_set() and order.ref == CANDIDATE:
            hangs.set()
            over.wait(300.0)  # longer than anybody here is patient
        return detect(order, pixels)

    station.script.detect = hang
    station.line.on_told = told.extend
    station.split(share=0.0, mode=Mode.SHADOW)
    names = (f"SN-{number}" for number in range(100))
    looked_at = (name for name in names if draw("r-1", "boot", name) * LATER_BITS % 1.0 < 0.5)
    station.part(next(looked_at), [OK, NG_CANDIDATE])
    may_hang.set()
    station.trigger(next(looked_at))
    Two.film(station, [NG_INCUMBENT])
    assert hangs.wait(30.0)
    wait_until(lambda: len(told) == 1, "the first part")
    station.shadow.told(told)
    wait_until(lambda: len(station.pairs) == 1, "its pair")
    assert station.pairs[0].frames == (0, 1)
    station.knows_arms = False
    station.clock.advance(0.05)
    Two.film(station, [OK])
    wait_until(lambda: len(told) == 2, "the second part")
    station.shadow.told(told[1:])
    over.set()
    station.shadow.stop(30.0)
    assert [pair.outcome for pair in station.pairs] == [
        Outcome.ONLY_CANDIDATE,
        Outcome.ONLY_INCUMBENT,
    ]
    assert station.pairs[1].frames == (2,)
    station.end_all()
