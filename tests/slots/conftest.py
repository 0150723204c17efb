"""A slot on the file's own pool (the fixture `spares`), a frame and an order for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_daemon.core.values import BundleRef
from edge_daemon.host.memory import FrameAddress, FrameMemory, FrameShape
from edge_daemon.slots.process import ProcessSlot
from edge_daemon.slots.slot import LoadOrder
from edge_daemon.slots.spare import SparePool
from tests.sim.engine import Behaviour, write_weights

Order = Callable[[Behaviour], LoadOrder]


@pytest.fixture
def slot(spares: SparePool) -> Iterator[ProcessSlot]:
    made = ProcessSlot("A", spares)
    yield made
    made.close()


@pytest.fixture
def frame() -> Iterator[FrameAddress]:
    memory = FrameMemory.allocate(FrameShape(48, 64), places=2)
    yield FrameAddress(memory, 1)
    memory.close()


@pytest.fixture
def order(tmp_path: Path) -> Order:
    def made(behaviour: Behaviour) -> LoadOrder:
        weights = write_weights(tmp_path, behaviour)
        ref = BundleRef("bottle", "1.0.0")
        return LoadOrder(
            ref, "00", tmp_path, weights, "detect", ("bottle",), 320, 0.25, swap_id="s1"
        )

    return made
