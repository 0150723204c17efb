"""A belt whose parts carry their number: a camera source, an engine that reads it, and the truth.

    camera: {source: "belt:?start=1234.5&pitch_s=0.125&apart=1.6&fps=40&seed=1"}

What the camera sees follows from the monotonic clock, which is one for the whole machine. So
whoever triggers and reckons up in another process knows what is in front of the lens at a moment,
and the belt runs on while the daemon is dead. Each part has its number in its pixels; the engine
reads it back into a detection of the class `code`, so that every frame's result says by itself
which parts it shows. Now and then the engine overlooks a part or its scratch, as networks do.
"""

from __future__ import annotations

import json
import math
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from urllib.parse import parse_qsl, urlencode

import numpy as np
from numpy.typing import NDArray

from edge_daemon.config import CameraSettings, sources
from edge_daemon.core.values import Box, Detection
from edge_daemon.frames.camera import Making
from edge_daemon.frames.fault import SourceError
from edge_daemon.frames.pace import Pace
from edge_daemon.host.memory import FrameShape, Pixels
from edge_daemon.models.engine import ModelFacts, ModelOrder, RawResult

ENGINE = "tests.sim.belt:BeltEngine"
WIDTH, HEIGHT = 160, 120
CODES = 10_000
"""Numbers repeat after so many parts."""

_HALF = 20  # pixels from a part's middle to its edge
_TOP, _BOTTOM = 40, 104
_BELT, _PART, _ONE, _FLAW = 70, 200, 150, 250  # grey levels
_BITS = 14
_BAND = 4  # rows for each bit
_JITTER = 0.08  # of the pitch, to either side
_UNSEEN = 0.02  # of the sights of a part, and of a scratch


@dataclass(frozen=True)
class Belt:
    """What passes, and when; pure.

    Args:
        start: monotonic second at which part 0 is in the middle of the picture.
        pitch_s: from one place on the belt to the next.
        apart: the same in widths of the picture; above 1.3 one part at most is in view.
        fps: frames a second.
        seed: of jitter, gaps and scratches.
    """

    start: float
    pitch_s: float
    apart: float = 1.6
    fps: float = 40.0
    seed: int = 1

    @property
    def source(self) -> str:
        """As the settings name it."""
        return "belt:?" + urlencode(vars(self))

    @classmethod
    def parse(cls, source: str) -> Belt:
        given = dict(parse_qsl(source.partition("?")[2]))
        seed = int(given.pop("seed"))
        return cls(seed=seed, **{name: float(value) for name, value in given.items()})

    def passes_at(self, number: int) -> float:
        """When its middle is in the middle of the picture; parts never change places."""
        return self.start + self.pitch_s * (number + self._chance(number, 1) * 2 * _JITTER)

    def has_part(self, number: int) -> bool:
        """One place in thirty is empty."""
        return self._chance(number, 2) > -0.5 + 1 / 30

    def has_scratch(self, number: int) -> bool:
        """One part in five."""
        return self._chance(number, 3) < -0.3

    def x(self, number: int, at: float) -> float:
        """Where its middle is, in pixels."""
        speed = self.apart * WIDTH / self.pitch_s
        return WIDTH / 2 + (at - self.passes_at(number)) * speed

    def at_x(self, number: int, x: float) -> float:
        """When its middle is there."""
        return self.passes_at(number) + (x - WIDTH / 2) * self.pitch_s / (self.apart * WIDTH)

    def near(self, at: float) -> range:
        """Places that may be in view."""
        middle = (at - self.start) / self.pitch_s
        reach = 1.0 + 0.6 / self.apart
        return range(max(0, math.floor(middle - reach)), max(0, math.ceil(middle + reach) + 1))

    def _chance(self, number: int, what: int) -> float:
        """-0.5 to 0.5, the same each time."""
        return mixed(number, what, self.seed) - 0.5


def mixed(*numbers: int) -> float:
    """A number from 0 to 1 that looks like chance, the same for the same numbers."""
    state = 0x9E3779B97F4A7C15
    for number in numbers:
        state = ((state ^ number) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 31
    return state / 2**64


# --------------------------------------------------------------------------- the camera


def draw(belt: Belt, at: float, pixels: Pixels) -> None:
    """The picture of this moment."""
    pixels.fill(_BELT)
    mark = int(at * 400) % WIDTH
    pixels[4:28, mark : mark + 16] = 160  # the belt moves, also where nothing lies on it
    pixels[28:36] = 20
    for number in belt.near(at):
        if not belt.has_part(number):
            continue
        x = belt.x(number, at)
        left, right = max(0, round(x) - _HALF), min(WIDTH, round(x) + _HALF)
        if right - left < _HALF:  # less than half of it
            continue
        pixels[_TOP:_BOTTOM, left:right] = _PART
        for bit in range(_BITS):
            if number % CODES >> bit & 1:
                row = _TOP + bit * _BAND
                pixels[row : row + _BAND, left:right] = _ONE
        if belt.has_scratch(number):
            pixels[_BOTTOM - _BAND : _BOTTOM, left:right] = _FLAW


class BeltCamera:
    """Follows the camera protocol."""

    def __init__(self, belt: Belt) -> None:
        self._belt = belt
        self.exposed_at: float | None = None
        self._closing = threading.Event()
        self._pace = Pace(belt.fps, time.monotonic, self._closing.wait)

    @property
    def fps(self) -> float | None:
        return self._belt.fps

    def open(self) -> FrameShape:
        return FrameShape(HEIGHT, WIDTH)

    def read_into(self, pixels: Pixels) -> Pixels | None:
        if not self._pace.wait_turn() or self._closing.is_set():
            raise SourceError("The belt's camera was closed.")
        self.exposed_at = time.monotonic()
        draw(self._belt, self.exposed_at, pixels)
        return pixels

    @property
    def remarks(self) -> tuple[str, ...]:
        return ()

    @property
    def damage(self) -> str | None:
        return None

    def close(self) -> None:
        self._closing.set()

    def describe(self) -> str:
        return self._belt.source


def open_belt(settings: CameraSettings, making: Making) -> BeltCamera:
    """The belt shows the same parts whatever is made: only who judges them changes."""
    return BeltCamera(Belt.parse(settings.source))


BELT = sources.SourceKind(("belt:",), "belt:", "tests.sim.belt:open_belt")


def register() -> None:
    """In this process, settings may name the belt."""
    if BELT not in sources.SOURCES:
        sources.SOURCES = (BELT, *sources.SOURCES)


# --------------------------------------------------------------------------- the engine


@dataclass(frozen=True)
class Found:
    """A part that was read in a picture."""

    box: Box
    code: int
    is_scratched: bool


def read(pixels: NDArray[np.uint8]) -> list[Found]:
    """The parts in a picture, from left to right."""
    grey = pixels[:, :, 0]
    is_part = np.concatenate(([False], grey[_BOTTOM - _BAND - 1] > _BELT, [False]))
    edges = np.flatnonzero(is_part[1:] != is_part[:-1])
    found = []
    for left, right in zip(edges[::2], edges[1::2], strict=True):
        column = grey[:, (left + right) // 2]
        bands = column[_TOP + 1 : _TOP + _BITS * _BAND : _BAND]
        if column[_TOP - 2] != _BELT or not np.isin(bands, (_PART, _ONE)).all():
            continue  # no part: a picture that is white, or noise
        code = sum(1 << bit for bit, level in enumerate(bands) if level == _ONE)
        box = (float(left), float(_TOP), float(right), float(_BOTTOM))
        found.append(Found(box, code, bool(column[_BOTTOM - 2] == _FLAW)))
    return found


class BeltEngine:
    """Follows the engine protocol; the weights name a mark, and how long a look takes."""

    def __init__(self, threads: int = 1, device: str = "cpu", headroom_mb: int = 0) -> None:
        self._mark = self._pace_s = 0.0
        self._part = ""
        self._blinks = Random(os.getpid())

    def warm(self) -> None:
        """Nothing to import."""

    def load(self, order: ModelOrder) -> ModelFacts:
        weights = json.loads(order.weights.read_text(encoding="utf-8"))
        self._mark, self._pace_s = weights["mark"], weights["pace_ms"] / 1e3
        self._part = weights["classes"][0]
        return ModelFacts(tuple(weights["classes"]), "detect")

    def infer(self, pixels: NDArray[np.uint8]) -> RawResult:
        time.sleep(self._pace_s)
        if pixels.shape[:2] != (HEIGHT, WIDTH):  # what the gate asks with
            return RawResult(())
        detections = []
        for each in read(pixels):
            if self._blinks.random() < _UNSEEN:
                continue
            left, right = float(each.code % 100), float(each.code // 100)
            detections.append(Detection(self._part, self._mark, each.box))
            detections.append(Detection("code", self._mark, (left, right, left + 1, right + 1)))
            if each.is_scratched and self._blinks.random() >= _UNSEEN:
                detections.append(Detection("scratch", self._mark, _middle(each.box)))
        return RawResult(tuple(detections))

    def gpu_bytes(self) -> int:
        return 0


def codes(detections: Sequence[dict[str, object]]) -> list[int]:
    """The numbers of the parts that a frame's result says it shows."""
    boxes = [each["box"] for each in detections if each["class"] == "code"]
    return [int(box[0]) + 100 * int(box[1]) for box in boxes]  # type: ignore[index]


def weights(mark: float, part: str, pace_ms: float) -> bytes:
    """A file that the engine loads."""
    told = {"classes": (part, "scratch", "code"), "mark": mark, "pace_ms": pace_ms}
    return json.dumps(told).encode()


def _middle(box: Box) -> Box:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return (x - 4.0, y - 4.0, x + 4.0, y + 4.0)
