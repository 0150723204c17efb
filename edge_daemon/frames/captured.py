"""One captured frame: while it is written, while it waits, and while it is judged."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_daemon.core.values import Assignment, Instant, Reason
from edge_daemon.host.memory import FrameAddress, Pixels


@dataclass(frozen=True)
class Captured:
    """One captured frame in its turn; without an address, a tombstone: `dropped` says why.

    With a `flaw` its picture is no evidence, and no model is asked.
    """

    number: int
    captured: Instant
    assignment: Assignment
    address: FrameAddress | None
    dropped: Reason | None
    flaw: Reason | None = None


@dataclass(frozen=True, eq=False)
class Lease:
    """A place to write one frame into; `address` is None for a scratch place outside the ring."""

    pixels: Pixels = field(repr=False)
    address: FrameAddress | None


class Waiting:
    """A frame that the lane has not popped: only the ring sees it change."""

    __slots__ = ("address", "assignment", "captured", "dropped", "flaw", "number", "seen")

    def __init__(
        self, number: int, captured: Instant, assignment: Assignment, flaw: Reason | None
    ) -> None:
        self.number = number
        self.captured = captured
        self.assignment = assignment
        self.flaw = flaw
        self.address: FrameAddress | None = None
        self.dropped: Reason | None = None
        self.seen = False  # the lane holds it from head(): its pixels may be in use

    def shown(self) -> Captured:
        return Captured(
            self.number, self.captured, self.assignment, self.address, self.dropped, self.flaw
        )
