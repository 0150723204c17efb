"""The standby: a bundle that stands by twice loses no frame with a worker."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from functools import partial
from typing import NoReturn

import pytest

from edge_daemon.errors import BundleError, SlotLost
from edge_daemon.host.memory import FrameAddress, FrameMemory
from edge_daemon.slots.child import WorkerSpec
from edge_daemon.slots.process import ProcessSlot
from edge_daemon.slots.slot import Slot
from edge_daemon.slots.spare import SparePool
from edge_daemon.slots.standby import Standbys, StandbySlot
from tests.sim.device import wait_until
from tests.sim.engine import Behaviour
from tests.slots.conftest import Order

GENEROUS_S = 30.0


@pytest.fixture(scope="module")
def spares(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparePool]:
    readable = (str(tmp_path_factory.getbasetemp()),)
    pool = SparePool(WorkerSpec("tests.sim.engine:SimEngine", readable=readable), settle_s=0.0)
    yield pool
    pool.close()


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def slot(spares: SparePool, told: list[str]) -> Iterator[StandbySlot]:
    made = StandbySlot(partial(ProcessSlot, "A", spares), lambda _, why: told.append(why))
    yield made
    made.close()


def kill(slot: StandbySlot) -> None:
    assert slot.pid is not None
    os.kill(slot.pid, signal.SIGKILL)


def test_the_twin_judges_the_very_frame(
    slot: StandbySlot, frame: FrameAddress, order: Order, told: list[str]
) -> None:
    """A killed worker costs the caller nothing but time, and is told of once."""
    slot.load(order(Behaviour.GOOD), GENEROUS_S)
    before = slot.infer(frame, GENEROUS_S)
    for count in (1, 2, 3):
        assert slot.make_twin()
        kill(slot)
        assert slot.infer(frame, GENEROUS_S).detections == before.detections
        assert len(told) == count
        assert "SIGKILL" in told[-1]


def test_without_a_twin_the_loss_is_the_callers(
    slot: StandbySlot, frame: FrameAddress, order: Order, told: list[str]
) -> None:
    """While the standby is still being made, a lost worker is a lost slot, as without standbys."""
    slot.load(order(Behaviour.GOOD), GENEROUS_S)
    kill(slot)
    with pytest.raises(SlotLost):
        slot.infer(frame, GENEROUS_S)
    assert told == []
    slot.load(order(Behaviour.GOOD), GENEROUS_S)
    slot.infer(frame, GENEROUS_S)


def test_a_frame_that_kills_the_twin_too_is_given_up(
    slot: StandbySlot, frame: FrameAddress, order: Order
) -> None:
    """Two workers are enough for one frame; the slot is empty then, and can be loaded again."""
    slot.load(order(Behaviour.DIE_AT_INFER), GENEROUS_S)
    assert slot.make_twin()
    with pytest.raises(BundleError, match="Two workers"):
        slot.infer(frame, GENEROUS_S)
    with pytest.raises(SlotLost):
        slot.infer(frame, GENEROUS_S)
    slot.load(order(Behaviour.GOOD), GENEROUS_S)
    slot.infer(frame, GENEROUS_S)


def test_a_twin_that_finds_no_memory_is_freed_and_made_later(
    slot: StandbySlot, frame: FrameAddress, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong with it, the thread that makes standbys goes on."""
    slot.load(order(Behaviour.GOOD), GENEROUS_S)
    slot.infer(frame, GENEROUS_S)

    def no_memory(*_: object) -> NoReturn:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    with monkeypatch.context() as short:
        short.setattr(FrameMemory, "allocate", no_memory)
        assert not slot.make_twin()
    assert not slot.has_twin
    assert slot.make_twin()
    assert slot.has_twin


def test_only_the_judging_slot_has_a_twin(spares: SparePool, order: Order) -> None:
    """After a cutover the standby's memory goes to the bundle that judges now."""
    slots = [StandbySlot(partial(ProcessSlot, name, spares), lambda *_: None) for name in "AB"]
    judging: list[Slot] = [slots[0]]
    standbys = Standbys(slots, lambda: judging[0])
    try:
        for each in slots:
            each.load(order(Behaviour.GOOD), GENEROUS_S)
        standbys.start()
        wait_until(lambda: slots[0].has_twin and not slots[1].has_twin, "a standby for A")
        judging[0] = slots[1]
        wait_until(lambda: slots[1].has_twin and not slots[0].has_twin, "a standby for B")
    finally:
        standbys.stop()
        for each in slots:
            each.close()
    assert not any(each.has_twin for each in slots)


def test_a_twin_that_died_is_made_anew(
    spares: SparePool, frame: FrameAddress, order: Order
) -> None:
    """A standby is asked nothing for days; its death is noticed before it is needed."""
    slot = StandbySlot(partial(ProcessSlot, "A", spares), lambda *_: None)
    standbys = Standbys([slot], lambda: slot)
    try:
        slot.load(order(Behaviour.GOOD), GENEROUS_S)
        standbys.start()
        wait_until(lambda: slot.has_twin, "a standby")
        standby = slot.twin_pid
        assert standby is not None
        os.kill(standby, signal.SIGKILL)
        wait_until(lambda: slot.has_twin and slot.twin_pid != standby, "another standby")
        kill(slot)
        slot.infer(frame, GENEROUS_S)
    finally:
        standbys.stop()
        slot.close()
