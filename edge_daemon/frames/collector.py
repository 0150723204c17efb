"""Keeps pictures of rejected parts: the lane offers, threads of their own encode and write.

Frames that wait to be written keep their places in the ring, so only a part of it may wait, and one
where the ring is tight: a slow disk costs pictures, never frames. What was not kept is counted.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import structlog

from edge_daemon.core.values import Judged, Verdict
from edge_daemon.frames.captured import Captured
from edge_daemon.frames.images import encode
from edge_daemon.frames.rejected import RejectedFolder

_log = structlog.get_logger(__name__)

_QUALITY = 92  # kept pictures may train the next model
_THREADS = 2  # a 1080p picture takes some 20 ms of a core: one alone has no time to spare at 30 fps


class Places(Protocol):
    """The part of the ring that is needed here."""

    @property
    def tight(self) -> bool: ...

    def retain(self, captured: Captured) -> None: ...

    def release(self, captured: Captured) -> None: ...


@dataclass(frozen=True)
class Tally:
    """Pictures of rejected parts since the start."""

    kept: int = 0
    missed: int = 0  # they came faster than they can be written
    failed: int = 0  # the folder did not take them
    removed: int = 0  # the oldest, to keep to the quota


class Collector:
    """Writes rejected frames into the folder.

    Args:
        places: the ring, to hold frames until they are encoded.
        folder: where they go.
        room: frames that may wait or be written at a time.
    """

    def __init__(self, places: Places, folder: RejectedFolder, *, room: int = 1) -> None:
        self._places = places
        self._folder = folder
        self._room = threading.Semaphore(room)
        self._jobs: deque[tuple[Judged, Captured]] = deque()
        self._work = threading.Semaphore(0)  # one for each job, and one more for each end
        self._stopping = False
        self._writing = threading.Lock()  # guards the folder and what follows
        self._kept = self._failed = 0
        self._fault: str | None = None
        self._missed = 0  # the lane's
        self._threads = [
            threading.Thread(target=self._run, name=f"ng-images-{number}", daemon=True)
            for number in range(min(_THREADS, room))
        ]

    def offer(self, judged: Judged, captured: Captured) -> None:
        """Here is a judged frame, still leased to the caller: take it along if it is rejected.

        Costs microseconds and never raises or waits.
        """
        if judged.verdict is not Verdict.NG or captured.address is None or self._stopping:
            return
        if (self._jobs and self._places.tight) or not self._room.acquire(blocking=False):
            self._missed += 1
            return
        self._places.retain(captured)
        self._jobs.append((judged, captured))
        self._work.release()

    @property
    def tally(self) -> Tally:
        """What became of the pictures so far."""
        return Tally(self._kept, self._missed, self._failed, self._folder.removed)

    @property
    def fault(self) -> str | None:
        """Why rejected frames cannot be kept at present; None when they can."""
        return self._fault

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
            _log.warning("ng_images_missed", pictures=len(self._jobs), why="the daemon stopped")

    def _run(self) -> None:
        with suppress(OSError):  # judging comes first; a niceness of this thread alone, on Linux
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        while True:
            self._work.acquire()
            try:
                judged, captured = self._jobs.popleft()
            except IndexError:
                return
            try:
                self._keep(judged, captured)
            finally:
                self._places.release(captured)
                self._room.release()

    def _keep(self, judged: Judged, captured: Captured) -> None:
        assert captured.address is not None
        try:
            jpeg = encode(captured.address.pixels, _QUALITY)
            with self._writing:
                self._folder.write(judged, jpeg)
        except Exception as error:  # the boundary to the disk: told once, until it works again
            with self._writing:
                self._failed += 1
                if self._fault is None:
                    hint = "Is there room on the disk?"
                    _log.error("ng_images_failed", error=str(error), hint=hint)
                # Without the path: health leaves the box.
                self._fault = getattr(error, "strerror", None) or type(error).__name__
        else:
            with self._writing:
                self._kept += 1
                if self._fault is not None:
                    _log.info("ng_images_resumed")
                self._fault = None
