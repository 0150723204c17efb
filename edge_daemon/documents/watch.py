"""Tells when a folder or a file changes; what it holds now is for the caller to look at.

For a file its folder is watched: that is enough for one that is replaced by rename, and for a
mounted ConfigMap, where the kubelet flips the link `..data` beside the files. Other events in that
folder do not count: a log beside the file may be written all day.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

_log = structlog.get_logger(__name__)

_READING = frozenset({"opened", "closed_no_write"})
"""Events that a look causes; answering them would never end."""

MOST_ROUNDS = 10
"""How often a wait for quiet is restarted before it ends anyway."""

_MOST_LINKS = 8


class Watch:
    """Sets `stirred` whenever something changes in a folder. Best effort: look now and then, too.

    Args:
        stirred: is set; whoever clears it looks.
        recursive: whether the folders below count as well.
        counts: the name of a file that changed -> whether it matters; None: each does.
    """

    def __init__(
        self,
        folder: Path,
        stirred: threading.Event,
        *,
        recursive: bool = False,
        counts: Callable[[str], bool] | None = None,
    ) -> None:
        self._folder, self._recursive = folder, recursive
        self._handler = _Stir(stirred, counts)
        self._observer: BaseObserver | None = None

    @classmethod
    def of_file(cls, file: Path, stirred: threading.Event) -> Watch:
        """Of one file, or a link that leads to it; not of what lies behind a link elsewhere."""
        return cls(file.parent, stirred, counts=lambda name: name in names_on_the_way(file))

    def start(self) -> bool:
        """Begin, where that is not done yet and the folder is there; whether it is watched."""
        if self._observer is not None and self._observer.is_alive():
            return True
        # watchdog 7.1 warns from its reading thread when a new folder shows up twice, which is
        # harmless; where warnings are errors it would end that thread, and all events with it.
        warnings.filterwarnings("ignore", "Callback with id", RuntimeWarning)
        self.stop()
        try:
            self._observer = Observer()
            self._observer.schedule(self._handler, str(self._folder), recursive=self._recursive)
            self._observer.start()
        except OSError as error:
            self.stop()
            _log.debug("folder_not_watched", folder=str(self._folder), error=str(error))
            return False
        return True

    def stop(self) -> None:
        """End the watch, also one that only half began: it has a thread and descriptors already."""
        if self._observer is not None:
            self._observer.stop()
            with suppress(RuntimeError):  # its own thread never began
                self._observer.join(5.0)
            self._observer = None


def settle(stirred: threading.Event, stopped: threading.Event, quiet_s: float) -> None:
    """Wait until nothing has stirred for `quiet_s`, and for `MOST_ROUNDS` times that at most."""
    for _ in range(MOST_ROUNDS):
        if not stirred.is_set():
            return
        stirred.clear()
        if stopped.wait(quiet_s):
            return


def names_on_the_way(file: Path) -> frozenset[str]:
    """The names in the file's folder through which its path leads: its own, then those of links."""
    names, here = {file.name}, file.name
    for _ in range(_MOST_LINKS):
        try:
            target = os.readlink(file.parent / here)
        except OSError:
            break  # no link, or nothing there yet
        here = Path(target).parts[0]
        names.add(here)
    return frozenset(names)


class _Stir(FileSystemEventHandler):
    def __init__(self, stirred: threading.Event, counts: Callable[[str], bool] | None) -> None:
        self._stirred, self._counts = stirred, counts

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type in _READING:
            return
        names = (os.path.basename(os.fsdecode(path)) for path in (event.src_path, event.dest_path))
        if self._counts is None or any(self._counts(name) for name in names):
            self._stirred.set()
