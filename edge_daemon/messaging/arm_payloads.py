"""Whose verdict a frame or a part has while a candidate is tried, and what the other model says."""

from __future__ import annotations

from typing import Annotated

import msgspec

from edge_daemon.core.recipe import digest
from edge_daemon.core.rollout.values import Arm, Assigned, Opinion
from edge_daemon.core.values import Recipe
from edge_daemon.messaging.detection_payloads import DetectionLine
from edge_daemon.messaging.field_types import Digest, Model, RecipeDigest, VerdictWord, one_of

ArmWord = Annotated[str, one_of(Arm)]

_KNOWN = 4
"""Recipes of which the digest is kept: those of two models, before and after one was tuned."""


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
