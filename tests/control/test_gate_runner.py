"""The gate runner: evidence from this camera and these images, within its time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge_daemon.config import GateSettings
from edge_daemon.control.gate_runner import TIMED_FRAMES, GateRunner
from edge_daemon.core.gate import Limits
from edge_daemon.core.values import (
    Assignment,
    BundleRef,
    Detection,
    Judged,
    Known,
    Recipe,
    Verdict,
)
from edge_daemon.errors import Code, SlotLost
from edge_daemon.host.memory import FrameAddress, FrameMemory, FrameShape
from edge_daemon.slots.crossing import Crossing, Pointer
from edge_daemon.slots.line import Sample
from edge_daemon.slots.slot import Inference, LoadOrder
from tests.sim.slot import Script, SimSlot

ORDER = LoadOrder(BundleRef("b", "2"), "bb", Path(), Path(), "detect", ("x",), 32, 0.2)


class SilentLine:
    """A line on which nothing is judged; it notes how long it was waited for."""

    def __init__(self) -> None:
        self.memory = FrameMemory.allocate(FrameShape(4, 6), 1)
        self.patience: list[float] = []

    @contextmanager
    def sampler(self) -> Iterator[SilentLine]:
        yield self

    def next(self, timeout_s: float) -> Sample:
        self.patience.append(timeout_s)
        return Sample(FrameAddress(self.memory, 0))


class Bench:
    def __init__(self) -> None:
        self.line = SilentLine()
        self.slots = {name: SimSlot(name, script=Script()) for name in "AB"}
        self.crossing = Crossing(self.slots, lambda: None)
        self.runner = GateRunner(
            GateSettings(),
            self.line,  # type: ignore[arg-type]
            self.crossing,
            lambda: {"host": 1 << 30},
        )
        for slot in self.slots.values():
            slot.load(ORDER, 1.0)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def far() -> float:
    return time.monotonic() + 60.0


def test_warm_up_is_at_least_two_inferences(bench: Bench) -> None:
    """The first one after a load is the slow one; it must not be the only one."""
    warm_ups = bench.runner.warm(bench.slots["B"], 1, far())
    assert len(warm_ups) == 2
    assert (warm_ups[0].width, warm_ups[0].height) == (6, 4)


def test_nothing_is_waited_for_where_nothing_judges(bench: Bench) -> None:
    """At the start, and when the slot in hand is the only one that could judge."""
    bench.runner.warm(bench.slots["B"], 2, far())
    bench.crossing.pointer = Pointer(bench.slots["B"], Known(BundleRef("b", "1"), "aa"))
    bench.runner.warm(bench.slots["B"], 2, far())
    bench.crossing.pointer = Pointer(bench.slots["A"], Known(BundleRef("b", "1"), "aa"))
    bench.runner.warm(bench.slots["B"], 2, far())
    assert bench.line.patience[:2] == [0.0, 0.0]
    assert bench.line.patience[2] > 0.0


def test_past_its_time_the_gate_ends(bench: Bench) -> None:
    """As a load that takes too long, with the setting to raise."""
    with pytest.raises(SlotLost) as caught:
        bench.runner.warm(bench.slots["B"], 2, time.monotonic() - 1.0)
    assert caught.value.code is Code.LOAD_TIMEOUT
    assert "gate.timeout_s" in caught.value.hint


def test_the_active_model_answers_between_frames(bench: Bench) -> None:
    """On the lane's own thread; the gate waits for it."""
    box = Detection("x", 0.5, (0.0, 0.0, 1.0, 1.0))
    bench.slots["A"].script.detect_file = lambda order, path: (box,)
    bench.crossing.pointer = Pointer(bench.slots["A"], Known(BundleRef("b", "1"), "aa"))
    answers: list[object] = []
    asking = threading.Thread(
        target=lambda: answers.append(bench.runner._ask_incumbent(Path("golden.png")))
    )
    asking.start()
    while asking.is_alive():
        errand = bench.crossing.take_errand()
        if errand is not None:
            errand(bench.crossing.pointer)
        asking.join(0.001)
    assert answers == [(box,)]


def test_a_lost_incumbent_is_no_fault_of_the_candidate(bench: Bench) -> None:
    """The image is compared with nothing."""
    bench.slots["A"].kill()
    bench.crossing.pointer = Pointer(bench.slots["A"], Known(BundleRef("b", "1"), "aa"))
    answers: list[object] = []
    asking = threading.Thread(
        target=lambda: answers.append(bench.runner._ask_incumbent(Path("golden.png")))
    )
    asking.start()
    while asking.is_alive():
        errand = bench.crossing.take_errand()
        if errand is not None:
            errand(bench.crossing.pointer)
        asking.join(0.001)
    assert answers == [None]


class HangingSlot(SimSlot):
    def infer(self, frame: FrameAddress, timeout_s: float) -> Inference:
        threading.Event().wait(timeout_s)
        raise SlotLost("The worker was silent.")


def test_a_model_that_hangs_is_given_up_as_too_late(bench: Bench) -> None:
    """Not as a worker that died: what hangs at its inference is the bundle's own fault."""
    slot = HangingSlot("B", script=Script())
    with pytest.raises(SlotLost) as caught:
        bench.runner.warm(slot, 2, time.monotonic() + 0.05)
    assert caught.value.code is Code.LOAD_TIMEOUT


class HiccupLine(SilentLine):
    """Judges one frame in `every`; the others come without a verdict."""

    def __init__(self, every: int) -> None:
        super().__init__()
        self._every = every

    def next(self, timeout_s: float) -> Sample:
        sample = super().next(timeout_s)
        if len(self.patience) % self._every:
            return sample
        seen = Judged(0, 0.0, 0.0, Assignment(), Verdict.OK, inference_ms=5.0)
        return replace(sample, judged=seen)


@pytest.mark.parametrize(("every", "compared"), [(2, 10), (10, None)])
def test_a_line_that_falters_is_not_held_against_the_candidate(
    bench: Bench, every: int, compared: int | None
) -> None:
    """With too few frames judged there is nothing to compare with; never a failed comparison."""
    bench.line = bench.runner._line = HiccupLine(every)  # type: ignore[assignment]
    manifest = SimpleNamespace(limits=Limits(), recipe=Recipe(0.5, frozenset()))
    proven: Any = SimpleNamespace(
        slot=bench.slots["B"], verified=SimpleNamespace(manifest=manifest), incumbent=None
    )
    timing, _ = bench.runner._interleaved(proven, far())
    assert timing is not None
    assert len(timing.candidate_ms) == TIMED_FRAMES
    assert (timing.incumbent_ms and len(timing.incumbent_ms)) == compared
