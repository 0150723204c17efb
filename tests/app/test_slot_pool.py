"""The slot pool: slots as the settings want them, and the word of a standby."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from edge_daemon.app.slot_pool import SlotPool
from edge_daemon.config import Settings
from edge_daemon.control.arrivals import StandbyTookOver
from edge_daemon.core.values import BundleRef
from edge_daemon.host.clock import SystemClock
from edge_daemon.host.memory import FrameAddress, FrameMemory, FrameShape
from edge_daemon.slots.pool import early_pool
from edge_daemon.slots.process import ProcessSlot
from edge_daemon.slots.slot import LoadOrder
from edge_daemon.slots.spare import SparePool
from edge_daemon.slots.standby import StandbySlot
from edge_daemon.slots.thread import ThreadSlot
from tests.sim.device import ENGINE, wait_until
from tests.sim.engine import Behaviour, write_weights
from tests.sim.resources import resources

GENEROUS_S = 60.0


@pytest.mark.parametrize(
    ("slots", "names", "kind"),
    [
        ({"isolation": "thread", "spare": "off", "count": 1}, "A", ThreadSlot),
        ({"isolation": "process", "spare": "off", "count": 3}, "ABC", ProcessSlot),
        ({"isolation": "process", "spare": "hot", "count": 2}, "AB", StandbySlot),
    ],
)
def test_slots_are_as_the_settings_want_them(
    slots: dict[str, object], names: str, kind: type, tmp_path: Path
) -> None:
    """So many of them, in threads or in processes, each with a standby where it is wanted."""
    with resources(tmp_path, slots=slots) as laid:
        slot_pool = SlotPool(laid, ENGINE, lambda _: None)
        assert "".join(slot_pool.slots) == names
        assert {type(slot) for slot in slot_pool.slots.values()} == {kind}
        slot_pool.keep_standby(lambda: None)()
        slot_pool.close()


def test_a_twin_that_stood_in_is_put_into_the_mailbox(tmp_path: Path) -> None:
    """By the name of its slot, and counted; the frame has its verdict."""
    told: list[StandbyTookOver] = []
    memory = FrameMemory.allocate(FrameShape(48, 64), places=1)
    np.asarray(memory.pixels(0))[:] = 9
    with resources(
        tmp_path, slots={"isolation": "process", "spare": "hot", "device": "cpu"}
    ) as laid:
        weights = write_weights(laid.scratch, Behaviour.GOOD)
        ref = BundleRef("bottle", "1.0.0")
        order = LoadOrder(ref, "0", laid.scratch, weights, "detect", ("bottle",), 320, 0.25)
        slot_pool = SlotPool(laid, ENGINE, told.append)
        slot = slot_pool.slots["B"]
        assert isinstance(slot, StandbySlot)
        slot.load(order, GENEROUS_S)
        slot.infer(FrameAddress(memory, 0), GENEROUS_S)
        stop = slot_pool.keep_standby(lambda: slot)
        wait_until(lambda: slot.has_twin, "the standby")
        assert slot.pid is not None
        os.kill(slot.pid, signal.SIGKILL)
        assert slot.infer(FrameAddress(memory, 0), GENEROUS_S).finite
        stop()
        slot.close()
        slot_pool.close()
        assert [each.slot for each in told] == ["B"]
        assert b'edge_slot_restarts_total{reason="stood_in"} 1.0' in laid.metrics.render()
    memory.close()


def warm_pool(settings: Settings) -> SparePool:
    found = early_pool(settings, ENGINE, SystemClock())
    assert found is not None
    return found


def test_workers_that_began_before_the_daemon_read_the_copies_that_it_makes(tmp_path: Path) -> None:
    """The scratch folder is emptied and stays the same one: their cage holds it by its inode."""
    slots = {"isolation": "process", "spare": "warm", "count": 1, "device": "cpu"}
    with resources(tmp_path, slots=slots) as laid:
        settings = laid.settings
    leftover = settings.scratch_folder / "A-3"
    leftover.mkdir()
    (settings.scratch_folder / "link").symlink_to(leftover)
    spares = warm_pool(settings)
    with resources(tmp_path, slots=slots) as laid:
        assert list(laid.scratch.iterdir()) == []
        slot_pool = SlotPool(laid, ENGINE, lambda _: None, spares)
        weights = write_weights(laid.scratch, Behaviour.GOOD)
        ref = BundleRef("bottle", "1.0.0")
        order = LoadOrder(ref, "0", laid.scratch, weights, "detect", ("bottle",), 320, 0.25)
        assert slot_pool.slots["A"].load(order, GENEROUS_S).task == "detect"
        slot_pool.slots["A"].close()
        slot_pool.close()
    assert len(spares.spares) == 0


def test_nothing_begins_before_the_daemon_where_its_folder_is_not_sound(tmp_path: Path) -> None:
    """A first start has no folder yet, and a link may lead anywhere; threads need no worker."""
    slots = {"isolation": "process", "device": "cpu"}
    with resources(tmp_path, slots={"isolation": "thread", "spare": "off"}) as laid:
        assert early_pool(laid.settings, ENGINE, SystemClock()) is None
    with resources(tmp_path, slots=slots) as laid:
        folder = laid.scratch
        folder.rmdir()
        assert early_pool(laid.settings, ENGINE, SystemClock()) is None
        folder.symlink_to(tmp_path)
        assert early_pool(laid.settings, ENGINE, SystemClock()) is None
