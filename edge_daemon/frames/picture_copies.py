"""Copies kept pictures to another place, a mounted share for example, until all of them are there.

What is still to be copied stands in the index, so that a restart or an outage loses none of it. A
share that hangs costs this thread only.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from edge_daemon.errors import EdgeDaemonError
from edge_daemon.host.picture_index import PictureIndex, PictureRow

_log = structlog.get_logger(__name__)

SETTLE_S = 5.0
"""Most parts are told within this time of their pictures, which then have its name."""
_LOOK_S = 1.0
_AGAIN_S = 10.0
_HANGS_S = 60.0
_AT_ONCE = 64


class PictureCopies:
    """Copies from `folder` to `target`, which must be there: a missing mount is no new folder.

    Args:
        is_ready: whether the index is open for writing.
        utc: POSIX seconds of now.
    """

    def __init__(
        self,
        folder: Path,
        target: Path,
        is_ready: Callable[[], bool],
        utc: Callable[[], float],
    ) -> None:
        self._folder, self._target = folder, target
        self._is_ready, self._utc = is_ready, utc
        self._stopping = threading.Event()
        self._index: PictureIndex | None = None
        self._busy_since: float | None = None
        self._fault: str | None = None
        self._waiting = 0
        self.copied = 0
        """Pictures since the start."""
        self._thread = threading.Thread(target=self._run, name="picture-copies", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """What is not copied yet waits for the next start."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def problems(self) -> tuple[str, ...]:
        """Why pictures are not copied, as a sentence; any thread."""
        since = self._busy_since
        if since is not None and time.monotonic() - since > _HANGS_S:
            return ("pictures are not copied: the place of results.pictures.copy_to hangs",)
        if self._fault is None:
            return ()
        return (f"pictures are not copied ({self._waiting} wait): {self._fault}",)

    def _run(self) -> None:
        with suppress(OSError):  # judging comes first
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        while not self._stopping.wait(_LOOK_S if self._fault is None else _AGAIN_S):
            if self._is_ready():
                self.copy_all()
        if self._index is not None:
            self._index.close()
            self._index = None

    def copy_all(self) -> None:
        """Everything that has settled; a failure is told once, and tried again later."""
        self._busy_since = time.monotonic()
        try:
            if self._index is None:
                self._index = PictureIndex(self._folder)
            self._waiting = self._index.waiting()
            if not self._target.is_dir():
                raise FileNotFoundError(2, "the place to copy to is not there", str(self._target))
            while self._copy_some(self._index) and not self._stopping.is_set():
                self._busy_since = time.monotonic()
        except (OSError, EdgeDaemonError) as error:
            if self._fault is None:
                _log.error(
                    "pictures_not_copied", error=str(error), hint="Is the share mounted, with room?"
                )
            self._fault = getattr(error, "strerror", None) or type(error).__name__
        else:
            if self._fault is not None:
                _log.info("pictures_copied_again")
            self._fault = None
        finally:
            self._busy_since = None

    def _copy_some(self, index: PictureIndex) -> bool:
        """Some of them; False where nothing more is to be done now."""
        now = self._utc()
        rows = index.to_copy(_AT_ONCE)
        settled = [row for row in rows if not now - SETTLE_S < row.utc <= now]
        for row in settled:
            if self._stopping.is_set():
                return False
            self._copy(row)
            index.mark_copied(row.path)
            self.copied += 1
        return len(settled) == _AT_ONCE

    def _copy(self, row: PictureRow) -> None:
        """Both files; one that has gone meanwhile, or has another name, is no fault."""
        source = self._folder / row.path
        try:
            files = {path: path.read_bytes() for path in (source.with_suffix(".json"), source)}
        except FileNotFoundError:
            return
        for path, content in files.items():
            _put(self._target / path.relative_to(self._folder), content)


def _put(path: Path, content: bytes) -> None:
    """Whole, and on the disk when it returns."""
    for folder in (path.parent.parent, path.parent):  # a share that went away is not made anew
        folder.mkdir(exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
