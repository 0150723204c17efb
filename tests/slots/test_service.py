"""What a worker answers: one request at a time, and nothing stays open behind it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_daemon.errors import BundleError
from edge_daemon.host.memory import FrameMemory, FrameShape
from edge_daemon.slots import wire
from edge_daemon.slots.kernel import Priority
from edge_daemon.slots.resident import Resident
from edge_daemon.slots.service import Service
from tests.sim.engine import SimEngine

CANVAS = FrameShape(8, 8)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Service]]:
    ours, theirs = wire.pair()
    yield ours, Service(wire.WorkerEnd(theirs), Resident(SimEngine()), Priority())
    theirs.close()


def test_a_picture_that_cannot_be_decoded_leaves_no_memory_behind(
    ends: tuple[socket.socket, Service], tmp_path: Path
) -> None:
    """A folder of a thousand broken pictures must not take all descriptors of a worker."""
    ours, service = ends
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    slot_end = wire.SlotEnd(ours)
    canvas = FrameMemory.allocate(CANVAS, 1, is_writable=True)
    slot_end.send(wire.Decode(str(broken)), 1.0, (canvas.fd,))
    ours.shutdown(socket.SHUT_WR)
    before = len(os.listdir("/proc/self/fd"))
    service.serve()
    assert len(os.listdir("/proc/self/fd")) == before
    reply = slot_end.receive(1.0)
    assert isinstance(reply, wire.WorkerFault)
    assert isinstance(reply.error(), BundleError)
    ours.close()
    canvas.close()
