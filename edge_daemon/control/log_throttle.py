"""A fault that repeats: reported at once, then as a count each minute."""

from __future__ import annotations

EVERY_S = 60.0
"""Between two log lines about the same fault."""


class LogThrottle:
    """Counts one kind of fault."""

    def __init__(self) -> None:
        self._told_at = float("-inf")
        self._untold = 0

    def comes(self, at: float) -> int | None:
        """One more; the count since the last report, or None if it should not be reported now."""
        self._untold += 1
        if at - self._told_at < EVERY_S:
            return None
        count, self._untold, self._told_at = self._untold, 0, at
        return count
