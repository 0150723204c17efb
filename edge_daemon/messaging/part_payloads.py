"""What is told of a part, as JSON."""

from __future__ import annotations

from typing import Annotated

import msgspec

from edge_daemon.core.parts.values import By, Opened, PartReason, PartTold
from edge_daemon.core.values import Status
from edge_daemon.messaging.payloads import encode, iso_utc, recipe_digest
from edge_daemon.messaging.terms import (
    Digest,
    Model,
    RecipeDigest,
    StatusWord,
    Time,
    VerdictWord,
    one_of,
)

ByWord = Annotated[str, one_of(By)]
PartReasonWord = Annotated[str, one_of(PartReason)]


class PartMessage(msgspec.Struct, frozen=True):
    """The one result of one part; a model and a recipe are named where one judged all of it."""

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


class TriggerAnswer(msgspec.Struct, frozen=True):
    """The part that a trigger opened; `again` where the same id had opened it before."""

    id: str
    status: StatusWord
    part: int
    again: bool


def trigger_answer(request_id: str, opened: Opened) -> TriggerAnswer:
    """What is told on `<root>/response/trigger`."""
    return TriggerAnswer(request_id, Status.SUCCEEDED.value, opened.part, opened.again)


def part(boot: str, told: PartTold) -> bytes:
    """The bytes of `<root>/part` for one part."""
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
        )
    )
