"""The only module that reads the clock; all others are given the time."""

from __future__ import annotations

import time
from typing import Protocol

from edge_daemon.core.values import Instant

SET_BACK_S = 60.0
"""A clock further behind the newest record was set back; less is a correction."""


def set_back_s(now: Instant, newest_utc: float) -> float:
    """How far the clock is behind the newest time on record; 0.0 if it was not set back."""
    behind_s = newest_utc - now.utc
    return behind_s if behind_s > SET_BACK_S else 0.0


class Clock(Protocol):
    """The source of an `Instant`: the system clock, or a clock that a test sets."""

    def now(self) -> Instant:
        """Both clocks, read together."""


class SystemClock:
    """The kernel's clocks: monotonic for durations, real time for what the world is told."""

    def now(self) -> Instant:
        return Instant(at=time.monotonic(), utc=time.time())
