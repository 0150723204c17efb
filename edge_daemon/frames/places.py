"""Parts of the ring: the places in memory, and the boundary from which a stamp applies."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from edge_daemon.core.values import Assignment
from edge_daemon.errors import CameraError, Code
from edge_daemon.host.memory import FrameAddress, FrameMemory, FrameShape


class Pool:
    """The places of one frame memory: which are free, and how many hold each of the others."""

    @classmethod
    def allocate(cls, shape: FrameShape, places: int) -> Pool:
        """New memory; raises CameraError when the box has not enough."""
        try:
            return cls(FrameMemory.allocate(shape, places))
        except OSError as error:
            size_mb = shape.size_bytes * places // 2**20
            raise CameraError(
                f"There is no memory for {places} frames of {shape.width}x{shape.height}"
                f" ({size_mb} MiB): {error.strerror}.",
                hint="Lower camera.buffer_frames, or give the box more memory.",
                code=Code.NO_MEMORY,
            ) from error

    def __init__(self, memory: FrameMemory) -> None:
        self.memory = memory
        self.free = deque(range(memory.places))
        self.holders = [0] * memory.places
        self.forfeited = 0

    def take(self) -> FrameAddress:
        place = self.free.popleft()
        self.holders[place] = 1
        return FrameAddress(self.memory, place)

    def hold(self, place: int) -> None:
        if self.holders[place] == 0:
            raise ValueError(f"place {place} of the ring is free: nothing there to retain")
        self.holders[place] += 1

    def let_go(self, place: int) -> None:
        if self.holders[place] == 0:
            raise ValueError(f"place {place} of the ring is free: it was released twice")
        self.holders[place] -= 1
        if self.holders[place] == 0:
            self.free.append(place)

    @property
    def idle(self) -> bool:
        return len(self.free) == self.memory.places


@dataclass(frozen=True)
class AssignmentStart:
    """From which frame on an assignment holds."""

    assignment: Assignment
    since_at: float = -math.inf
    number: int = 0

    def reached(self, number: int, at: float) -> bool:
        return number >= self.number and at >= self.since_at
