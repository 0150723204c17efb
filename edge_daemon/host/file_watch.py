"""Tells when a file stirs; what became of it is for the caller to look at.

Its folder is watched, without those below it: that is enough for a file that is replaced by rename,
and for a mounted ConfigMap, where the kubelet flips the link `..data` beside the files. What else
happens in that folder is nobody's business: a log beside the file may be written all day.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

import structlog
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

_log = structlog.get_logger(__name__)

_READING = frozenset({"opened", "closed_no_write"})
"""Events that a look causes; answering them would never end."""

MOST_ROUNDS = 10
"""How many times a wait for quiet begins anew before it ends all the same."""

_MOST_LINKS = 8


class FileWatch:
    """Sets `stirred` whenever the file changes, or a link that leads to it.

    Best effort: look now and then, too. What lies behind a link out of the folder is not seen.
    """

    def __init__(self, file: Path, stirred: threading.Event) -> None:
        self._file = file
        self._stirred = stirred
        self._observer: BaseObserver | None = None

    def watch(self) -> bool:
        """Begin, where that is not done yet and the folder is there; whether it is watched."""
        if self._observer is not None and self._observer.is_alive():
            return True
        folder = str(self._file.parent)
        try:
            observer = Observer()
            observer.schedule(_Stir(self._file, self._stirred), folder)
            observer.start()
        except OSError as error:
            _log.debug("folder_not_watched", folder=folder, error=str(error))
            return False
        self._observer = observer
        return True

    def stop(self) -> None:
        """End the watch and wait for its threads."""
        if self._observer is not None:
            self._observer.stop()
            self._observer.join(5.0)


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
    def __init__(self, file: Path, stirred: threading.Event) -> None:
        self._file = file
        self._stirred = stirred

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type in _READING:
            return
        touched = {
            os.path.basename(os.fsdecode(path)) for path in (event.src_path, event.dest_path)
        }
        if touched & names_on_the_way(self._file):
            self._stirred.set()
