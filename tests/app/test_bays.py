"""The bays: slots as the settings want them, and the word of a twin."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from edge_daemon.app.bays import Bays
from edge_daemon.control.arrivals import TwinStoodIn
from edge_daemon.core.values import BundleRef
from edge_daemon.host.memory import FrameAddress, FrameMemory, FrameShape
from edge_daemon.slots.process import ProcessSlot
from edge_daemon.slots.slot import LoadOrder
from edge_daemon.slots.thread import ThreadSlot
from edge_daemon.slots.twin import TwinSlot
from tests.sim.device import ENGINE, wait_until
from tests.sim.engine import Behaviour, write_weights
from tests.sim.ground import ground

GENEROUS_S = 60.0


@pytest.mark.parametrize(
    ("slots", "names", "kind"),
    [
        ({"isolation": "thread", "spare": "off", "count": 1}, "A", ThreadSlot),
        ({"isolation": "process", "spare": "off", "count": 3}, "ABC", ProcessSlot),
        ({"isolation": "process", "spare": "hot", "count": 2}, "AB", TwinSlot),
    ],
)
def test_slots_are_as_the_settings_want_them(
    slots: dict[str, object], names: str, kind: type, tmp_path: Path
) -> None:
    """So many of them, in threads or in processes, each with a twin where it is wanted."""
    with ground(tmp_path, slots=slots) as laid:
        bays = Bays(laid, ENGINE, lambda _: None)
        assert "".join(bays.slots) == names
        assert {type(slot) for slot in bays.slots.values()} == {kind}
        bays.keep_twin(lambda: None)()
        bays.close()


def test_a_twin_that_stood_in_is_put_into_the_mailbox(tmp_path: Path) -> None:
    """By the name of its slot, and counted; the frame has its verdict."""
    told: list[TwinStoodIn] = []
    memory = FrameMemory.allocate(FrameShape(48, 64), places=1)
    np.asarray(memory.pixels(0))[:] = 9
    with ground(tmp_path, slots={"isolation": "process", "spare": "hot", "device": "cpu"}) as laid:
        weights = write_weights(laid.scratch, Behaviour.GOOD)
        ref = BundleRef("bottle", "1.0.0")
        order = LoadOrder(ref, "0", laid.scratch, weights, "detect", ("bottle",), 320, 0.25)
        bays = Bays(laid, ENGINE, told.append)
        slot = bays.slots["B"]
        assert isinstance(slot, TwinSlot)
        slot.load(order, GENEROUS_S)
        slot.infer(FrameAddress(memory, 0), GENEROUS_S)
        stop = bays.keep_twin(lambda: slot)
        wait_until(lambda: slot.has_twin, "the twin")
        assert slot.pid is not None
        os.kill(slot.pid, signal.SIGKILL)
        assert slot.infer(FrameAddress(memory, 0), GENEROUS_S).finite
        stop()
        slot.close()
        bays.close()
        assert [each.slot for each in told] == ["B"]
        assert b'edge_slot_restarts_total{reason="stood_in"} 1.0' in laid.metrics.render()
    memory.close()
