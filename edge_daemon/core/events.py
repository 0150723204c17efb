"""What happened, in the past tense. The planner is told these and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Union

from edge_daemon.core.gate import Limits
from edge_daemon.core.golden import Golden
from edge_daemon.core.job_orders import JobOrder
from edge_daemon.core.rollout.rates import Forecast
from edge_daemon.core.rollout.values import Plan
from edge_daemon.core.values import BundleRef, Check, Recipe, Refusal, Request, StoredBundle


@dataclass(frozen=True)
class Started:
    """The daemon is up; the state holds what was durable before."""


@dataclass(frozen=True)
class RequestReceived:
    """A checked request arrived.

    `next_frame` is the number to be captured next. Where the request would tune what judges:
    `recipe` is its signed one, `golden` what it found on its golden images, under these limits.
    `plan`: that of a rollout, within the station's bounds, or why there is none.
    """

    request: Request
    next_frame: int = 0
    recipe: Recipe | None = None
    golden: tuple[Golden, ...] = ()
    limits: Limits = Limits()
    plan: Plan | Refusal | None = None


@dataclass(frozen=True)
class OrderReceived:
    """The MES announced, started or ended a job order."""

    order: JobOrder


@dataclass(frozen=True)
class StoreChanged:
    """The set of complete bundles is now this, oldest to newest within each name.

    `refused`: what cannot be used, each with the reason; `below`: what is older than the floor of
    its name, each with that floor.
    """

    available: tuple[StoredBundle, ...]
    refused: tuple[tuple[BundleRef, Refusal], ...] = ()
    below: tuple[tuple[BundleRef, str], ...] = ()


@dataclass(frozen=True)
class StageReached:
    """A job in a slot reached its next stage: verify, load, warm, gate."""

    token: int
    stage: str


@dataclass(frozen=True)
class BundleVerified:
    """A bundle's integrity and signature are good; nothing was loaded yet."""

    token: int


@dataclass(frozen=True)
class BundleProven:
    """The bundle is in its slot, warm, and passed the gate."""

    token: int


@dataclass(frozen=True)
class BundleRefused:
    """The bundle or this box failed; the slot was emptied."""

    token: int
    refusal: Refusal


@dataclass(frozen=True)
class SlotFreed:
    """The slot is empty and its memory released."""

    token: int


@dataclass(frozen=True)
class SlotLost:
    """The worker behind a READY slot died, hung or broke its protocol."""

    token: int
    why: str


@dataclass(frozen=True)
class FailedOver:
    """The worker behind a READY slot was lost, and its standby judged the same frame."""

    token: int
    why: str


@dataclass(frozen=True)
class CutoverDone:
    """The cutover happened: the requested slot judges."""

    token: int


@dataclass(frozen=True)
class CutoverWithdrawn:
    """The cutover had not happened, and will not."""

    token: int


@dataclass(frozen=True)
class TrialJudged:
    """The probation of one swap ended."""

    swap_id: str
    passed: bool
    reason: str
    warning: str = ""


@dataclass(frozen=True)
class QuarantineChanged:
    """An operator quarantined a version (with a reason) or lifted it (None)."""

    ref: BundleRef
    reason: str | None


@dataclass(frozen=True)
class SnapshotTaken:
    """The requested picture is published; `refusal` if it could not be made."""

    request: Request
    refusal: Refusal | None = None


@dataclass(frozen=True)
class LinksChanged:
    """The settings now say that other bundles judge these products."""

    links: tuple[tuple[str, str], ...]


class Decision(str, Enum):
    """What the evidence of a rollout says now."""

    ADVANCE = "advance"  # the stage has all that it needs
    STOP = "stop"
    HOLD = "hold"  # a person must look before it goes on
    WAIT = "wait"


@dataclass(frozen=True)
class RolloutDecided:
    """The rule looked at the evidence of one stage; `checks` are its figures and limits."""

    rollout: str
    stage: int
    decision: Decision
    why: str
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True)
class CandidateLost:
    """The candidate raised, hung, gave nonsense or lost its worker; the incumbent judged.

    `guard` is one word for what was guarded.
    """

    rollout: str
    guard: str
    why: str


@dataclass(frozen=True)
class ForecastMade:
    """What a dry run of a rollout tells; `refusal` if the station's record could not be read."""

    request: Request
    forecast: Forecast
    refusal: Refusal | None = None


@dataclass(frozen=True)
class TimePassed:
    """Check what is due."""


Event = Union[
    Started,
    RequestReceived,
    OrderReceived,
    StoreChanged,
    StageReached,
    BundleVerified,
    BundleProven,
    BundleRefused,
    SlotFreed,
    SlotLost,
    FailedOver,
    CutoverDone,
    CutoverWithdrawn,
    TrialJudged,
    QuarantineChanged,
    SnapshotTaken,
    LinksChanged,
    RolloutDecided,
    CandidateLost,
    ForecastMade,
    TimePassed,
]
