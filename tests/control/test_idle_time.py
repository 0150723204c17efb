"""Idle time: proofs have the time between two frames, and the active model answers in it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edge_daemon.control import idle_time
from edge_daemon.control.idle_time import IdleTime
from edge_daemon.core.judged import Judged
from edge_daemon.core.values import (
    Assignment,
    BundleRef,
    Detection,
    StoredBundle,
    Verdict,
)
from edge_daemon.slots.active import ActiveSlot, Pointer
from edge_daemon.slots.slot import Inference, LoadOrder, Slot
from tests.sim.idle_tasks import still_lane
from tests.sim.slot import Script, SimSlot

ACTIVE = BundleRef("b", "1")
ORDER = LoadOrder(ACTIVE, "aa", Path(), Path(), "detect", ("x",), 32, 0.2)
BOX = Detection("x", 0.5, (0.0, 0.0, 1.0, 1.0))


@pytest.fixture
def active_slot() -> ActiveSlot:
    """Slot A judges b@1."""
    slots = {name: SimSlot(name, script=Script()) for name in "AB"}
    slots["A"].load(ORDER, 1.0)
    slots["A"].script.detect_file = lambda order, path: (BOX,)
    active_slot = ActiveSlot(slots, lambda: None)
    active_slot.pointer = Pointer(slots["A"], StoredBundle(ACTIVE, "aa"))
    return active_slot


def look(slot: Slot) -> Inference:
    return slot.infer_file(Path("golden.png"), 1.0)


def test_the_active_model_answers_between_frames(active_slot: ActiveSlot) -> None:
    """On the lane's own thread; the gate waits for it."""
    with still_lane(active_slot):
        answer = IdleTime(active_slot).ask(ACTIVE, look)
    assert answer is not None
    assert answer.detections == (BOX,)


def test_a_lost_model_gives_no_answer(active_slot: ActiveSlot) -> None:
    """That is no fault of the one which is proven: nothing is compared."""
    active_slot.slots["A"].kill()
    with still_lane(active_slot):
        assert IdleTime(active_slot).ask(ACTIVE, look) is None


def test_another_model_does_not_answer_for_it(active_slot: ActiveSlot) -> None:
    """What was active when the proof began may be left while it runs."""
    with still_lane(active_slot):
        assert IdleTime(active_slot).ask(BundleRef("other", "1"), look) is None


def test_two_proofs_at_a_time_both_get_their_answers(active_slot: ActiveSlot) -> None:
    """An asker does not take another's place in the lane's time."""
    both_asked = threading.Barrier(3)

    def ask() -> Inference | None:
        both_asked.wait()
        return IdleTime(active_slot).ask(ACTIVE, look)

    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(ask) for _ in range(2)]
        both_asked.wait()
        with still_lane(active_slot):
            assert all(answer.result() is not None for answer in answers)


def test_what_came_too_late_looks_at_nothing(
    active_slot: ActiveSlot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its picture may be gone: a lane that hangs runs it long after the gate gave up."""
    monkeypatch.setattr(idle_time, "ANSWER_WAIT_S", 0.01)
    looked: list[Slot] = []
    kept = []
    monkeypatch.setattr(active_slot, "send", kept.append)
    assert IdleTime(active_slot).ask(ACTIVE, looked.append) is None  # type: ignore[arg-type]
    kept[0](active_slot.pointer)
    assert looked == []


def test_an_answer_that_is_not_wanted_any_more_is_not_asked_for(
    active_slot: ActiveSlot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lane finds nothing to do when it is back."""
    monkeypatch.setattr(idle_time, "ANSWER_WAIT_S", 0.01)
    assert IdleTime(active_slot).ask(ACTIVE, look) is None
    assert not active_slot.has_errand


def test_who_is_not_judging_begins_where_a_gap_does(active_slot: ActiveSlot) -> None:
    """It returns when the lane has come to it."""
    came: list[str] = []
    with still_lane(active_slot, lambda: came.append("gap")):
        IdleTime(active_slot).begin(active_slot.slots["B"])
        assert came == ["gap"]


def test_where_nobody_else_judges_nothing_is_waited_for(active_slot: ActiveSlot) -> None:
    """The only slot, and the first model of a start: the lane has no gap to tell of."""
    IdleTime(active_slot).begin(active_slot.slots["A"])
    active_slot.pointer = Pointer()
    IdleTime(active_slot).begin(active_slot.slots["B"])
    assert not active_slot.has_errand


def test_a_lane_that_hangs_does_not_keep_the_next_model_back(
    active_slot: ActiveSlot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be the model that heals it."""
    monkeypatch.setattr(idle_time, "GAP_WAIT_S", 0.01)
    IdleTime(active_slot).begin(active_slot.slots["B"])
    assert not active_slot.has_errand


@pytest.mark.parametrize(
    ("frame_s", "live_ms", "work_s", "gaps_taken"),
    [
        (0.1, 10.0, 0.02, 2),  # 88 ms: four of them begin in each
        (0.1, 10.0, 0.07, 7),  # a second one would end after the next frame
        (0.1, 95.0, 0.02, 7),  # the line itself needs its time
        (0.01, 50.0, 0.02, 7),  # it is behind
    ],
)
def test_what_fits_into_one_gap_is_done_in_it(
    active_slot: ActiveSlot, frame_s: float, live_ms: float, work_s: float, gaps_taken: int
) -> None:
    """Seven inferences, each as long as the last: none is begun that would meet the next frame."""
    hands, taken = [0.0], []
    idle_time = IdleTime(active_slot, lambda: hands[0])
    for number in (3, 5):
        idle_time.learn(judged(number, number * frame_s, live_ms))
    with still_lane(active_slot, lambda: taken.append(hands[0])):
        for _ in range(7):
            idle_time.begin(active_slot.slots["B"])
            hands[0] += work_s
    assert len(taken) == gaps_taken


def test_before_the_pace_is_known_each_inference_has_a_gap_of_its_own(
    active_slot: ActiveSlot,
) -> None:
    """One frame tells nothing of the next one."""
    taken: list[None] = []
    idle_time = IdleTime(active_slot, lambda: 0.0)
    idle_time.learn(judged(3, 0.3, 1.0))
    with still_lane(active_slot, lambda: taken.append(None)):
        for _ in range(3):
            idle_time.begin(active_slot.slots["B"])
    assert len(taken) == 3


def judged(number: int, captured_at: float, inference_ms: float) -> Judged:
    made = Assignment()
    return Judged(number, 0.0, captured_at, made, Verdict.OK, inference_ms=inference_ms)
