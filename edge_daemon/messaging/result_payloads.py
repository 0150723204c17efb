"""The message `<root>/result`: one for each frame, made in some ten microseconds.

Also what a part's message shares with it: whose verdict it is while a candidate is tried, and what
the other model says.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from edge_daemon.core.judged import Judged
from edge_daemon.core.recipe import digest
from edge_daemon.core.rollout.values import Arm, Assigned, Opinion
from edge_daemon.core.values import Detection, Recipe
from edge_daemon.messaging.field_types import (
    Box,
    Digest,
    Model,
    ReasonWord,
    RecipeDigest,
    Time,
    VerdictWord,
    one_of,
)
from edge_daemon.messaging.payloads import encode
from edge_daemon.messaging.times import iso_utc

ArmWord = Annotated[str, one_of(Arm)]

_KNOWN = 4
"""Recipes of which the digest is kept: those of two models, before and after one was tuned."""


class ClassLine(msgspec.Struct, frozen=True, rename={"label": "class"}):
    """One class of a whole picture, and how sure the model is of it."""

    label: str
    confidence: float


class DetectionLine(msgspec.Struct, frozen=True, rename={"label": "class"}):
    """One box: x1, y1, x2, y2 in pixels of the captured frame, and the area of its mask.

    An oriented box has its corners, and the angle of its longer side, clockwise from the
    horizontal; a key point is x, y and confidence; a classifier tells its five likeliest classes.
    """

    label: str
    confidence: float
    box: Box
    area_px: float | msgspec.UnsetType = msgspec.UNSET
    polygon: list[tuple[float, float]] | msgspec.UnsetType = msgspec.UNSET
    angle_deg: float | msgspec.UnsetType = msgspec.UNSET
    keypoints: list[tuple[float, float, float]] | msgspec.UnsetType = msgspec.UNSET
    top5: list[ClassLine] | msgspec.UnsetType = msgspec.UNSET

    @classmethod
    def of(cls, found: Detection) -> DetectionLine:
        """Pixels to a tenth, shares to four places."""
        x1, y1, x2, y2 = found.box
        unset = msgspec.UNSET
        corners, points, classes = found.polygon, found.keypoints, found.top5
        return cls(
            found.label,
            round(found.confidence, 4),
            (round(x1, 1), round(y1, 1), round(x2, 1), round(y2, 1)),
            unset if found.area_px is None else round(found.area_px, 1),
            unset if corners is None else [(round(x, 1), round(y, 1)) for x, y in corners],
            unset if found.angle_deg is None else round(found.angle_deg, 1),
            unset
            if points is None
            else [(round(x, 1), round(y, 1), round(share, 4)) for x, y, share in points],
            unset if classes is None else [ClassLine(name, round(s, 4)) for name, s in classes],
        )


class RolloutLine(msgspec.Struct, frozen=True):
    """The arm of one unit: candidate exactly where `draw` < `share`.

    `draw`: the first 8 bytes of SHA-256 of `<id>:<boot>:<unit>`, big-endian, over 2^64. `unit`:
    the trigger's id, or the number of the part, frame or span.
    """

    id: str
    arm: ArmWord
    share: float
    draw: float
    unit: str

    @classmethod
    def of(cls, assigned: Assigned | None) -> RolloutLine | msgspec.UnsetType:
        """As the wire names it; unset where nothing is tried."""
        if assigned is None:
            return msgspec.UNSET
        return cls(
            assigned.rollout, assigned.arm.value, assigned.share, assigned.draw, assigned.unit
        )


class ShadowLine(msgspec.Struct, frozen=True):
    """What the model says whose verdict does not count; of a part without detections."""

    model: Model
    sha256: Digest
    verdict: VerdictWord
    causes: tuple[str, ...]
    recipe: RecipeDigest | None
    inference_ms: float | msgspec.UnsetType = msgspec.UNSET
    detections: list[DetectionLine] | msgspec.UnsetType = msgspec.UNSET

    @classmethod
    def of(cls, shadow: Opinion | None, *, whole: bool) -> ShadowLine | msgspec.UnsetType:
        """As the wire names it; `whole`: of a frame, with what was found."""
        if shadow is None:
            return msgspec.UNSET
        return cls(
            str(shadow.model),
            shadow.sha256,
            shadow.verdict.value,
            shadow.causes,
            recipe_digest(shadow.recipe),
            round(shadow.inference_ms, 2) if whole else msgspec.UNSET,
            [DetectionLine.of(each) for each in shadow.detections] if whole else msgspec.UNSET,
        )


class _LastRecipes:
    """Digests of the recipes that judged last: they are asked for with every frame."""

    known: tuple[tuple[Recipe, str], ...] = ()


def recipe_digest(recipe: Recipe | None) -> str | None:
    """SHA-256 of what judged, with its tuning; None where nothing did."""
    if recipe is None:
        return None
    for known, told in _LastRecipes.known:
        if known is recipe:
            return told
    told = digest(recipe)
    _LastRecipes.known = ((recipe, told), *_LastRecipes.known)[:_KNOWN]
    return told


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
