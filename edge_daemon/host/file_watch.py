"""Tells when something stirs in a folder; what stirred is for the caller to look at.

One folder, without those below it: that is enough for a file that is replaced by rename, and for a
mounted ConfigMap, where the kubelet flips the link `..data` beside the files.
"""

from __future__ import annotations

import threading
from pathlib import Path

import structlog
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

_log = structlog.get_logger(__name__)

_READING = frozenset({"opened", "closed_no_write"})
"""Events that a look causes; answering them would never end."""


class FolderWatch:
    """Sets `stirred` whenever something in the folder changes. Best effort: look now and then."""

    def __init__(self, folder: Path, stirred: threading.Event) -> None:
        self._folder = folder
        self._stirred = stirred
        self._observer: BaseObserver | None = None

    def watch(self) -> bool:
        """Begin, where that is not done yet and the folder is there; whether it is watched."""
        if self._observer is not None and self._observer.is_alive():
            return True
        try:
            observer = Observer()
            observer.schedule(_Stir(self._stirred), str(self._folder))
            observer.start()
        except OSError as error:
            _log.debug("folder_not_watched", folder=str(self._folder), error=str(error))
            return False
        self._observer = observer
        return True

    def stop(self) -> None:
        """End the watch and wait for its threads."""
        if self._observer is not None:
            self._observer.stop()
            self._observer.join(5.0)


class _Stir(FileSystemEventHandler):
    def __init__(self, stirred: threading.Event) -> None:
        self._stirred = stirred

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type not in _READING:
            self._stirred.set()
