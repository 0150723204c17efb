"""Copies kept pictures to another place, a mounted share for example, until all of them are there.

What is still to be copied stands in the index, so that a restart or an outage loses none of it: the
quota of the folder bounds it. A place that hangs costs this thread only.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from edge_daemon.errors import BoxError, EdgeDaemonError
from edge_daemon.frames.collector import without_path
from edge_daemon.frames.copy_places import Place
from edge_daemon.frames.part_pictures import drawn_of
from edge_daemon.host.blame import MOST_TRIES, Blame
from edge_daemon.host.box import yield_to_judging
from edge_daemon.host.error_boundary import ErrorBoundary
from edge_daemon.host.picture_index import PictureIndex, PictureRow

_log = structlog.get_logger(__name__)

SETTLE_S = 5.0
"""A part is told within this of its pictures, mostly: they are copied with it, under its name."""
BEHIND_S = 900.0
"""A picture that waits longer is one too many: more come than are copied."""
_LOOK_S = 1.0
_AGAIN_S = 10.0
_AGAIN_AT_MOST_S = 300.0
_HANGS_S = 90.0
_AT_ONCE = 64


@dataclass(frozen=True)
class CopyTally:
    """Copies since the start: pictures, and attempts that failed."""

    copied: int = 0
    failed: int = 0
    given_up: int = 0  # the place took others, and refused these again and again


class PictureCopies:
    """Copies from `folder` to `place`.

    Args:
        is_ready: whether the index is open for writing.
        utc: POSIX seconds of now.
    """

    def __init__(
        self,
        folder: Path,
        place: Place,
        is_ready: Callable[[], bool],
        utc: Callable[[], float],
    ) -> None:
        self._folder, self._place = folder, place
        self._is_ready, self._utc = is_ready, utc
        self._stopping = threading.Event()
        self._index: PictureIndex | None = None
        self._busy_since: float | None = None
        self._failures = 0  # rounds in a row
        self._blame = Blame()
        self._refusals: dict[str, PictureRow] = {}  # by path, as long as they are tried
        self._oldest_utc: float | None = None
        self.fault: str | None = None
        """Why nothing is copied at present, in words that may leave the box; any thread."""
        self.waiting = 0
        """Pictures that are to be copied; any thread."""
        self.tally = CopyTally()
        self._boundary = ErrorBoundary(_log, "picture_copies_failed")
        self._thread = threading.Thread(target=self._run, name="picture-copies", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """What is not copied yet waits for the next start."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    @property
    def trouble(self) -> str | None:
        """Why pictures are not where they should be; None where all is well. Any thread."""
        since = self._busy_since
        if since is not None and time.monotonic() - since > _HANGS_S:
            return f"{self._place.name} hangs"
        if self.fault is not None:
            return self.fault
        oldest = self._oldest_utc
        if oldest is not None and self._utc() - oldest > BEHIND_S:
            return f"{self._place.name} is too slow for them"
        return None

    @property
    def wait_s(self) -> float:
        """Until the next round: longer after each that failed."""
        if not self._failures:
            return _LOOK_S
        return min(_AGAIN_AT_MOST_S, _AGAIN_S * 2.0 ** min(self._failures - 1, 16))

    def _run(self) -> None:
        yield_to_judging()
        while not self._stopping.wait(self.wait_s):
            if self._is_ready():
                with self._boundary.turn():
                    self.copy_all()
        self._place.close()
        if self._index is not None:
            self._index.close()
            self._index = None

    def copy_all(self) -> None:
        """Everything that has settled; a failure is told once, and tried again later."""
        self._busy_since = time.monotonic()
        try:
            if self._index is None:
                self._index = PictureIndex(self._folder)
            self._count(self._index)
            if self.waiting:
                self._place.open()
                self._copy_waiting(self._index)
        except (OSError, EdgeDaemonError) as error:
            self._place.close()
            self._failed_with(error)
        else:
            if self._failures:
                _log.info("pictures_copied_again")
            self._failures, self.fault = 0, None
        finally:
            self._busy_since = None

    def _count(self, index: PictureIndex) -> None:
        self.waiting = index.waiting()
        rows = index.to_copy(1)
        self._oldest_utc = rows[0].utc if rows else None

    def _failed_with(self, error: OSError | EdgeDaemonError) -> None:
        self._failures += 1
        if self._failures == 1:
            said = getattr(error, "message", None) or str(error)
            hint = getattr(error, "hint", None) or "Is the share mounted, with room?"
            detail = getattr(error, "detail", None)
            _log.error("pictures_not_copied", error=said, detail=detail or None, hint=hint)
        self.fault = without_path(error)

    def _copy_waiting(self, index: PictureIndex) -> None:
        """Round by round, those last that were refused before; raises what was in the way."""
        fault: OSError | BoxError | None = None
        self._blame.begin()
        tried: set[str] = set()
        while rows := self._settled(index, tried):
            for row in rows:
                if self._stopping.is_set():
                    return
                tried.add(row.path)
                self._busy_since = time.monotonic()
                try:
                    was_there = self._copy(row)
                except (OSError, BoxError) as error:
                    fault = error
                    if self._refused(row):
                        raise
                else:
                    index.mark_copied(row)
                    if was_there:
                        self._taken(index, row)
            self._count(index)
        if fault is not None:
            raise fault
        self._blame = Blame()  # nothing waits: what was refused is copied, or has gone
        self._refusals.clear()

    def _settled(self, index: PictureIndex, tried: set[str]) -> list[PictureRow]:
        now = self._utc()
        rows = [
            row
            for row in index.to_copy(_AT_ONCE + len(self._blame.tries))
            if row.path not in tried and not now - SETTLE_S < row.utc <= now
        ]
        return sorted(rows, key=lambda row: self._blame.tries.get(row.path, -1))

    def _copy(self, row: PictureRow) -> bool:
        """Its files, the picture last; False for one that has gone meanwhile, which is no fault."""
        source = self._folder / row.path
        drawn = drawn_of(source)
        beside = (source.with_suffix(".json"), *([drawn] if drawn.exists() else []))
        try:
            files = {path: path.read_bytes() for path in (*beside, source)}
        except FileNotFoundError:
            return False
        for path, content in files.items():
            self._place.put(str(path.relative_to(self._folder)), content)
        return True

    def _refused(self, row: PictureRow) -> bool:
        self._refusals[row.path] = row
        self.tally = replace(self.tally, failed=self.tally.failed + 1)
        return self._blame.refused(row.path)

    def _taken(self, index: PictureIndex, row: PictureRow) -> None:
        self._refusals.pop(row.path, None)
        given_up = self._blame.taken(row.path)
        for path in given_up:
            index.give_up_copy(self._refusals.pop(path))
            self._blame.forget(path)
            _log.error("picture_copy_given_up", picture=path, tries=MOST_TRIES)
        tally = self.tally
        self.tally = CopyTally(tally.copied + 1, tally.failed, tally.given_up + len(given_up))
