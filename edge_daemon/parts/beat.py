"""When the frames of a camera were exposed."""

from __future__ import annotations

from collections import deque

_INTERVALS = 15
"""Between the newest frames; their median is what usually lies between two."""
_KNOWN = 5
"""Intervals that say what is usual. The first ones are those of a daemon that just started."""
_TRUST = 0.2
"""How much of a frame's earliness or lateness counts, where it is less than a usual interval."""
_LEAST = 0.25
"""Of a usual interval: less does not lie between two frames, whatever their stamps say. A driver's
stamps are right; but two frames of one moment do not tell how fast anything moves."""
_LEAST_S = 0.002
"""The same, while nobody knows what is usual."""


class Beat:
    """When frames were exposed, from when they were stamped: a busy machine stamps some late.

    Stamps say it to within an interval; after a longer gap frames were lost, and the stamp counts.
    """

    def __init__(self) -> None:
        self._intervals: deque[float] = deque(maxlen=_INTERVALS)
        self._stamped_at: float | None = None
        self._at = 0.0
        self.mean_s = 0.0
        """Of the last intervals; where a reader is held up, most of them are not the usual one."""
        self.least_s = _LEAST_S
        """Two frames that lie closer together are of one moment."""

    @property
    def usual_s(self) -> float | None:
        """What usually lies between two frames; None: too few came to say."""
        if len(self._intervals) < _KNOWN:
            return None
        return sorted(self._intervals)[len(self._intervals) // 2]

    def next(self, stamped_at: float, *, is_exact: bool) -> float:
        """Seconds of the next frame; they only grow."""
        if self._stamped_at is None:
            self._at = stamped_at
        else:
            self._intervals.append(max(0.0, stamped_at - self._stamped_at))
            self.mean_s = sum(self._intervals) / len(self._intervals)
            self.least_s = _LEAST * self.mean_s
            usual_s = self.usual_s
            if is_exact or usual_s is None:
                self._at = max(stamped_at, self._at)
            elif abs(off_s := stamped_at - (self._at + usual_s)) <= usual_s:
                self._at += usual_s + _TRUST * off_s
            else:
                self._at = max(stamped_at, self._at + _LEAST * usual_s)
        self._stamped_at = stamped_at
        return self._at
