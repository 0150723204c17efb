"""Whether transfers slow the line down: the line's slowest frames, with and without them."""

from __future__ import annotations

from edge_daemon.core.values import Latency

RATIO, MORE_MS = 1.10, 1.0
"""How much the 99th percentile may grow: transfers pause once it is past both."""
PAUSE_S = 15.0
_LEARNS = 0.1


class LatencyGuard:
    """Asked each second; one thread."""

    def __init__(self) -> None:
        self._usual_ms: float | None = None
        self._paused_until = float("-inf")
        self._is_paused = False
        self._anew_at = 0

    def must_pause(self, latency: Latency, judged: int, now: float, *, is_moving: bool) -> bool:
        """Whether nothing may be transferred now.

        Args:
            latency: of the last frames, from capture to verdict.
            judged: how many frames were judged so far.
            now: monotonic seconds.
            is_moving: whether bytes come or go.
        """
        if now < self._paused_until:
            return True
        was_paused, self._is_paused = self._is_paused, False
        if latency.p99 is None or judged < self._anew_at:
            return False  # some of these frames are from before the pause: they tell nothing new
        usual = self._usual_ms
        if usual is None or was_paused:  # in all of these frames nothing was transferred
            self._usual_ms = latency.p99
        elif not is_moving:
            self._usual_ms = usual + _LEARNS * (latency.p99 - usual)
        elif latency.p99 > RATIO * usual and latency.p99 > usual + MORE_MS:
            self._paused_until, self._is_paused = now + PAUSE_S, True
            self._anew_at = judged + latency.count
            return True
        return False
