"""A part that is not told yet, and its frames: what the ledger keeps."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from edge_daemon.core.parts.fold import FrameOfPart
from edge_daemon.core.parts.values import FrameOpinions
from edge_daemon.core.rollout.values import Assigned, Opinion, Split
from edge_daemon.core.values import Assignment, Box, Instant, Reason


@dataclass(slots=True, eq=False)
class OpenFrame:
    """One frame; `view` is None until it has its outcome."""

    number: int
    captured: Instant
    assignment: Assignment
    view: FrameOfPart | None = None
    incumbent: Opinion | None = None  # both are kept while a candidate is tried
    candidate: Opinion | None = None
    box: Box | None = None


@dataclass(slots=True, eq=False)
class OpenPart:
    """One part that is not told yet; `end_at` is where its window ends, without that moment."""

    number: int
    opened_at: float
    assignment: Assignment
    id: str | None = None
    serial: str | None = None
    triggered: Instant | None = None
    track: int | None = None
    start_at: float = -math.inf
    end_at: float = -math.inf
    frames: list[OpenFrame] = field(default_factory=list)
    pending: int = 0
    assigned: Assigned | None = None
    split: Split | None = None  # in which the arm was drawn
    shadow: Opinion | None = None
    missed: Reason | None = None  # a frame that may have shown it had no verdict

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
