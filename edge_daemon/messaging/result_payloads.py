"""The message `<root>/result`: one for each frame, made in some ten microseconds."""

from __future__ import annotations

import msgspec

from edge_daemon.core.values import Judged
from edge_daemon.messaging.arm_payloads import RolloutLine, ShadowLine, recipe_digest
from edge_daemon.messaging.detection_payloads import DetectionLine
from edge_daemon.messaging.field_types import (
    Digest,
    Model,
    ReasonWord,
    RecipeDigest,
    Time,
    VerdictWord,
)
from edge_daemon.messaging.payloads import encode
from edge_daemon.messaging.times import iso_utc


class FrameLatency(msgspec.Struct, frozen=True):
    """Milliseconds in the buffer, and in the model."""

    queue: float
    inference: float


class ResultMessage(msgspec.Struct, frozen=True):
    """The verdict of one frame; `reason` is there where no model judged it.

    `parts`: the numbers of the parts that it shows, where parts are counted and this is known.
    `rollout`: its arm, while a candidate is tried; `shadow`: what the other model says of it.
    """

    boot: str
    frame: int
    time: Time
    model: Model | None
    sha256: Digest | None
    product: str | None
    job_order: str | None
    verdict: VerdictWord
    detections: list[DetectionLine]
    causes: tuple[str, ...]
    latency_ms: FrameLatency
    recipe: RecipeDigest | None
    reason: ReasonWord | msgspec.UnsetType = msgspec.UNSET
    parts: tuple[int, ...] | msgspec.UnsetType = msgspec.UNSET
    left_out: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    rollout: RolloutLine | msgspec.UnsetType = msgspec.UNSET
    shadow: ShadowLine | msgspec.UnsetType = msgspec.UNSET


def result(boot: str, judged: Judged, parts: tuple[int, ...] | None = None) -> bytes:
    """The bytes of `<root>/result` for one frame; `parts` None: they are not known."""
    lines = [DetectionLine.of(found) for found in judged.detections]
    made = judged.assignment
    model = judged.model
    return encode(
        ResultMessage(
            boot,
            judged.frame,
            iso_utc(judged.captured_utc),
            None if model is None else f"{model.name}@{model.version}",
            judged.sha256,
            made.product,
            made.job_order,
            judged.verdict.value,
            lines,
            judged.causes,
            FrameLatency(round(judged.queue_ms, 2), round(judged.inference_ms, 2)),
            recipe_digest(judged.recipe),
            msgspec.UNSET if judged.reason is None else judged.reason.value,
            msgspec.UNSET if parts is None else parts,
            rollout=RolloutLine.of(judged.assigned),
            shadow=ShadowLine.of(judged.shadow, whole=True),
        )
    )
