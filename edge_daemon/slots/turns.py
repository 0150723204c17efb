"""Whose turn it is in a block of time, and how long each look took: between lane and evaluator.

One model at a time looks at frames of the line a second time, beside the line; the evaluator says
which one, and the lane tells how long it took.
"""

from __future__ import annotations

from collections import deque

from edge_daemon.core.rollout.blocks import Turn

MOST_LOOKS = 200_000
"""That wait for the evaluator: more than a block has."""


class Turns:
    """`now` is written by the evaluator and read by the lane, once a frame."""

    def __init__(self) -> None:
        self.now: Turn | None = None
        self._took: deque[tuple[float, float]] = deque(maxlen=MOST_LOOKS)

    def note(self, turn: Turn, took_ms: float) -> None:
        """One look is over; the lane's, and never a wait. The burn-in is not told."""
        if turn.counts:
            self._took.append((turn.began_at, took_ms))

    def take(self, began_at: float) -> list[float]:
        """How long each look of the block that began then took; all others are forgotten."""
        took = [self._took.popleft() for _ in range(len(self._took))]
        return [ms for block_at, ms in took if block_at == began_at]
