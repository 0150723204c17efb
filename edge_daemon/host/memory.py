"""Frame memory: one memfd that the camera writes and every worker maps read-only.

There is no name to leak and no lock that a killed process could leave held; the descriptor is the
right to see the frames. Whoever holds the `FrameMemory` keeps the pages alive.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:  # the daemon's start reads this before its workers begin: no time for numpy
    import numpy as np
    from numpy.typing import NDArray

Pixels: TypeAlias = "NDArray[np.uint8]"
"""One frame: height x width x 3, BGR, uint8, C-contiguous."""


_F_SEAL_FUTURE_WRITE = 0x10  # linux/fcntl.h, since 5.1; Python has no name for it


@dataclass(frozen=True)
class FrameShape:
    """Pixels of one frame; three BGR channels of one byte."""

    height: int
    width: int

    @property
    def size_bytes(self) -> int:
        return self.height * self.width * 3

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, as recipes take it."""
        return self.width, self.height


@dataclass(frozen=True, eq=False)
class FrameMemory:
    """`places` frames of one shape in one memfd, shared by descriptor."""

    shape: FrameShape
    places: int
    fd: int
    _map: mmap.mmap = field(repr=False)
    _array: NDArray[np.uint8] = field(repr=False)

    @classmethod
    def allocate(cls, shape: FrameShape, places: int, *, is_writable: bool = False) -> FrameMemory:
        """Reserve the memory now, so that a full box fails here and not at a later frame.

        `is_writable`: by whoever gets the descriptor. What is read there may change at any time.
        """
        size = shape.size_bytes * places
        fd = os.memfd_create("edge-daemon-frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        with ExitStack() as undo:
            undo.callback(os.close, fd)
            os.posix_fallocate(fd, 0, size)
            memory = cls._over(fd, shape, places, mmap.PROT_READ | mmap.PROT_WRITE)
            # A worker that got the descriptor can neither write nor, by shrinking it, have the
            # daemon killed by SIGBUS; our own mapping stays writable.
            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
            if not is_writable:
                seals |= _F_SEAL_FUTURE_WRITE
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals | fcntl.F_SEAL_SEAL)
            undo.pop_all()
            return memory

    @classmethod
    def holding(cls, pixels: Pixels) -> FrameMemory:
        """One place with a copy of these pixels."""
        memory = cls.allocate(FrameShape(*pixels.shape[:2]), 1)
        memory.pixels(0)[:] = pixels
        return memory

    @classmethod
    def attach(
        cls, fd: int, shape: FrameShape, places: int, *, is_writable: bool = False
    ) -> FrameMemory:
        """Map memory that another process allocated. Takes over `fd`.

        Raises ValueError where it is smaller than that.
        """
        return cls._over(
            fd, shape, places, mmap.PROT_READ | (mmap.PROT_WRITE if is_writable else 0)
        )

    @classmethod
    def _over(cls, fd: int, shape: FrameShape, places: int, access: int) -> FrameMemory:
        import numpy as np  # noqa: PLC0415 - as above

        mapped = mmap.mmap(fd, shape.size_bytes * places, mmap.MAP_SHARED, access)
        flat: NDArray[Any] = np.frombuffer(mapped, dtype=np.uint8)
        return cls(shape, places, fd, mapped, flat.reshape(places, shape.height, shape.width, 3))

    def pixels(self, place: int) -> Pixels:
        """The frame at `place` as a view: no copy; writable only where it was allocated."""
        view: Pixels = self._array[place]
        return view

    def close(self) -> None:
        """Give the descriptor back; the pages go when the last view of them does."""
        os.close(self.fd)


@dataclass(frozen=True)
class FrameAddress:
    """Where the pixels of one leased frame lie."""

    memory: FrameMemory
    place: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the frame in pixels."""
        return self.memory.shape.size

    @property
    def pixels(self) -> Pixels:
        return self.memory.pixels(self.place)
