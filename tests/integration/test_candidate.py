"""A candidate in a worker of its own beside the active one: whatever befalls it costs no frame."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_daemon.core.judged import Judged
from edge_daemon.core.rollout.values import Arm, Mode, Pair, Split
from edge_daemon.core.values import BundleRef, Recipe, StoredBundle
from edge_daemon.frames.arms import Arms
from edge_daemon.frames.captured import Captured
from edge_daemon.frames.lane import Lane
from edge_daemon.frames.ring import Ring
from edge_daemon.frames.shadow import Shadow, ShadowOutlets
from edge_daemon.host.clock import SystemClock
from edge_daemon.host.memory import FrameShape
from edge_daemon.slots.active import ActiveSlot, Pointer
from edge_daemon.slots.child import WorkerSpec
from edge_daemon.slots.process import ProcessSlot
from edge_daemon.slots.slot import LoadOrder
from edge_daemon.slots.spare import SparePool
from edge_daemon.slots.starter import Start
from tests.sim.device import wait_until
from tests.sim.engine import Behaviour, write_weights
from tests.sim.two_models import CANDIDATE, INCUMBENT, VerdictsOnly

SHAPE = FrameShape(48, 64)
TIMEOUT_S = 0.5


@pytest.fixture(scope="module")
def spares(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparePool]:
    readable = (str(tmp_path_factory.getbasetemp()),)
    pool = SparePool(WorkerSpec("tests.sim.engine:SimEngine", readable=readable), Start.FORK)
    yield pool
    pool.close()


class Line(VerdictsOnly):
    """Two workers, a lane in this thread and a shadow in its own."""

    def __init__(self, spares: SparePool, folder: Path, candidate: Behaviour) -> None:
        self.clock, self.ring = SystemClock(), Ring(8)
        self.slots = {name: ProcessSlot(name, spares) for name in "AB"}
        self.active_slot = ActiveSlot(self.slots, self.ring.wake)
        self.verdicts: list[Judged] = []
        self.pairs: list[Pair] = []
        self.guards: list[str] = []
        arms = Arms(self.active_slot, "boot", self._candidate_lost, infer_timeout_s=TIMEOUT_S)
        outlets = ShadowOutlets(self.pairs.append, arms.lose)
        self.shadow = Shadow(self.ring, self.active_slot, "boot", None, outlets)
        self.lane = Lane(self.ring, self.active_slot, self, self.clock.now, arms=arms)
        self._load("A", INCUMBENT, folder, Behaviour.GOOD)
        self._load("B", CANDIDATE, folder, candidate)
        known = StoredBundle(INCUMBENT, "1")
        self.active_slot.pointer = Pointer(self.slots["A"], known, Recipe(0.5))
        self.shadow.start()

    def _load(self, slot: str, ref: BundleRef, folder: Path, behaviour: Behaviour) -> None:
        own = folder / slot
        own.mkdir()
        weights = write_weights(own, behaviour)
        order = LoadOrder(ref, "00", own, weights, "detect", ("bottle",), 320, 0.25)
        self.slots[slot].load(order, 30.0)
        self.active_slot.ready(slot, 1)

    def _candidate_lost(self, rollout: str, guard: str, why: str) -> None:
        self.guards.append(guard)

    def judged(self, judged: Judged, captured: Captured) -> None:
        self.verdicts.append(judged)
        self.shadow.offer(judged, captured, is_gap=True)
        self.shadow.pass_on()

    def split(self, mode: Mode, share: float) -> None:
        candidate = StoredBundle(CANDIDATE, "2")
        self.active_slot.split(Split("r-1", "B", candidate, Recipe(0.5), mode, share=share))

    def film(self, frames: int) -> None:
        for number in range(frames):
            before = len(self.verdicts)
            lease = self.ring.begin(SHAPE)
            lease.pixels.fill(number % 30)
            self.ring.commit(lease, self.clock.now())
            while len(self.verdicts) == before:
                self.lane.turn()
            wait_until(lambda: self.shadow.is_idle, "the shadow")

    def models(self) -> list[BundleRef | None]:
        return [each.model for each in self.verdicts]

    def close(self) -> None:
        self.shadow.stop()
        for slot in self.slots.values():
            slot.close()


@pytest.fixture
def line(spares: SparePool, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Line]:
    made = Line(spares, tmp_path, getattr(request, "param", Behaviour.GOOD))
    yield made
    made.close()


def test_both_workers_see_the_same_pixels_where_they_lie(line: Line) -> None:
    """In shadow and in a share: the box of each frame is that of its own pixels."""
    line.split(Mode.SHADOW, 0.0)
    line.film(20)
    line.split(Mode.SHARE, 1.0)
    line.film(20)
    line.shadow.stop(30.0)
    assert line.models() == [INCUMBENT] * 20 + [CANDIDATE] * 20
    assert len(line.pairs) > 20
    for pair in line.pairs:
        boxes = {each.detections[0].box for each in (pair.incumbent, pair.candidate)}
        assert boxes == {(float(pair.part % 20), 0.0, 64.0, 48.0)}


def test_a_candidate_that_is_killed_between_two_frames_costs_none(line: Line) -> None:
    """The frame at which it is missed is the incumbent's, and so are all that follow."""
    line.split(Mode.SHARE, 1.0)
    line.film(5)
    pid = line.slots["B"].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    line.film(5)
    assert line.models() == [CANDIDATE] * 5 + [INCUMBENT] * 5
    assert line.guards == ["lost"]
    missed = line.verdicts[5].assigned
    assert missed is not None
    assert (missed.arm, missed.share) == (Arm.INCUMBENT, 0.0)


@pytest.mark.parametrize(
    ("line", "guard"),
    [
        (Behaviour.RAISE_AT_INFER, "raised"),
        (Behaviour.HANG_AT_INFER, "hung"),
        (Behaviour.SEGFAULT_AT_INFER, "lost"),
        (Behaviour.NAN, "not_finite"),
    ],
    indirect=["line"],
)
def test_a_candidate_that_fails_at_its_first_frame_costs_none(line: Line, guard: str) -> None:
    """Each kind of failure has its word, and is told once."""
    line.split(Mode.SHARE, 1.0)
    line.film(3)
    assert line.models() == [INCUMBENT] * 3
    assert line.guards == [guard]


def test_a_slot_is_freed_while_the_shadow_looks(line: Line) -> None:
    """Whoever frees it waits for the look; nothing is said of the candidate, no frame is lost."""
    line.split(Mode.SHADOW, 0.0)
    freed = threading.Event()

    def free() -> None:
        assert line.active_slot.vacate("B", 30.0)
        line.slots["B"].free()
        freed.set()

    line.film(10)
    threading.Thread(target=free).start()
    line.film(10)
    assert freed.wait(30.0)
    assert line.models() == [INCUMBENT] * 20
    assert line.guards == []
