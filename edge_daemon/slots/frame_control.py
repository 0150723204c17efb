"""What control may know about frames, and the little it may ask for.

The data side offers this, the command side uses it; they meet here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from edge_daemon.core.judged import Judged
from edge_daemon.core.rollout.values import Pair
from edge_daemon.core.shares import Record
from edge_daemon.core.trial import Window
from edge_daemon.core.values import Assignment, BundleRef, Instant
from edge_daemon.host.memory import FrameAddress


@dataclass(frozen=True)
class Sample:
    """A copy of a frame of this camera; `judged` is None for one that was never on the line."""

    frame: FrameAddress
    judged: Judged | None = None


@dataclass(frozen=True)
class TrialRecords:
    """How frames came out on a trial, and before it, for the same product.

    `before_ref` is the version that the record is of; None where there is none.
    """

    before_ref: BundleRef | None
    before: Record
    during: Record


@dataclass(frozen=True)
class RolloutOutlets:
    """What the line says of a candidate, on threads of its own; each must return at once.

    `pair`: a part that both models judged. `candidate_lost`: rollout, guard (raised, hung,
    not_finite or lost) and why; the line has ended its split by then.
    """

    pair: Callable[[Pair], None] = lambda _: None
    candidate_lost: Callable[[str, str, str], None] = lambda *_: None


@dataclass(frozen=True)
class ShadowTally:
    """How far the candidate sees what the line sees, of the split that is on.

    `share`: of the units that are to be looked at. Frames: compared + skipped + failed. `lost`:
    units by slice that were drawn and have no pair, all of them under `all`. `arms`: by declared
    share the units and the candidate's of them; `misassigned` to another arm than was drawn.
    """

    rollout: str = ""
    share: float = 0.0
    compared: int = 0
    skipped: int = 0
    failed: int = 0
    lost: Mapping[str, int] = field(default_factory=dict)
    arms: Mapping[float, tuple[int, int]] = field(default_factory=dict)
    misassigned: int = 0


class Sampler(Protocol):
    """Gives copies of frames to one thread."""

    def next(self, timeout_s: float) -> Sample:
        """The next judged frame; past the limit a frame that was never on the line.

        Good until the next call.
        """


class FrameControl(Protocol):
    """The frames as control sees them; every call is thread-safe and brief."""

    @property
    def next_frame(self) -> int:
        """The number that the next captured frame will get."""

    def mark(self) -> object:
        """This moment, to measure from."""

    def since(self, mark: object) -> Window:
        """What happened from that moment until now."""

    def begin_record(self, ref: BundleRef) -> None:
        """This version's trial begins: count its verdicts from now on."""

    def trial_records(self, ref: BundleRef) -> TrialRecords:
        """Verdicts since its trial began, and those of the version before."""

    def sampler(self) -> AbstractContextManager[Sampler]:
        """Copies of frames, for one proof."""

    def fence(self) -> Instant:
        """This moment: no frame captured from now on is judged until `lift`."""

    def stamp(self, assignment: Assignment, since_at: float) -> None:
        """Frames captured from then on are of this assignment."""

    def stamp_from(self, assignment: Assignment, number: int) -> None:
        """Frames from this number on are of this assignment."""

    def lift(self, *since_at: float) -> None:
        """The order that arrived then was read: the lane need not wait for it any more."""

    def pass_over(self, epoch: int) -> None:
        """Frames of this epoch and older will get no other model."""

    def open(self) -> None:
        """Count frames from now on: the first model is there, or none will be."""
