"""A camera that is as fast as whoever hears of its frames: a busy box slows it, and loses none.

    camera: {source: "paced:?fps=150&ahead=48&heard=/tmp/line/heard"}

The file has one number of eight bytes: how many frames of this life were heard of. No more than
`ahead` of them are under way. Each picture differs from the one before it.
"""

from __future__ import annotations

import mmap
import struct
import threading
import time
from pathlib import Path
from urllib.parse import parse_qsl

from edge_daemon.config import CameraSettings, sources
from edge_daemon.frames.camera import Making
from edge_daemon.frames.fault import SourceError
from edge_daemon.frames.pace import Pace
from edge_daemon.host.memory import FrameShape, Pixels

WIDTH, HEIGHT = 160, 120
_BELT = 70
_PATIENT_S = 1.0  # a camera that gives nothing for long is taken for dead
_LOOK_S = 0.002
_SLOWLY_S = 0.05


class Heard:
    """The number in the file, for both sides."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(8))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 8)

    @property
    def frames(self) -> int:
        number: int = struct.unpack_from("<q", self._memory)[0]
        return number

    @frames.setter
    def frames(self, number: int) -> None:
        struct.pack_into("<q", self._memory, 0, number)


def draw(number: int, pixels: Pixels) -> None:
    """The picture of this number: a part that moves, with the number in bands of grey."""
    pixels.fill(_BELT)
    x = 7 * number % (WIDTH - 40)
    pixels[20:100, x : x + 40] = 200
    for bit in range(16):
        if number >> bit & 1:
            pixels[24 + 4 * bit : 28 + 4 * bit, x : x + 40] = 140


def is_drawn(pixels: Pixels) -> bool:
    """Whether it is such a picture."""
    return pixels.shape[:2] == (HEIGHT, WIDTH) and bool((pixels[:20] == _BELT).all())


class PacedCamera:
    """Follows the camera protocol."""

    exposed_at: float | None = None
    damage: str | None = None
    remarks: tuple[str, ...] = ()

    def __init__(self, source: str) -> None:
        given = dict(parse_qsl(source.partition("?")[2]))
        self._source = source
        self._fps, self._ahead = float(given["fps"]), int(given["ahead"])
        self._heard = Heard(Path(given["heard"]))
        self._given = 0
        self._unheard: int | None = None  # those given before the first that was heard of
        self._closing = threading.Event()
        self._pace = Pace(self._fps, time.monotonic, self._closing.wait)

    @property
    def fps(self) -> float | None:
        return self._fps

    def open(self) -> FrameShape:
        return FrameShape(HEIGHT, WIDTH)

    def read_into(self, pixels: Pixels) -> Pixels | None:
        until = time.monotonic() + _PATIENT_S
        while not self._may_give() and time.monotonic() < until:
            self._closing.wait(_LOOK_S)
        if not self._pace.wait_turn() or self._closing.is_set():
            raise SourceError("The paced camera was closed.")
        draw(self._given, pixels)
        self._given += 1
        return pixels

    def _may_give(self) -> bool:
        """Until somebody hears, a few; frames count only from the first that a model may see."""
        heard = self._heard.frames
        if not heard:
            return not self._closing.wait(_SLOWLY_S)
        if self._unheard is None:
            self._unheard = self._given - heard
        return self._given - self._unheard - heard < self._ahead

    def close(self) -> None:
        self._closing.set()

    def describe(self) -> str:
        return self._source


def open_paced(settings: CameraSettings, making: Making) -> PacedCamera:
    """The same pictures whatever is made."""
    return PacedCamera(settings.source)


PACED = sources.SourceKind(("paced:",), "paced:", "tests.sim.paced:open_paced")


def register() -> None:
    """In this process, settings may name the paced camera."""
    if PACED not in sources.SOURCES:
        sources.SOURCES = (PACED, *sources.SOURCES)
