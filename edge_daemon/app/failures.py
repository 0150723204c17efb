"""Inferences that keep failing: a problem in `health` meanwhile, and an event at start and end.

A frame that the model fails on is `uninspected` and counted. If a model keeps failing, people
decide what to do: it may be the only one there is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import structlog

from edge_daemon.app.status import Failing
from edge_daemon.core.event_names import EventName
from edge_daemon.core.values import Instant
from edge_daemon.core.wording import public
from edge_daemon.errors import EdgeDaemonError

_log = structlog.get_logger(__name__)

WINDOW_S = 60.0
LEAST = 3
"""Failures within the window before they are reported."""


class Failures:
    """Looks once a second, on the monitor's thread.

    Args:
        count: frames that the model has failed at since the start.
        latest: why, at the last of them.
        tell: publishes an event, by its type and message.
    """

    def __init__(
        self,
        count: Callable[[], int],
        latest: Callable[[], EdgeDaemonError | None],
        tell: Callable[[EventName, str], None],
    ) -> None:
        self._count = count
        self._latest = latest
        self._tell = tell
        self._seen = 0
        self._recent: deque[tuple[float, int]] = deque()
        self.now: Failing | None = None
        """While inferences keep failing; any thread may read it."""

    def look(self, now: Instant) -> None:
        count = self._count()
        if count > self._seen:
            self._recent.append((now.at, count - self._seen))
            self._seen = count
        while self._recent and now.at - self._recent[0][0] > WINDOW_S:
            self._recent.popleft()
        failed = sum(number for _, number in self._recent)
        if failed >= LEAST or (self.now and failed):
            self._fail(failed)
        elif self.now:
            self.now = None
            self._tell(
                EventName.INFERENCE_RECOVERED, f"The model failed at no frame for {WINDOW_S:.0f} s."
            )

    def _fail(self, failed: int) -> None:
        error = self._latest()
        why = public(error.message) if error else "the reason is in the log"
        is_new = self.now is None
        self.now = Failing(failed, why)
        if is_new:
            detail = error.detail if error else ""
            _log.error("inference_failing", frames=failed, error=why, detail=detail)
            self._tell(EventName.INFERENCE_FAILING, f"The model failed at {failed} frames: {why}")
