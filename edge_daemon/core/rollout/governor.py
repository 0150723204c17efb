"""How many units the candidate sees besides: as many as leave the line's own times as they are.

Which unit is looked at is drawn before anybody looks at it, so that those which are not looked at
are like those which are. The share falls by a third when frames after a look are slower than
frames after none, and grows again by a step while they are not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

MOST = 0.9
"""Some units are never looked at: by them it is known how fast the line is without a candidate."""
LEAST = 0.02
FIRST = 0.5
_STEP = 0.05
_FALL = 0.7

RATIO, MORE_MS, GRAIN_MS = 1.05, 1.0, 0.1
"""The band of the 99th percentile: neither past the ratio nor past so much more; finer than the
grain nothing is told apart."""

LOOK_AFTER = 200
"""Frames after a look, between two decisions; two of them are expected past a 99th percentile."""
_FEWEST = 100


class Governor:
    """The share of one split; the lane reads it, and the shadow's thread notes."""

    def __init__(self, wanted: float = 1.0) -> None:
        self._most = min(wanted, MOST)
        self.coverage = min(FIRST, self._most)
        """Share of the units that are looked at, 0..1."""
        self._quiet_ms: deque[float] = deque(maxlen=1000)
        self._looked_ms: list[float] = []

    def note(self, frame_ms: float, *, after_look: bool) -> None:
        """How long a frame took, from its capture to the active model's verdict."""
        if not after_look:
            self._quiet_ms.append(frame_ms)
            return
        self._looked_ms.append(frame_ms)
        if len(self._looked_ms) >= LOOK_AFTER:
            if len(self._quiet_ms) >= _FEWEST:
                self._decide()
            self._looked_ms.clear()

    def _decide(self) -> None:
        usual = p99(self._quiet_ms)
        limit = max(min(RATIO * usual, usual + MORE_MS), usual + GRAIN_MS)
        expected = 0.01 * len(self._looked_ms)
        slow = sum(each > limit for each in self._looked_ms)
        if slow > expected + 2.0 * expected**0.5:
            self.coverage = max(min(LEAST, self._most), self.coverage * _FALL)
        elif slow <= expected + expected**0.5:
            self.coverage = min(self._most, self.coverage + _STEP)


def p99(values: Collection[float]) -> float:
    """The 99th percentile: the smallest that 99 of 100 do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, -(-99 * len(ordered) // 100) - 1)]
