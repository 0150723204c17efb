"""Keeps pictures of judged frames: the lane offers, other threads encode and write.

Frames that wait to be written keep their places in the ring. So only a few may wait, and only one
when the ring is short of places: a slow disk costs pictures, never frames. What was not kept is
counted.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import structlog

from edge_daemon.core.judged import Judged
from edge_daemon.core.values import Verdict
from edge_daemon.errors import EdgeDaemonError, StateError
from edge_daemon.frames.captured import Captured
from edge_daemon.frames.images import encode
from edge_daemon.frames.ring import Ring
from edge_daemon.host.box import yield_to_judging
from edge_daemon.host.error_boundary import contained
from edge_daemon.host.memory import Pixels

_log = structlog.get_logger(__name__)

_QUALITY = 92  # kept pictures may train the next model
_THREADS = 2  # a 1080p picture takes some 20 ms of a core: one alone has no time to spare at 30 fps
_TEND_S = 0.5
"""Between two looks after the folder while nothing is to be written."""


class PictureStore(Protocol):
    """Where pictures go; one thread at a time. Raises OSError or StateError."""

    @property
    def removed(self) -> int:
        """Pictures that went to make room, since the start."""

    def tend(self) -> None:
        """Whatever is to be done now and then."""

    def close(self) -> None: ...


class Folder(PictureStore, Protocol):
    """The same for a folder that takes every frame as it is."""

    def write(self, judged: Judged, jpeg: bytes, drawn: bytes | None, /) -> object:
        """Keep a picture, and beside it one with what was found drawn, if there is one."""


Prepare = Callable[[Judged, Pixels], Callable[[], object] | None]
"""Encodes one frame, on any thread, and gives what writes it; None where nothing is to be kept."""


def as_jpeg(folder: Folder, draw: Callable[[Judged, Pixels], Pixels] | None = None) -> Prepare:
    """Each frame as it is, and beside it what `draw` makes of it."""

    def prepare(judged: Judged, pixels: Pixels) -> Callable[[], object]:
        jpeg = encode(pixels, _QUALITY)
        drawn = encode(draw(judged, pixels)) if draw is not None else None
        return partial(folder.write, judged, jpeg, drawn)

    return prepare


def is_rejected(judged: Judged) -> bool:
    """Whether a frame is ng."""
    return judged.verdict is Verdict.NG


@dataclass(frozen=True)
class PictureCounts:
    """Pictures since the start."""

    kept: int = 0
    missed: int = 0  # they came faster than they can be written
    failed: int = 0  # the folder did not take them
    removed: int = 0  # the oldest, to keep to the quota


@dataclass(frozen=True)
class LogEvents:
    """What its lines in the log are called."""

    missed: str
    failed: str
    resumed: str


COLLECTED = LogEvents("collect_missed", "collect_failed", "collect_resumed")
NG_IMAGES = LogEvents("ng_images_missed", "ng_images_failed", "ng_images_resumed")
PICTURES = LogEvents("pictures_missed", "pictures_failed", "pictures_resumed")
DISPUTED = LogEvents("disputed_missed", "disputed_failed", "disputed_resumed")


class Collector:
    """Writes frames into the folder.

    Args:
        ring: holds frames until they are encoded.
        prepare: what is made of a frame: `as_jpeg`, mostly.
        room: frames that may wait or be written at a time.
        wants: which frames are kept; asked by the lane.
        events: what is said of the pictures in the log.
    """

    def __init__(
        self,
        ring: Ring,
        folder: PictureStore,
        prepare: Prepare,
        *,
        room: int = 1,
        wants: Callable[[Judged], bool] = is_rejected,
        events: LogEvents = NG_IMAGES,
    ) -> None:
        self._ring = ring
        self._folder = folder
        self._prepare, self._wants, self._events = prepare, wants, events
        self._room = threading.Semaphore(room)
        self._jobs: deque[tuple[Judged, Captured]] = deque()
        self._work = threading.Semaphore(0)  # one for each job, and one more for each end
        self._stopping = False
        self._writing = threading.Lock()  # guards the folder and what follows
        self._kept = self._failed = 0
        self._faults: dict[str, str] = {}  # why, by what could not be done
        self._missed = 0  # the lane's
        self._threads = [
            threading.Thread(target=self._run, name=f"pictures-{number}", daemon=True)
            for number in range(min(_THREADS, room))
        ]

    def offer(self, judged: Judged, captured: Captured) -> bool:
        """Here is a judged frame, still leased to the caller: take it along if it is wanted.

        Costs microseconds and never raises or waits. Whether it was taken.
        """
        return self._wants(judged) and self.take(judged, captured)

    def take(self, judged: Judged, captured: Captured, *, is_wanted: bool = True) -> bool:
        """The same for a frame that is wanted; any thread that holds it.

        `is_wanted`: whether it counts as missed where there is no room.
        """
        if captured.address is None or self._stopping:
            return False
        if (self._jobs and self._ring.tight) or not self._room.acquire(blocking=False):
            self._missed += is_wanted
            return False
        self._ring.retain(captured)
        self._jobs.append((judged, captured))
        self._work.release()
        return True

    def miss(self) -> None:
        """A wanted frame could not even be held until it was offered."""
        self._missed += 1

    @property
    def tally(self) -> PictureCounts:
        """What became of the pictures so far."""
        return PictureCounts(self._kept, self._missed, self._failed, self._folder.removed)

    @property
    def fault(self) -> str | None:
        """Why pictures cannot be kept at present; None when they can."""
        return next(iter(self._faults.values()), None)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """Write what waits, and end. The lane must have stopped offering."""
        self._stopping = True
        self._work.release(len(self._threads))
        deadline_at = time.monotonic() + timeout_s
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline_at - time.monotonic()))
        if self._jobs:
            why = "the daemon stopped"
            _log.warning(self._events.missed, pictures=len(self._jobs), why=why)
        if not any(thread.is_alive() for thread in self._threads):
            self._attempt("tend", self._folder.close)

    def _run(self) -> None:
        yield_to_judging()
        while True:
            is_due = self._work.acquire(timeout=_TEND_S)
            self._attempt("tend", self._folder.tend)
            if not is_due:
                continue
            try:
                judged, captured = self._jobs.popleft()
            except IndexError:
                return
            try:
                self._keep(judged, captured)
            finally:
                self._ring.release(captured)
                self._room.release()

    def _keep(self, judged: Judged, captured: Captured) -> None:
        assert captured.address is not None
        pixels = captured.address.pixels
        write: Callable[[], object] | None = None
        with contained() as encoding:
            write = self._prepare(judged, pixels)
        if encoding.fault is not None:
            self._failed_at("write", encoding.fault)
        elif write is not None:
            self._attempt("write", write)

    def _attempt(self, what: str, work: Callable[[], object]) -> None:
        """`write` a picture, or `tend` the folder; told once where it fails, until it works."""
        with contained() as attempt, self._writing:
            work()
        if attempt.fault is not None:
            self._failed_at(what, attempt.fault)
            return
        with self._writing:
            self._kept += what == "write"
            if self._faults.pop(what, None) is not None and not self._faults:
                _log.info(self._events.resumed)

    def _failed_at(self, what: str, error: Exception) -> None:
        with self._writing:
            self._failed += what == "write"
            if not self._faults:
                hint = "Is there room on the disk?"
                _log.error(self._events.failed, error=str(error), hint=hint)
            self._faults[what] = without_path(error)


def without_path(error: Exception) -> str:
    """Why, in words that may leave the box."""
    if isinstance(error, StateError):
        return "the index of pictures cannot be used"
    if isinstance(error, EdgeDaemonError):
        return error.message.rstrip(".")
    return getattr(error, "strerror", None) or type(error).__name__
