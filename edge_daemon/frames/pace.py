"""The frame rate of sources that have none of their own: files, and the drawn line."""

from __future__ import annotations

from collections.abc import Callable

_LATE_S = 1.0  # a stall longer than this is not caught up: the frames it swallowed are past


class Pace:
    """A schedule without drift: turn n is due n / fps after the first one.

    Args:
        fps: turns a second.
        now: monotonic seconds.
        wait: sleeps so many seconds; True when the wait was cut short (`threading.Event.wait`).
    """

    def __init__(self, fps: float, now: Callable[[], float], wait: Callable[[float], bool]) -> None:
        self._period_s = 1.0 / fps
        self._now = now
        self._wait = wait
        self._start_at: float | None = None
        self._turn = 0

    def wait_turn(self) -> bool:
        """Wait until the next turn is due; False when the wait was cut short."""
        now = self._now()
        if self._start_at is None:
            self._start_at = now
        due_at = self._start_at + self._turn * self._period_s
        if now - due_at > max(_LATE_S, self._period_s):
            self._start_at, self._turn, due_at = now, 0, now
        self._turn += 1
        return not (due_at > now and self._wait(due_at - now))
