"""Whether the courier costs the line anything: the line's slowest frames, with it and without."""

from __future__ import annotations

RATIO, MORE_MS = 1.10, 1.0
"""The band of the 99th percentile: it is left past the ratio and past so much more."""
REST_S = 15.0
"""So long nothing is moved after it was left; as the frames must first be others."""
_LEARNS = 0.1


class Band:
    """Asked each second; one thread."""

    def __init__(self) -> None:
        self._usual_ms: float | None = None
        self._rests_until = float("-inf")

    def is_left(self, p99_ms: float | None, now: float, *, is_moving: bool) -> bool:
        """Whether the courier rests.

        Args:
            p99_ms: of the last frames, from capture to verdict; None: none were judged.
            now: monotonic seconds.
            is_moving: whether bytes come or go.
        """
        if p99_ms is None or now < self._rests_until:
            return now < self._rests_until
        usual = self._usual_ms
        if usual is None or not is_moving:
            self._usual_ms = p99_ms if usual is None else usual + _LEARNS * (p99_ms - usual)
        elif p99_ms > RATIO * usual and p99_ms > usual + MORE_MS:
            self._rests_until = now + REST_S
            return True
        return False
