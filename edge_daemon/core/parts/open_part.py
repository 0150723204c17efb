"""A part that is not told yet, and its frames: what the ledger keeps."""

from __future__ import annotations

import math

from edge_daemon.core.parts.fold import FrameOfPart
from edge_daemon.core.parts.values import FrameOpinions
from edge_daemon.core.rollout.values import Assigned, Opinion, Split
from edge_daemon.core.values import Assignment, Box, Instant, Reason


class OpenFrame:
    """One frame; `view` is None until it has its outcome."""

    __slots__ = ("assignment", "box", "candidate", "captured", "incumbent", "number", "view")

    def __init__(self, number: int, captured: Instant, assignment: Assignment) -> None:
        self.number = number
        self.captured = captured
        self.assignment = assignment
        self.view: FrameOfPart | None = None
        self.incumbent: Opinion | None = None  # both are kept while a candidate is tried
        self.candidate: Opinion | None = None
        self.box: Box | None = None


class OpenPart:
    """One part that is not told yet; `end_at` is where its window ends, without that moment."""

    __slots__ = (
        *("assignment", "end_at", "frames", "id", "missed", "number", "opened_at"),
        *("pending", "serial", "start_at", "track", "triggered", "assigned", "split"),
        "shadow",
    )

    def __init__(self, number: int, opened_at: float, assignment: Assignment) -> None:
        self.number = number
        self.opened_at = opened_at
        self.assignment = assignment
        self.id: str | None = None
        self.serial: str | None = None
        self.triggered: Instant | None = None
        self.track: int | None = None
        self.start_at = self.end_at = -math.inf
        self.frames: list[OpenFrame] = []
        self.pending = 0
        self.assigned: Assigned | None = None
        self.split: Split | None = None  # in which the arm was drawn
        self.shadow: Opinion | None = None
        self.missed: Reason | None = None  # a frame that may have shown it had no verdict

    def add(self, frame: OpenFrame) -> None:
        self.frames.append(frame)
        self.pending += frame.view is None

    @property
    def looks(self) -> tuple[FrameOpinions, ...]:
        """What each model said by frame, while a candidate is tried."""
        if self.assigned is None:
            return ()
        return tuple(
            FrameOpinions(each.number, each.incumbent, each.candidate, each.box)
            for each in self.frames
        )
