"""The publisher: passes verdicts on from the lane, in order, on a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import structlog

from edge_daemon.core.judged import Judged
from edge_daemon.host.error_boundary import ErrorBoundary

_log = structlog.get_logger(__name__)


class Publisher:
    """Hands every verdict, in order, to its outlets; what an outlet raises ends nothing."""

    def __init__(self, *outlets: Callable[[Judged], None]) -> None:
        self._outlets = outlets
        self._queue: queue.SimpleQueue[Judged | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._boundary = ErrorBoundary(_log, "result_not_told", is_rare=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, judged: Judged) -> None:
        """Called by the lane; never waits."""
        self._queue.put(judged)

    def stop(self, timeout_s: float) -> None:
        """Tell what was put before, then end."""
        self._queue.put(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while (judged := self._queue.get()) is not None:
            for outlet in self._outlets:
                with self._boundary.turn():  # one broken outlet must not silence the others
                    outlet(judged)
