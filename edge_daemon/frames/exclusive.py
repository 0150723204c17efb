"""A library's handle that only one thread may use at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Exclusive:
    """`with` it, one thread uses the handle; `close` never waits for it.

    A close that comes meanwhile is done by the thread that uses it, when its call returns.

    Args:
        release: lets go of the handle, if there is one.
        closed: the error for whoever wants to use it after a close.
    """

    def __init__(self, release: Callable[[], None], closed: Callable[[], Exception]) -> None:
        self._release, self._closed = release, closed
        self._busy = threading.Lock()  # held while a call into the library runs
        self.closing = threading.Event()

    def __enter__(self) -> None:
        self._busy.acquire()
        if self.closing.is_set():
            self._busy.release()
            raise self._closed()

    def __exit__(self, *_: object) -> None:
        self._busy.release()
        if self.closing.is_set():
            self.close()

    def close(self) -> None:
        """Let go now, or have it done when the call in progress returns."""
        self.closing.set()
        if self._busy.acquire(blocking=False):
            try:
                self._release()
            finally:
                self._busy.release()
