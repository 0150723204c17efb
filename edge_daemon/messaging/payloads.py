"""Values -> the exact JSON of the public contract: the only room that knows the field names.

Each message is a frozen Struct that carries the wire's names; `encode` makes the bytes. Times
are ISO 8601 in UTC with milliseconds and Z, boxes in pixels rounded to 0.1, confidences to four
digits, durations in milliseconds. The message of a frame is in `result_payloads`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Union

import msgspec

from edge_daemon.core.event_names import EventName
from edge_daemon.core.roles import Role
from edge_daemon.core.values import Check, Counts, Latency, Refusal
from edge_daemon.messaging.field_types import (
    AuditHead,
    CauseWord,
    CodeWord,
    Digest,
    HealthWord,
    Model,
    PresenceWord,
    ProofWord,
    ReasonWord,
    StageWord,
    StatusWord,
    Time,
)
from edge_daemon.messaging.rollout_payloads import ForecastLine
from edge_daemon.messaging.times import iso_utc

_encoder = msgspec.json.Encoder()


def encode(message: msgspec.Struct | msgspec.Raw | Mapping[str, Any]) -> bytes:
    """The message as JSON bytes."""
    return _encoder.encode(message)


# --------------------------------------------------------------------------- receipts


class CheckLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a gate report; `measured` and `limit` are null where there is no figure."""

    name: str
    passed: bool
    measured: float | str | msgspec.UnsetType | None = msgspec.UNSET
    limit: float | str | msgspec.UnsetType | None = msgspec.UNSET
    note: str = ""
    accepted: bool = False  # it failed, and refuses nothing: `note` says why


class Stages(msgspec.Struct, frozen=True):
    """Milliseconds of each stage; null for one that this swap did not need."""

    verify: float | None = None
    load: float | None = None
    warm: float | None = None
    gate: float | None = None


class FrameCounts(msgspec.Struct, frozen=True):
    """captured = inspected + dropped + uninspected."""

    captured: int = 0
    inspected: int = 0
    dropped: int = 0
    uninspected: int = 0


def frame_counts(counts: Counts) -> FrameCounts:
    """The ledger as the wire names it."""
    return FrameCounts(counts.captured, counts.inspected, counts.dropped, counts.uninspected)


class LatencyAround(msgspec.Struct, frozen=True):
    """The 99th percentile of a frame's milliseconds around the swap; null where not measured."""

    before_p99: float | None = None
    during_p99: float | None = None
    after_p99: float | None = None


class FoundObjects(msgspec.Struct, frozen=True):
    """Objects of one slice, and how many of them the version before and the new one found."""

    n: int
    old: int
    new: int


class GateRun(msgspec.Struct, frozen=True):
    """The whole gate that a spot proof relies on: when it ran on this box, and its checks."""

    at: Time
    checks: tuple[CheckLine, ...] = ()


class Receipt(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """The proof of one swap. Times are ISO 8601; `from_` is null for the first model of all."""

    swap_id: str
    request_id: str | None = None
    verb: CauseWord
    boot: str
    from_: Model | None
    to: Model
    sha256: Digest
    by: str = ""
    reason: str = ""
    accepted: tuple[str, ...] = ()
    """Checks that failed and were accepted."""
    requested_at: Time
    cutover_frame: int | None = None
    cutover_at: Time | None = None
    pause_ms: float | None = None
    stages_ms: Stages = Stages()
    frames: FrameCounts = FrameCounts()
    latency_ms: LatencyAround = LatencyAround()
    checks: tuple[CheckLine, ...] = ()
    """What was measured for this proof."""
    proof: ProofWord | None = None
    """`gate`, or `spot` where the bundle passed the gate here before and all was as it was then."""
    gate: GateRun | msgspec.UnsetType = msgspec.UNSET
    """With a spot proof: the gate that it relies on."""
    golden: Mapping[str, FoundObjects] | msgspec.UnsetType = msgspec.UNSET
    """By slice of the golden images, where the version before looked at them too."""
    audit: AuditHead | None = None
    trial: str | msgspec.UnsetType = msgspec.UNSET
    """The verdict of the probation, once there is one: `confirmed` or why it was rolled back."""


def check_lines(checks: tuple[Check, ...]) -> tuple[CheckLine, ...]:
    """A gate report as the wire names it."""
    return tuple(
        CheckLine(check.name, check.passed, check.measured, check.limit, check.note, check.accepted)
        for check in checks
    )


# --------------------------------------------------------------------------- answers


class Accepted(msgspec.Struct, frozen=True):
    """The first answer of a request that will be carried out; `rollout`: what it begins."""

    id: str
    status: StatusWord = "accepted"
    rollout: str | msgspec.UnsetType = msgspec.UNSET


class Progress(msgspec.Struct, frozen=True):
    """What is being done now, and how long after the request was accepted."""

    id: str
    status: StatusWord
    stage: StageWord
    elapsed_ms: int
    rollout: str | msgspec.UnsetType = msgspec.UNSET


class ErrorLine(msgspec.Struct, frozen=True):
    """Why not: a code of the contract, a sentence, the next step, the gate's checks."""

    code: CodeWord
    message: str
    hint: str = ""
    checks: tuple[CheckLine, ...] = ()


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """The one outcome of a request."""

    id: str
    status: StatusWord
    receipt: Receipt | None = None
    error: ErrorLine | None = None
    detail: str | None = None
    rollout: str | None = None
    forecast: ForecastLine | None = None
    left_out: tuple[str, ...] = ()


def error_line(refusal: Refusal) -> ErrorLine:
    """A refusal as the wire names it."""
    return ErrorLine(refusal.code.value, refusal.message, refusal.hint, check_lines(refusal.checks))


# --------------------------------------------------------------------------- retained state


class StatusMessage(msgspec.Struct, frozen=True):
    """`online`, `stopped` or, as the last will, `offline` (when is known to the broker only)."""

    state: PresenceWord
    since: Time | None


def status(state: str, since_utc: float | None) -> bytes:
    """The bytes of `<root>/status`; no time is known for a last will."""
    return _encoder.encode(StatusMessage(state, None if since_utc is None else iso_utc(since_utc)))


class TunedLine(msgspec.Struct, frozen=True):
    """Values of rules that differ from the signed ones; who moved one last, and why."""

    set: Mapping[str, float]
    by: str
    reason: str
    since: Time


class ActiveModel(msgspec.Struct, frozen=True):
    """The bundle that judges frames; `tuned` where not all of its signed values count."""

    model: Model
    sha256: Digest
    slot: str
    since: Time
    trial: bool
    tuned: TunedLine | msgspec.UnsetType = msgspec.UNSET


class PreparedModel(msgspec.Struct, frozen=True):
    """A checked bundle, ready for its cutover."""

    model: Model
    sha256: Digest
    slot: str
    since: Time


class CandidateModel(PreparedModel, frozen=True):
    """The bundle that is tried beside the active one."""


class PreviousModel(msgspec.Struct, frozen=True):
    """The bundle that was active before; `slot` is null where none keeps it for that."""

    model: Model
    sha256: Digest
    slot: str | None
    since: Time | None = None


RoleModel = Union[ActiveModel, CandidateModel, PreparedModel, PreviousModel]


class ModelState(msgspec.Struct, frozen=True, kw_only=True):
    """`<root>/model/state`: a field for each role; a candidate only while one is tried."""

    active: ActiveModel | None = None
    candidate: CandidateModel | msgspec.UnsetType = msgspec.UNSET
    prepared: PreparedModel | None = None
    previous: PreviousModel | None = None
    selected: Mapping[str, str] = {}
    product: str | None = None
    job_order: str | None = None
    held: bool = False
    swap_id: str | None = None

    def of(self, role: Role) -> RoleModel | None:
        """The bundle that has this role, where there is one."""
        found: RoleModel | msgspec.UnsetType | None = getattr(self, role.value)
        return None if isinstance(found, msgspec.UnsetType) else found


class AvailableModel(msgspec.Struct, frozen=True, omit_defaults=True):
    """One complete bundle of the store; `quarantined` says why, where it is."""

    model: Model
    sha256: Digest
    classes: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    quarantined: str | None = None


class ModelAvailable(msgspec.Struct, frozen=True):
    """`<root>/model/available`: what the store offers, and what lies there but cannot be used."""

    models: tuple[AvailableModel, ...]
    refused: tuple[ErrorLine, ...] = ()
    left_out: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET


class CameraStatus(msgspec.Struct, frozen=True, kw_only=True):
    """`<root>/camera/status`: `online`, `connecting` or `lost`; the source without secrets."""

    state: str
    since: Time
    source: str
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    error: str | None = None
    previewed: int = 0
    """Frames seen before the first model was there: they were not captured and have no number."""


class LatencyLine(msgspec.Struct, frozen=True):
    """Milliseconds over a window of `count` frames."""

    count: int
    p50: float | None
    p99: float | None
    max: float | None


def latency_line(latency: Latency) -> LatencyLine:
    """A window of latencies as the wire names it."""
    return LatencyLine(latency.count, latency.p50, latency.p99, latency.max)


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """`<root>/health`: one glance; `problems` are sentences and empty where all is well."""

    state: HealthWord
    time: Time
    boot: str
    uptime_s: float
    problems: tuple[str, ...] = ()
    frames: FrameCounts = FrameCounts()
    latency_ms: LatencyLine | None = None
    results_lost: int = 0
    outbox_depth: int = 0
    audit: AuditHead | None = None


class Info(msgspec.Struct, frozen=True, kw_only=True):
    """`<root>/info`: what this device is; retained, so that a stranger can find its way."""

    device: str
    version: str
    boot: str
    started: Time
    verbs: tuple[str, ...]
    slots: int
    hardware: str
    camera: str
    schema: int = 1
    api: Digest | None = None
    """SHA-256 of the API document, which is retained at `info/api`."""


class Event(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"from_": "from"}
):
    """`<root>/model/event`: something that happened, told once in the order it happened."""

    type: EventName
    time: Time
    boot: str
    swap_id: str | None = None
    request_id: str | None = None
    model: Model | None = None
    from_: Model | None = None
    slot: str | None = None
    frame: int | None = None
    product: str | None = None
    job_order: str | None = None
    word: str | None = None
    rollout: str | None = None
    code: CodeWord | None = None
    reason: ReasonWord | None = None
    message: str | None = None
    receipt: Receipt | None = None
    left_out: tuple[str, ...] = ()
