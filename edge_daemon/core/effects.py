"""What to do, in the imperative. The driver performs effects and decides nothing.

A step's change of `State.durable` and its records are on the disk before any effect begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from edge_daemon.core.rollout.values import Mode, Plan, SliceRule, UnitKind
from edge_daemon.core.values import Assignment, BundleRef, Request, StoredBundle


@dataclass(frozen=True)
class Verify:
    """Check integrity and signature only; load nothing."""

    token: int
    target: StoredBundle
    swap_id: str


@dataclass(frozen=True)
class Prepare:
    """Verify, load, warm up and gate `target` in the empty `slot`; a spot proof if it passed
    before.

    `reference`: the version whose verdicts it is held against; None where there is none.
    `accepted`: checks that may fail, each for the reason `accepted_why`.
    `urgent`: frames of the line wait for it, and no other model may judge them.
    """

    token: int
    slot: str
    target: StoredBundle
    swap_id: str
    reference: BundleRef | None = None
    accepted: tuple[str, ...] = ()
    accepted_why: str = ""
    urgent: bool = False


@dataclass(frozen=True)
class Restore:
    """Load a bundle again that was proven in this boot, after its worker was lost."""

    token: int
    slot: str
    target: StoredBundle
    attempt: int


@dataclass(frozen=True)
class Free:
    """Empty the slot, whatever it holds; kill what still runs there."""

    token: int
    slot: str


@dataclass(frozen=True)
class AskCutover:
    """Ask the lane to point at `slot` (None: at nothing) at the given boundary.

    `at_epoch`: not before the first frame of that assignment; `at_frame`: exactly at that frame.
    `expecting`: whether a model will follow a pointer to nothing, so that frames wait.
    `may_wait`: a moment, for a gap between two parts.
    """

    token: int
    slot: str | None
    target: StoredBundle | None
    swap_id: str
    at_epoch: int = 0
    at_frame: int | None = None
    expecting: bool = True
    may_wait: bool = False


@dataclass(frozen=True)
class Withdraw:
    """Cancel a cutover that the lane has not made yet."""

    token: int


@dataclass(frozen=True)
class Stamp:
    """Frames captured from `since_at` on (or from `from_frame` on) carry this assignment."""

    assignment: Assignment
    since_at: float | None = None
    from_frame: int | None = None


@dataclass(frozen=True)
class PassOver:
    """Frames of this epoch and older ones get no other model than the active one."""

    epoch: int


@dataclass(frozen=True)
class StartTrial:
    """Watch the version that just became active."""

    swap_id: str
    target: StoredBundle


@dataclass(frozen=True)
class StopTrial:
    """The trial is over, or another version took its place."""


@dataclass(frozen=True)
class TakeSnapshot:
    """Publish a picture of now; `SnapshotTaken` tells the result."""

    request: Request


@dataclass(frozen=True)
class ApplyTuning:
    """Judge by the tuned recipe from the next frame on, if `target` is active."""

    target: StoredBundle


@dataclass(frozen=True)
class MakeForecast:
    """Hold the plan of a dry run against the station's record; `ForecastMade` tells the result."""

    request: Request
    plan: Plan


@dataclass(frozen=True)
class SetSplit:
    """From the next unit on let the candidate in `slot` judge beside the line.

    `share`: of the units whose verdict it gives; `coverage`: of those that it sees besides.
    """

    rollout: str
    slot: str
    candidate: StoredBundle
    mode: Mode
    unit: UnitKind
    share: float = 0.0
    coverage: float = 1.0
    either: bool = True
    slices: tuple[SliceRule, ...] = ()
    reference: BundleRef | None = None


@dataclass(frozen=True)
class EndSplit:
    """From the next unit on the active model alone judges."""


Effect = Union[
    Verify,
    Prepare,
    Restore,
    Free,
    AskCutover,
    Withdraw,
    Stamp,
    PassOver,
    StartTrial,
    StopTrial,
    TakeSnapshot,
    ApplyTuning,
    MakeForecast,
    SetSplit,
    EndSplit,
]
