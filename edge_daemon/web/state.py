"""The content of `/api/state`: everything that the page shows, as one value.

Fields are added, never renamed. Times are ISO 8601 in UTC; `_ms` are milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from edge_daemon.core.roles import Role

SCHEMA = 1

raw = msgspec.Raw
"""JSON that was made elsewhere and goes out word for word."""


class HealthLine(msgspec.Struct, frozen=True, kw_only=True):
    """As `/healthz` and `/readyz` say; `problems` are sentences and empty where all is well.

    Each reason of `/readyz` is among them.
    """

    healthy: bool
    ready: bool
    problems: tuple[str, ...] = ()


class SlotLine(msgspec.Struct, frozen=True, kw_only=True):
    """One slot: what it holds (`phase`), what for (`role`), and how far a load is (`stage`)."""

    name: str
    phase: str
    role: Role | None = None
    model: str | None = None
    sha256: str | None = None
    stage: str | None = None
    memory_bytes: int = 0


class ComingLine(msgspec.Struct, frozen=True, kw_only=True):
    """The model that will judge next, and how far it is.

    `why` is swap, rollback, order, …; `stage` is verify, load, warm, gate, cutting, ready, queued
    or announced; `when` is now, next_order, a time or `frame N`.
    """

    model: str
    why: str
    stage: str
    when: str | None = None
    by: str | None = None
    swap_id: str | None = None


class OrderLine(msgspec.Struct, frozen=True, kw_only=True):
    """What the line makes. `requires` is the bundle name linked to it; `announced` come later."""

    product: str | None = None
    job_order: str | None = None
    running: bool = False
    requires: str | None = None
    held: bool = False
    announced: tuple[str, ...] = ()


class CameraLine(msgspec.Struct, frozen=True, kw_only=True):
    """`online`, `connecting`, `lost` or `ended`; the source without credentials."""

    state: str
    since: str
    source: str
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    error: str | None = None
    hint: str | None = None


class BrokerLine(msgspec.Struct, frozen=True, kw_only=True):
    """The MQTT broker; `waiting` messages will be sent, `lost` results never were."""

    online: bool
    address: str
    waiting: int = 0
    lost: int = 0


class FramesLine(msgspec.Struct, frozen=True, kw_only=True):
    """The ledger: captured = inspected + dropped + uninspected, since the start."""

    captured: int = 0
    inspected: int = 0
    dropped: int = 0
    uninspected: int = 0
    ok: int = 0
    ng: int = 0
    empty: int = 0
    balanced: bool = True
    reasons: dict[str, int] = {}


class LatencyLine(msgspec.Struct, frozen=True, kw_only=True):
    """From capture to verdict over the last `count` frames."""

    count: int = 0
    p50: float | None = None
    p99: float | None = None
    max: float | None = None


class VerdictLine(msgspec.Struct, frozen=True, kw_only=True):
    """The newest frame that has its outcome."""

    frame: int
    time: str
    verdict: str
    reason: str | None = None
    model: str | None = None
    product: str | None = None
    labels: tuple[str, ...] = ()
    latency_ms: float = 0.0


class ModelLine(msgspec.Struct, frozen=True, kw_only=True):
    """One bundle of the store; `quarantined` says why it may not become active."""

    model: str
    quarantined: str | None = None


class SwapLine(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the timeline; all of it stands at `/api/swaps/<id>`.

    `status` is the event's or outcome's word: swapped, confirmed, rolled_back, rejected, …
    `cutover` is when the model changed, None where it did not; `checks` are passed and all.
    """

    id: str
    time: str
    kind: str
    status: str
    model: str | None = None
    left: str | None = None
    by: str | None = None
    message: str | None = None
    code: str | None = None
    cutover: str | None = None
    frame: int | None = None
    pause_ms: float | None = None
    checks: tuple[int, int] | None = None


class SwapEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`/api/swaps/<id>`: what the journal knows of one entry.

    `events` are the rows of the audit trail; `receipt`, `request` and its `outcome` are the
    documents of the MQTT contract, word for word, and left out where there is none.
    """

    id: str
    events: tuple[Mapping[str, Any], ...]
    receipt: msgspec.Raw | None = None
    request: msgspec.Raw | None = None
    outcome: msgspec.Raw | None = None


class FoundLine(msgspec.Struct, frozen=True, kw_only=True, rename={"label": "class"}):
    """One box on a rejected part, in pixels of its picture; `rejects`: its class makes it ng."""

    label: str
    confidence: float
    box: tuple[float, float, float, float]
    rejects: bool = False
    polygon: tuple[tuple[float, float], ...] = ()
    keypoints: tuple[tuple[float, float, float], ...] = ()


class RejectedLine(msgspec.Struct, frozen=True, kw_only=True):
    """One picture of a rejected part; it lies at `/ng/<file>`."""

    file: str
    time: str | None = None
    model: str | None = None
    product: str | None = None
    job_order: str | None = None
    detections: tuple[FoundLine, ...] = ()


class PartLine(msgspec.Struct, frozen=True, kw_only=True):
    """One part that was told; `time` is that of its trigger, else of its first frame."""

    part: int
    id: str | None
    serial: str | None
    time: str | None
    verdict: str
    causes: tuple[str, ...]
    reason: str | None
    late: bool


class PartsLine(msgspec.Struct, frozen=True, kw_only=True):
    """Parts, where they are counted: the newest first. `counts` is the retained topic `counts`.

    `opened`: how many there were in this boot; those above the newest of `last` are not told yet.
    """

    by: str
    opened: int
    last: tuple[PartLine, ...]
    counts: msgspec.Raw


class OpinionLine(msgspec.Struct, frozen=True, kw_only=True):
    """What one model says of a part, with what it found on the frame of the picture."""

    model: str
    verdict: str
    causes: tuple[str, ...] = ()
    detections: tuple[FoundLine, ...] = ()


class DisputeLine(msgspec.Struct, frozen=True, kw_only=True):
    """One part on which both models disagree; its picture lies at `/disagreements/<file>`.

    What they said is told with the `truth` only: the person who labels must not be led by it.
    """

    file: str
    boot: str
    part: int
    id: str | None
    time: str
    truth: str | None = None
    incumbent: OpinionLine | None = None
    candidate: OpinionLine | None = None


class EndedLine(msgspec.Struct, frozen=True, kw_only=True):
    """When and how a rollout ended: the word of its event, and a sentence."""

    time: str
    how: str
    why: str


class WantedLine(msgspec.Struct, frozen=True, kw_only=True):
    """One part of which a person is to say what it is; there is no picture of it here."""

    boot: str
    part: int
    id: str | None
    time: str


class RolloutLine(msgspec.Struct, frozen=True, kw_only=True):
    """The rollout that runs, or ended lately. `state` is the retained topic `rollout/state`.

    `asked`: disagreements without a label, the newest first; `answered`: those with one. `wanted`:
    other parts that want a label, without a word of what the models said.
    """

    state: msgspec.Raw
    ended: EndedLine | None = None
    asked: tuple[DisputeLine, ...] = ()
    answered: tuple[DisputeLine, ...] = ()
    wanted: tuple[WantedLine, ...] = ()
    takes_labels: bool = True
    keeps_pictures: bool = True


class ShareLine(msgspec.Struct, frozen=True, kw_only=True):
    """A share with its interval at 95 %, from `n` observations; `how` it was got."""

    value: float
    low: float
    high: float
    n: int
    how: str


class PersonLine(msgspec.Struct, frozen=True, kw_only=True):
    """One operator's labels of challenge parts, in the terms of an attribute study.

    Acceptable: effectiveness 0.9 or more, miss 0.02 or less, false alarm 0.05 or less.
    """

    name: str
    effectiveness: float
    miss: float | None
    false_alarm: float | None
    n: int


class AuditLine(msgspec.Struct, frozen=True, kw_only=True):
    """One passed part that was drawn, and that a person is to look at."""

    boot: str
    part: int
    id: str | None
    serial: str | None
    time: str | None
    share: float


class QualityLine(msgspec.Struct, frozen=True, kw_only=True):
    """Quality in production by what people said of parts; a figure is null where it is not known.

    `missing`: what each figure that is null would need.
    """

    precision: ShareLine | None = None
    recall: ShareLine | None = None
    missing: tuple[str, ...] = ()
    people: tuple[PersonLine, ...] = ()
    audits: tuple[AuditLine, ...] = ()


class HistoryColumns(msgspec.Struct, frozen=True, kw_only=True):
    """One row a second, oldest first: `at` in POSIX seconds, frames by outcome, milliseconds."""

    at: tuple[int, ...] = ()
    ok: tuple[int, ...] = ()
    ng: tuple[int, ...] = ()
    empty: tuple[int, ...] = ()
    uninspected: tuple[int, ...] = ()
    dropped: tuple[int, ...] = ()
    p50: tuple[float | None, ...] = ()
    p99: tuple[float | None, ...] = ()


class PageState(msgspec.Struct, frozen=True, kw_only=True):
    """The whole document. `model` is the retained topic `model/state`, word for word."""

    schema: int = SCHEMA
    device: str
    version: str
    boot: str
    time: str
    started: str
    health: HealthLine
    model: msgspec.Raw
    coming: ComingLine | None = None
    slots: tuple[SlotLine, ...] = ()
    order: OrderLine = OrderLine()
    models: tuple[ModelLine, ...] = ()
    camera: CameraLine
    broker: BrokerLine
    frames: FramesLine = FramesLine()
    latency_ms: LatencyLine = LatencyLine()
    last: VerdictLine | None = None
    swaps: tuple[SwapLine, ...] = ()
    rejected: tuple[RejectedLine, ...] = ()
    keeps_rejected: bool = False
    commands: bool = False
    history: HistoryColumns = HistoryColumns()
    parts: PartsLine | None = None
    rollout: RolloutLine | None = None
    quality: QualityLine | None = None
