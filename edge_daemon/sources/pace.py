"""How fast a source is read, and how long is waited before it is asked again."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from edge_daemon.sources.source import SourceAway

CHUNK_BYTES = 256 << 10
_SHORTEST_S, _LONGEST_S = 0.5, 30.0


class Pace:
    """Waits for one source.

    Args:
        rate_kb: kilobytes a second at most; None: as fast as it comes.
        wait: waits so many seconds; True where the daemon ends meanwhile.
        now: monotonic seconds.
    """

    def __init__(
        self,
        rate_kb: int | None = None,
        wait: Callable[[float], bool] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate = None if rate_kb is None else rate_kb * 1000
        self._wait = wait or threading.Event().wait
        self._now = now
        self._due = now()

    @property
    def chunk_bytes(self) -> int:
        """So much is read at once: a tenth of a second's worth where there is a limit."""
        return CHUNK_BYTES if self._rate is None else max(1024, min(CHUNK_BYTES, self._rate // 10))

    def read(self, count: int) -> None:
        """So many bytes came; raises SourceAway where the daemon ends."""
        wait_s = 0.0
        if self._rate is not None:
            self._due = max(self._due, self._now()) + count / self._rate
            wait_s = self._due - self._now()
        self._pause(wait_s)

    def before_again(self, failures: int) -> None:
        """Wait before the next try, twice as long each time and never at one moment with others."""
        longest = min(_LONGEST_S, _SHORTEST_S * 2 ** (failures - 1))
        self._pause(random.uniform(longest / 2, longest))  # noqa: S311 - jitter

    def _pause(self, seconds: float) -> None:
        if self._wait(seconds):
            raise SourceAway("The daemon ends; the rest is fetched at its next start.")
