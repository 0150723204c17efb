"""The thread slot's own limits: what hangs is abandoned, and says so."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from edge_daemon.core.values import BundleRef
from edge_daemon.errors import SlotLost
from edge_daemon.host.memory import FrameAddress, FrameMemory, FrameShape
from edge_daemon.slots.slot import LoadOrder
from edge_daemon.slots.thread import ThreadSlot
from tests.sim.engine import Behaviour, write_weights


def _order(folder: Path, behaviour: Behaviour) -> LoadOrder:
    weights = write_weights(folder, behaviour)
    return LoadOrder(BundleRef("b", "1"), "00", folder, weights, "detect", ("b",), 320, 0.25)


def test_all_calls_of_an_engine_come_from_one_thread(tmp_path: Path) -> None:
    """Whoever calls the slot, the engine sees a single thread: ultralytics needs that."""
    slot = ThreadSlot("A", "tests.sim.engine:SimEngine")
    memory = FrameMemory.allocate(FrameShape(8, 8), places=1)
    before = set(threading.enumerate())
    slot.load(_order(tmp_path, Behaviour.GOOD), 30.0)
    callers = [
        threading.Thread(target=slot.infer, args=(FrameAddress(memory, 0), 30.0)) for _ in range(3)
    ]
    for caller in callers:
        caller.start()
        caller.join()
    assert [thread.name for thread in set(threading.enumerate()) - before] == ["slot-A"]
    slot.close()
    assert not set(threading.enumerate()) - before


def test_a_thread_that_hangs_is_abandoned_and_logged(tmp_path: Path) -> None:
    """A hung load cannot be ended in a thread: the slot goes on without it, and the log says so."""
    slot = ThreadSlot("B", "tests.sim.engine:SimEngine")
    with capture_logs() as lines, pytest.raises(SlotLost):
        slot.load(_order(tmp_path, Behaviour.HANG_AT_LOAD), 0.1)
    assert [line["event"] for line in lines] == ["slot_thread_abandoned"]
    slot.load(_order(tmp_path, Behaviour.GOOD), 30.0)
    slot.close()


def test_an_engine_that_does_not_start_is_told(tmp_path: Path) -> None:
    """A missing library is a lost slot with the reason, not a wait without end."""
    slot = ThreadSlot("C", "tests.sim.nowhere:Engine")
    with pytest.raises(SlotLost, match="did not start"):
        slot.load(_order(tmp_path, Behaviour.GOOD), 30.0)
    slot.close()
