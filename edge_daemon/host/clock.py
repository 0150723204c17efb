"""The one room that asks what time it is; everybody else is told."""

from __future__ import annotations

import time
from typing import Protocol

from edge_daemon.core.values import Instant


class Clock(Protocol):
    """Where an `Instant` comes from: the system, or a test that turns the hands itself."""

    def now(self) -> Instant:
        """Both clocks, read together."""


class SystemClock:
    """The kernel's clocks: monotonic for durations, real time for what the world is told."""

    def now(self) -> Instant:
        return Instant(at=time.monotonic(), utc=time.time())
