"""Whether transfers slow the line down: the line's slowest frames, with and without them."""

from __future__ import annotations

RATIO, MORE_MS = 1.10, 1.0
"""How much the 99th percentile may grow: transfers pause once it is past both."""
PAUSE_S = 15.0
"""How long they pause: the frames must first be others."""
_LEARNS = 0.1


class LatencyGuard:
    """Asked each second; one thread."""

    def __init__(self) -> None:
        self._usual_ms: float | None = None
        self._paused_until = float("-inf")

    def must_pause(self, p99_ms: float | None, now: float, *, is_moving: bool) -> bool:
        """Whether nothing may be transferred now.

        Args:
            p99_ms: of the last frames, from capture to verdict; None: none were judged.
            now: monotonic seconds.
            is_moving: whether bytes come or go.
        """
        if p99_ms is None or now < self._paused_until:
            return now < self._paused_until
        usual = self._usual_ms
        if usual is None or not is_moving:
            self._usual_ms = p99_ms if usual is None else usual + _LEARNS * (p99_ms - usual)
        elif p99_ms > RATIO * usual and p99_ms > usual + MORE_MS:
            self._paused_until = now + PAUSE_S
            return True
        return False
