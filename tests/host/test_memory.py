"""Frame memory: the daemon writes, everybody else who holds the descriptor can only look."""

from __future__ import annotations

import mmap
import os

import pytest

from edge_daemon.host.memory import FrameMemory, FrameShape

SHAPE = FrameShape(4, 6)


def test_what_the_camera_writes_a_worker_sees_without_a_copy() -> None:
    """Both map the same pages; the worker's view follows the writer's."""
    memory = FrameMemory.allocate(SHAPE, 2)
    seen = FrameMemory.attach(os.dup(memory.fd), SHAPE, 2)
    memory.pixels(1)[...] = 7
    assert seen.pixels(1).tolist() == memory.pixels(1).tolist()
    assert int(seen.pixels(0).sum()) == 0


def test_a_worker_cannot_write_shrink_or_grow_what_it_was_given() -> None:
    """The descriptor is sealed: neither a frame nor the daemon can be harmed through it."""
    memory = FrameMemory.allocate(SHAPE, 1)
    again = os.open(f"/proc/self/fd/{memory.fd}", os.O_RDWR)
    with pytest.raises(PermissionError):
        os.ftruncate(again, 0)
    with pytest.raises(PermissionError):
        os.ftruncate(again, 1 << 20)
    with pytest.raises(PermissionError):
        os.pwrite(again, b"x", 0)
    with pytest.raises(PermissionError):
        mmap.mmap(again, SHAPE.size_bytes, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    os.close(again)
    memory.pixels(0)[...] = 9  # the camera's own view stays writable
    assert int(memory.pixels(0)[0, 0, 0]) == 9


def test_a_view_for_readers_is_read_only() -> None:
    """A worker's array refuses a write before the kernel would."""
    memory = FrameMemory.allocate(SHAPE, 1)
    seen = FrameMemory.attach(os.dup(memory.fd), SHAPE, 1)
    with pytest.raises(ValueError, match="read-only"):
        seen.pixels(0)[...] = 1
