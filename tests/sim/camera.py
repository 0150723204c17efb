"""A camera that plays a script: frames, silence, death, another shape, garbage, an end.

    source = SimSource(FrameShape(4, 6))
    source.play(Frames(3), Stall(), Frames(2))
    capture = Capture(source.make, …)

Each try of the daemon makes another `SimCamera`, and they go on with the same script. Every frame
carries its number, so that a test can say which picture it has got.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Union

import numpy as np

from edge_daemon.frames.fault import SourceError
from edge_daemon.host.memory import FrameShape, Pixels

_GENEROUS_S = 60.0
_USUAL = FrameShape(4, 6)
LATE = 1_000_000
"""The number in every frame that a hanging read gives at last."""


@dataclass(frozen=True)
class Frames:
    """So many good frames, as fast as they are read."""

    count: int


@dataclass(frozen=True)
class Frozen:
    """So many frames that all show number `number`."""

    count: int
    number: int


@dataclass(frozen=True)
class Stall:
    """The read hangs in the driver, closed or not, until `unstick`; then frame `LATE` comes."""


@dataclass(frozen=True)
class Fail:
    """The read reports this error."""

    error: Exception


@dataclass(frozen=True)
class Refuse:
    """The next open fails with this error; no effect on a camera that is open."""

    error: Exception


@dataclass(frozen=True)
class Change:
    """Frames have another shape from here on."""

    shape: FrameShape


@dataclass(frozen=True)
class End:
    """The source has come to its end."""


Step = Union[Frames, Frozen, Stall, Fail, Refuse, Change, End]


def written(number: int, pixels: Pixels) -> None:
    """Put a number into a frame: its low byte everywhere, all of it in the first four bytes."""
    pixels.fill(number % 256)
    pixels.reshape(-1)[:4] = np.frombuffer(number.to_bytes(4, "little"), np.uint8)


def number_in(pixels: Pixels) -> int:
    """The number that a whole frame carries; raises AssertionError when the frame is torn."""
    flat = pixels.reshape(-1)
    number = int.from_bytes(flat[:4].tobytes(), "little")
    assert (flat[4:] == number % 256).all(), "two frames were mixed"
    return number


class SimSource:
    """The script, and what became of it."""

    def __init__(self, shape: FrameShape = _USUAL, fps: float | None = 30.0) -> None:
        self.shape = shape
        self.fps = fps
        self.remarks: tuple[str, ...] = ()
        self.exposures: deque[float] = deque()  # stamps of the frames to come; none: no stamps
        self.opens = 0
        self.cameras: list[SimCamera] = []  # that were made, one a try
        self._steps: deque[Step] = deque()
        self._changed = threading.Condition()
        self._number = 0
        self._unstuck = 0
        self._stalled = 0

    def play(self, *steps: Step) -> None:
        """Add to the script; a camera at the end of it waits."""
        with self._changed:
            self._steps.extend(steps)
            self._changed.notify_all()

    def make(self) -> SimCamera:
        camera = SimCamera(self)
        self.cameras.append(camera)
        return camera

    def unstick(self) -> None:
        """Let everything that hangs go on."""
        with self._changed:
            self._unstuck = self._stalled
            self._changed.notify_all()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Until the script has come so far; fails after a generous time."""
        with self._changed:
            assert self._changed.wait_for(condition, _GENEROUS_S)

    @property
    def finished(self) -> bool:
        return not self._steps

    @property
    def stalled(self) -> int:
        """How many reads hang at this moment."""
        return self._stalled - self._unstuck

    # ----------------------------------------------------------------------- for SimCamera

    def opened(self) -> FrameShape:
        with self._changed:
            self.opens += 1
            if self._steps and isinstance(self._steps[0], Refuse):
                step = self._take()
                assert isinstance(step, Refuse)
                raise step.error
            return self.shape

    def closed(self, camera: SimCamera) -> None:
        with self._changed:
            camera.closes += 1
            self._changed.notify_all()

    def read(self, camera: SimCamera, pixels: Pixels) -> Pixels | None:
        with self._changed:
            while True:
                self._changed.wait_for(lambda: camera.is_closed or bool(self._steps))
                if camera.is_closed:
                    raise SourceError("The camera was closed.")
                step = self._take()
                if isinstance(step, (Frames, Frozen)):
                    return self._frame(step, pixels)
                if isinstance(step, Change):
                    self.shape = step.shape
                elif isinstance(step, Fail):
                    raise step.error
                elif isinstance(step, End):
                    return None
                elif isinstance(step, Stall):
                    self._hang()
                    return self._frame(Frozen(1, LATE), pixels)

    def _take(self) -> Step:
        self._changed.notify_all()
        return self._steps.popleft()

    def _hang(self) -> None:
        self._stalled += 1
        mine = self._stalled
        self._changed.notify_all()
        self._changed.wait_for(lambda: self._unstuck >= mine)

    def _frame(self, step: Frames | Frozen, pixels: Pixels) -> Pixels:
        if isinstance(step, Frozen):
            number = step.number
            rest: Step = Frozen(step.count - 1, number)
        else:
            number, self._number = self._number, self._number + 1
            rest = Frames(step.count - 1)
        if step.count > 1:
            self._steps.appendleft(rest)
        if pixels.shape != (self.shape.height, self.shape.width, 3):
            pixels = np.empty((self.shape.height, self.shape.width, 3), np.uint8)
        written(number, pixels)
        return pixels


class SimCamera:
    """A `Camera` that reads from the script."""

    def __init__(self, source: SimSource) -> None:
        self._source = source
        self.closes = 0  # whoever leaves it behind closes it, and at last its own thread

    @property
    def fps(self) -> float | None:
        return self._source.fps

    def open(self) -> FrameShape:
        return self._source.opened()

    def read_into(self, pixels: Pixels) -> Pixels | None:
        return self._source.read(self, pixels)

    @property
    def remarks(self) -> tuple[str, ...]:
        return self._source.remarks

    @property
    def exposed_at(self) -> float | None:
        stamps = self._source.exposures
        return stamps.popleft() if stamps else None

    @property
    def damage(self) -> str | None:
        return None

    def close(self) -> None:
        self._source.closed(self)

    @property
    def is_closed(self) -> bool:
        return self.closes > 0

    def describe(self) -> str:
        return "sim:"
