"""A clock whose hands the test turns."""

from __future__ import annotations

from edge_daemon.core.values import Instant


class SimClock:
    """Stands still until it is told to go on; both hands move together."""

    def __init__(self, at: float = 1_000.0, utc: float = 1_795_000_000.0) -> None:
        self._at = at
        self._utc = utc

    def now(self) -> Instant:
        return Instant(self._at, self._utc)

    def advance(self, seconds: float) -> Instant:
        """StepDraft both hands forward and read them."""
        self._at += seconds
        self._utc += seconds
        return self.now()

    def step_wall(self, seconds: float) -> Instant:
        """Set only the wall clock, as NTP does."""
        self._utc += seconds
        return self.now()
