"""Messages about parts, as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from edge_daemon.core.parts.counts import Counts, PartTotals
from edge_daemon.core.parts.values import By, Opened, PartOutcome, PartReason
from edge_daemon.core.rollout.audit import Sampled
from edge_daemon.core.values import Status
from edge_daemon.messaging.field_types import (
    Digest,
    Model,
    RecipeDigest,
    StatusWord,
    Time,
    VerdictWord,
    one_of,
)
from edge_daemon.messaging.payloads import encode
from edge_daemon.messaging.result_payloads import RolloutLine, ShadowLine, recipe_digest
from edge_daemon.messaging.times import iso_utc

ByWord = Annotated[str, one_of(By)]
PartReasonWord = Annotated[str, one_of(PartReason)]


class AuditLine(msgspec.Struct, frozen=True):
    """A person is asked to look at the part exactly where `draw` is below `share`.

    `draw`: the first 8 bytes of SHA-256 of `audit:<boot>:<part>`, over 2^64.
    """

    share: float
    draw: float


class PartMessage(msgspec.Struct, frozen=True):
    """The one result of one part; a model and a recipe are named where one judged all of it.

    `pictures` are the files of its frames below the folder of `results.pictures`, as far as they
    were being kept when it was told; one that the disk refused is told by `pictures_missed`.

    `rollout`: its arm, while a candidate is tried; `shadow`: what the other model says of it.
    `audit`: of an ok part, where `parts.audit` is set.
    """

    boot: str
    part: int
    id: str | None
    by: ByWord
    triggered_at: Time | None
    captured_at: Time | None
    frames: tuple[int, ...]
    model: Model | None
    sha256: Digest | None
    recipe: RecipeDigest | None
    product: str | None
    job_order: str | None
    serial: str | None
    verdict: VerdictWord
    causes: tuple[str, ...]
    reason: PartReasonWord | None
    age_ms: float
    late: bool
    trial: bool
    pictures: tuple[str, ...] = ()
    rollout: RolloutLine | msgspec.UnsetType = msgspec.UNSET
    shadow: ShadowLine | msgspec.UnsetType = msgspec.UNSET
    audit: AuditLine | msgspec.UnsetType = msgspec.UNSET


class TriggerAnswer(msgspec.Struct, frozen=True):
    """The part that a trigger opened; `again` where the same id had opened it before."""

    id: str
    status: StatusWord
    part: int
    again: bool


class TallyLine(msgspec.Struct, frozen=True, kw_only=True):
    """Parts since a moment; a part with several causes counts for each of them."""

    since: Time
    parts: int
    ok: int
    ng: int
    empty: int
    uninspected: int
    late: int
    causes: Mapping[str, int]
    reasons: Mapping[str, int]


class OrderTallyLine(TallyLine, frozen=True, kw_only=True):
    """The same of one job order; of what is made without one, since the last one."""

    job_order: str | None
    product: str | None


class CountsMessage(msgspec.Struct, frozen=True):
    """`<root>/counts`; `shift` is null where the settings name no shifts."""

    order: OrderTallyLine
    shift: TallyLine | None


def counts(held: Counts) -> CountsMessage:
    """The counts as the wire names them."""
    order = held.order
    return CountsMessage(
        OrderTallyLine(job_order=order.job_order, product=order.product, **_tally(order.tally)),
        None if held.shift is None else TallyLine(**_tally(held.shift)),
    )


def keep_counts(held: Counts) -> bytes:
    """The counts for the journal."""
    return msgspec.json.encode(held)


def kept_counts(body: bytes | None) -> Counts | None:
    """The same once more; None where there are none, or none that can be read."""
    try:
        return None if body is None else msgspec.json.decode(body, type=Counts)
    except ValueError:
        return None


def _tally(tally: PartTotals) -> dict[str, Any]:
    fields = {each.name: getattr(tally, each.name) for each in dataclasses.fields(tally)}
    return {"since": iso_utc(fields.pop("since_utc")), **fields}


def trigger_answer(request_id: str, opened: Opened) -> TriggerAnswer:
    """What is told on `<root>/response/trigger`."""
    return TriggerAnswer(request_id, Status.SUCCEEDED.value, opened.part, opened.again)


def part(
    boot: str, told: PartOutcome, pictures: tuple[str, ...] = (), audit: Sampled | None = None
) -> bytes:
    """The bytes of `<root>/part` for one part, with the names of its pictures."""
    return encode(
        PartMessage(
            boot=boot,
            part=told.part,
            id=told.id,
            by=told.by.value,
            triggered_at=iso_utc(told.triggered.utc) if told.triggered else None,
            captured_at=iso_utc(told.captured.utc) if told.captured else None,
            frames=told.frames,
            model=str(told.model) if told.model else None,
            sha256=told.sha256,
            recipe=recipe_digest(told.recipe),
            product=told.assignment.product,
            job_order=told.assignment.job_order,
            serial=told.serial,
            verdict=told.verdict.value,
            causes=told.causes,
            reason=told.reason.value if told.reason else None,
            age_ms=round(told.age_ms, 1),
            late=told.late,
            trial=told.trial,
            pictures=pictures,
            rollout=RolloutLine.of(told.assigned),
            shadow=ShadowLine.of(told.shadow, whole=False),
            audit=msgspec.UNSET if audit is None else AuditLine(audit.share, audit.draw),
        )
    )
