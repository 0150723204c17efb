"""Everything that the planner knows, as one frozen value.

Three things are kept apart: role (`core/roles.py`: what each slot is there for), phase (what
each slot holds) and health (`Durable.confirmed`, `Durable.quarantined`, per version).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from edge_daemon.core.effects import SetSplit
from edge_daemon.core.job_orders import JobOrder
from edge_daemon.core.lifecycle import LIFECYCLE, OPERATIONS, Move, Phase, Stage, Step
from edge_daemon.core.rollout.values import Mode, Plan
from edge_daemon.core.rollout.values import Stage as RolloutStage
from edge_daemon.core.values import (
    NOW,
    UNASSIGNED,
    Assignment,
    At,
    BundleRef,
    ModelChoice,
    Refusal,
    Request,
    StoredBundle,
)
from edge_daemon.core.verbs import Verb

TRIES = 3  # starts that a version on trial gets before it is abandoned


@dataclass(frozen=True)
class SlotState:
    """One slot: its phase, what it holds, and the token of the last job given to it."""

    name: str
    phase: Phase = Phase.EMPTY
    bundle: StoredBundle | None = None
    token: int = 0
    used: int = 0  # grows with each activation: the smallest was active longest ago
    since_utc: float = 0.0  # when it was proven, or became active

    def moved(self, move: Move) -> SlotState:
        """The slot after `move`; KeyError when the table does not list it."""
        phase = LIFECYCLE[self.phase, move]
        return replace(self, phase=phase, bundle=None if phase is Phase.EMPTY else self.bundle)


@dataclass(frozen=True)
class Tuning:
    """Numbers of one version's rules that were moved, by their names, and by whom."""

    target: StoredBundle
    changes: tuple[tuple[str, float], ...]
    by: str = ""
    reason: str = ""
    since_utc: float = 0.0


@dataclass(frozen=True)
class Rollout:
    """A candidate that is tried beside its reference; the box has one at most.

    `stage` counts in the plan. `is_begun`: the candidate passed the gate once. `asks`: what a
    person must look at before it goes on; empty where nothing is asked. `is_alarmed`: labels show
    that the version before was better, which is told once.
    """

    id: str
    candidate: StoredBundle
    reference: StoredBundle
    plan: Plan
    digest: str  # of the plan
    request_id: str
    by: str = ""
    reason: str = ""
    began_utc: float = 0.0
    stage: int = 0
    stage_utc: float = 0.0
    is_begun: bool = False
    asks: str = ""
    is_alarmed: bool = False

    @property
    def now(self) -> RolloutStage:
        """The stage that it is in."""
        return self.plan.stages[self.stage]

    @property
    def share(self) -> float:
        """Of the units whose verdict the candidate may give now, at most."""
        return self.now.share if self.is_begun and self.now.mode is Mode.SHARE else 0.0

    @property
    def is_full(self) -> bool:
        """Whether the candidate is to become the active model, or is it already, on trial."""
        return self.is_begun and self.now.mode is Mode.FULL

    @property
    def is_back(self) -> bool:
        """Whether the rollout is over, and its reference goes on beside what was tried."""
        return self.now.is_back

    @property
    def request(self) -> Request:
        """Who is answered."""
        ref = self.candidate.ref
        model = ModelChoice(ref.name, ref.version)
        return Request(self.request_id, Verb.ROLLOUT, model, by=self.by, reason=self.reason)


@dataclass(frozen=True)
class Durable:
    """What survives a power cut. Tuples of pairs, so that the value can be hashed and searched."""

    selected: tuple[tuple[str, str], ...] = ()  # bundle name -> version that orders use
    confirmed: tuple[BundleRef, ...] = ()  # oldest first; the last of a name is its latest
    quarantined: tuple[tuple[BundleRef, str], ...] = ()  # version -> reason
    active: StoredBundle | None = None
    trial: str | None = None  # the swap whose version is on probation; None when confirmed
    tries: int = TRIES  # starts left for the version on trial
    begun: tuple[tuple[BundleRef, int], ...] = ()
    """Versions that the daemon brings by itself: loads and cutovers begun and not seen to end."""
    product: str | None = None
    job_order: str | None = None
    running: bool = False
    held: bool = False
    held_orders: tuple[JobOrder, ...] = ()  # the last running one, and its completion
    tunings: tuple[Tuning, ...] = ()  # one version of a name at most
    rollout: Rollout | None = None


class Kind(str, Enum):
    """Who wants it, and why."""

    PREPARE = "prepare"
    SWAP = "swap"
    ROLLBACK = "rollback"
    BOOT = "boot"  # nothing is active
    CHANGEOVER = "changeover"  # the running order's product needs another model
    REVERT = "revert"  # the active version proved bad
    PREFETCH = "prefetch"  # an order was announced, or a parked swap lost its slot
    ROLLOUT = "rollout"  # a candidate is to stand beside the active one, or to become it

    @property
    def is_asked(self) -> bool:
        return self in (Kind.PREPARE, Kind.SWAP, Kind.ROLLBACK)

    @property
    def can_wait(self) -> bool:
        """No frame and nobody waits for it: it goes behind everything else."""
        return self in (Kind.PREFETCH, Kind.ROLLOUT)


@dataclass(frozen=True)
class Operation:
    """One operation. `request` is None for one of the daemon itself."""

    kind: Kind
    swap_id: str
    target: StoredBundle
    request: Request | None = None
    at: At = NOW
    stage: Stage = Stage.NEW
    token: int = 0  # of the cutover or verification in flight
    slot: str = ""  # where the lane is asked to point
    verified: bool = False
    left: Assignment | None = None  # of the line, which the cutover asked for would end

    def moved(self, step: Step) -> Operation:
        """The operation after `step`; KeyError when the table does not list it."""
        return replace(self, stage=OPERATIONS[self.stage, step])


@dataclass(frozen=True)
class Upcoming:
    """An order that was announced: its bundle is prepared once, early."""

    order: str | None
    name: str
    done: bool = False


@dataclass(frozen=True)
class State:
    """Everything the planner knows. `step` maps a state and an event to the next state."""

    boot: str
    slots: tuple[SlotState, ...]
    links: tuple[tuple[str, str], ...] = ()  # product -> bundle name
    initial: ModelChoice | None = None
    available: tuple[StoredBundle, ...] = ()  # oldest to newest within each name
    refused: tuple[tuple[BundleRef, Refusal], ...] = ()  # in the store, and of no use
    below: tuple[tuple[BundleRef, str], ...] = ()  # in the store, and older than this floor
    durable: Durable = Durable()
    active: str | None = None
    left: StoredBundle | None = None  # what judged before, as far as this boot knows
    swap_id: str | None = None  # of the last cutover
    unfit: bool = False  # the active version proved bad: away from it as soon as possible
    op: Operation | None = None  # being pursued
    queued: Operation | None = None  # asked, waits for `op` to end
    parked: Operation | None = None  # proven, waits for its time or its order
    line: Assignment = UNASSIGNED
    split: SetSplit | None = None  # as the line was told last
    upcoming: tuple[Upcoming, ...] = ()  # announced orders, next one first
    skipped: frozenset[BundleRef] = frozenset()  # failed as the daemon's own choice
    backing_off: frozenset[BundleRef] = frozenset()  # good ones that the daemon kept dying under
    retry_at: float | None = None  # when to forget what was given up for this box's fault
    losses: int = 0  # times in a row that the active slot was lost
    lost_at: float = 0.0  # the last of them
    token: int = 0
    swaps: int = 0
    uses: int = 0

    def slot(self, name: str) -> SlotState:
        return next(slot for slot in self.slots if slot.name == name)

    def with_slot(self, changed: SlotState) -> State:
        slots = tuple(changed if s.name == changed.name else s for s in self.slots)
        return replace(self, slots=slots)

    def slot_of_job(self, token: int) -> SlotState | None:
        """The slot whose current job has this token; None for a token that is stale."""
        return next((s for s in self.slots if s.token == token and s.token), None)

    @property
    def operations(self) -> tuple[Operation, ...]:
        """Those that exist: in hand, queued, parked."""
        return tuple(op for op in (self.op, self.queued, self.parked) if op is not None)

    @property
    def active_bundle(self) -> StoredBundle | None:
        return self.slot(self.active).bundle if self.active else None

    @property
    def last_bundle(self) -> StoredBundle | None:
        """The active bundle; if none is active, as at a start, the last one."""
        return self.active_bundle or self.durable.active

    def quarantine_reason(self, ref: BundleRef) -> str | None:
        return next((why for r, why in self.durable.quarantined if r == ref), None)

    def floor_above(self, ref: BundleRef) -> str | None:
        """The floor that this version is older than; None where it is not."""
        return next((floor for r, floor in self.below if r == ref), None)

    def link(self, product: str | None) -> str | None:
        """The bundle name for a product; None without a link, and without a product."""
        return next((name for p, name in self.links if p == product), None)
