"""The drawn production line as a camera: paced, endless, and told which product to show."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from edge_daemon.config import CameraSettings
from edge_daemon.demo.conveyor import SCENES, USUAL_BELT, Belt, Conveyor
from edge_daemon.errors import ConfigurationError
from edge_daemon.frames.camera import Making
from edge_daemon.frames.fault import SourceError
from edge_daemon.frames.pace import Pace
from edge_daemon.host.memory import FrameShape, Pixels

_BELT_KEYS = tuple(field.name for field in fields(Belt))
_KEYS = ("scene", "seed", "size", "fps", "cover", "changes", *_BELT_KEYS)
_USUAL_FPS = 30.0


class ConveyorCamera:
    """A `Camera` that draws its frames. It may be opened again after a close, and goes on then.

    Args:
        conveyor: what draws; no other thread may draw with it.
        scene: the product shown first; raises ValueError for one that is not drawn.
        making: the product that the line makes now; each frame shows it, where it is drawn.
        fps: frames a second.
        now: monotonic seconds.
        wait: see `Pace`; by default a wait that `close` cuts short.
    """

    def __init__(
        self,
        conveyor: Conveyor,
        *,
        scene: str = "bottle",
        making: Making = lambda: None,
        fps: float = _USUAL_FPS,
        now: Callable[[], float] = time.monotonic,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        if scene not in SCENES:
            raise ValueError(f"scene {scene!r} is not one of {', '.join(SCENES)}")
        self.scene = scene
        """The product shown; what no order names stays on the belt."""
        self._conveyor = conveyor
        self._making = making
        self._fps = fps
        self.cover: Path | None = None
        """While this file is there, the lens is covered."""
        self.changes: Path | None = None
        """A file of `change_line`s, which may grow while the line runs."""
        self._changes_read = 0
        self._closing = threading.Event()
        self._now, self._wait = now, wait or self._closing.wait
        self._pace = Pace(fps, self._now, self._wait)
        self._index = 0

    @classmethod
    def parse(
        cls, source: str, *, fps: float | None = None, making: Making = lambda: None
    ) -> ConveyorCamera:
        """Read `conveyor:` or `conveyor:?scene=bottle&seed=1&size=640x480&fps=30&defects=0.35`.

        Every field of `Belt` may be given, `cover` and `changes`; `fps` is used where the source
        has none. Raises ConfigurationError.
        """
        _, _, query = source.partition("?")
        try:
            given = dict(parse_qsl(query, strict_parsing=True)) if query else {}
            if unknown := sorted(set(given) - set(_KEYS)):
                raise ValueError(f"{unknown[0]} is not one of {', '.join(_KEYS)}")
            width, _, height = given.get("size", "640x480").partition("x")
            rate = float(given.get("fps", fps or _USUAL_FPS))
            if not 0 < rate <= 1000:
                raise ValueError("fps is above 0 and at most 1000")
            conveyor = Conveyor(
                seed=int(given.get("seed", "1")),
                width=int(width),
                height=int(height),
                belt=_belt(given),
            )
            camera = cls(conveyor, scene=given.get("scene", "bottle"), making=making, fps=rate)
            camera.cover = Path(given["cover"]) if given.get("cover") else None
            camera.changes = Path(given["changes"]) if given.get("changes") else None
            return camera
        except ValueError as error:
            raise ConfigurationError(
                f"The source {source!r} cannot be understood: {error}.",
                hint="Write conveyor:?scene=bottle&seed=1&size=640x480&fps=30, or conveyor: alone.",
            ) from error

    @property
    def fps(self) -> float | None:
        return self._fps

    def open(self) -> FrameShape:
        self._closing.clear()
        self._pace = Pace(self._fps, self._now, self._wait)
        return FrameShape(self._conveyor.height, self._conveyor.width)

    def read_into(self, pixels: Pixels) -> Pixels | None:
        if not self._pace.wait_turn() or self._closing.is_set():
            raise SourceError("The conveyor camera was closed.")
        product = self._making()
        if product in SCENES:
            self.scene = product
        self._read_changes()
        is_covered = self.cover is not None and self.cover.exists()
        index, self._index = self._index, self._index + 1
        self._conveyor.draw(index, self.scene, pixels, covered=is_covered)
        return pixels

    def _read_changes(self) -> None:
        """What was added to the file since the last frame."""
        if self.changes is None or not self.changes.exists():
            return
        if self.changes.stat().st_size == self._changes_read:
            return
        content = self.changes.read_bytes()
        for line in content[self._changes_read :].decode().splitlines():
            place, defects, dim_every = line.split()
            self._conveyor.change(int(place), defects=float(defects), dim_every=int(dim_every))
        self._changes_read = len(content)

    @property
    def remarks(self) -> tuple[str, ...]:
        return ()

    @property
    def exposed_at(self) -> float | None:
        return None

    @property
    def damage(self) -> str | None:
        return None

    def close(self) -> None:
        self._closing.set()

    def describe(self) -> str:
        size = f"{self._conveyor.width}x{self._conveyor.height}"
        return f"conveyor:?scene={self.scene}&size={size}&fps={self._fps:g}"


def open_conveyor(settings: CameraSettings, making: Making) -> ConveyorCamera:
    """The drawn line of this source. Raises ConfigurationError."""
    return ConveyorCamera.parse(settings.source, fps=settings.fps, making=making)


def check_source(source: str) -> None:
    """Raises ConfigurationError for a source that cannot be understood."""
    ConveyorCamera.parse(source)


def change_line(place: int, *, defects: float, dim_every: int) -> str:
    """One line of a file of changes, as `Conveyor.change` takes them."""
    return f"{place} {defects} {dim_every}\n"


def source_of(belt: Belt, *, fps: float, cover: Path, changes: Path | None = None) -> str:
    """The source that `ConveyorCamera.parse` reads as this."""
    given = {key: int(value) for key, value in asdict(belt).items() if isinstance(value, bool)}
    query = asdict(belt) | given | {"fps": f"{fps:g}", "cover": str(cover)}
    if changes is not None:
        query["changes"] = str(changes)
    return f"conveyor:?{urlencode(query)}"


def _belt(given: dict[str, str]) -> Belt:
    """Raises ValueError."""
    told: dict[str, float] = {}
    for key in set(given) & set(_BELT_KEYS):
        is_whole = isinstance(getattr(USUAL_BELT, key), int)
        told[key] = int(given[key]) if is_whole else float(given[key])
    return Belt(**told)  # type: ignore[arg-type]  # whole numbers stand where they belong
