"""Settings of the pictures that are collected for the next training."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator

from edge_daemon.config.fields import FilePath, Group
from edge_daemon.core.collecting.reasons import Why


def _share(value: Any) -> Any:
    """`all` is 1; true and false are no numbers here."""
    if isinstance(value, bool):
        raise ValueError("should be all, or a share from 0 to 1")
    return 1.0 if value == "all" else value


Share = Annotated[
    float,
    Field(ge=0.0, le=1.0),
    BeforeValidator(_share),
    WithJsonSchema({"anyOf": [{"const": "all"}, {"type": "number", "minimum": 0, "maximum": 1}]}),
]

Reason = Literal[
    "overruled", "disagreement", "nothing_found", "drift", "near_threshold", "ng", "audit"
]


class CollectSettings(Group):
    """Keeps pictures from which the next version can learn, with what the models said of them."""

    folder: FilePath
    """Where they go; a folder of this device's own."""
    quota_mb: int = Field(default=4096, ge=1, le=10_485_760)
    """Megabytes; beyond it the oldest go, of the reason that is furthest above its share."""
    days: int | None = Field(default=None, ge=1, le=36_500)
    """Days; older ones go, whatever room there is. null: only the quota counts."""
    reasons: dict[Reason, Share] = {"overruled": 1.0, "disagreement": 1.0, "audit": 0.002}
    """Reason -> share of the parts for which it holds: `all`, or a number up to 1."""
    reserve: float = Field(default=0.5, ge=0.0, le=1.0)
    """Share of the quota that belongs to overruled, disagreement, nothing_found and drift."""
    floor: float | None = Field(default=None, ge=0.01, le=1.0)
    """Confidence down to which the model reports for near_threshold; null: half of the recipe's.
    Verdicts and results stay as they are."""
    alike_bits: int = Field(default=4, ge=0, le=64)
    """A picture whose hash of 64 bits differs in no more from one of the last 500 is left out, if
    the models say the same of both at the same places; audit takes no notice of it. 0: only
    pictures with the same hash."""
    format: Literal["jpg", "png"] = "jpg"
    """jpg: quality 95; png: exactly as the camera gave it, in five times the room."""

    @field_validator("reasons")
    @classmethod
    def _some(cls, value: dict[Reason, float]) -> dict[Reason, float]:
        if not value:
            raise ValueError("should name a reason at least, such as {audit: 0.002}")
        return value

    @property
    def shares(self) -> dict[Why, float]:
        """The same as the lane asks for it."""
        return {Why(name): share for name, share in self.reasons.items() if share > 0.0}

    @property
    def wants_faint(self) -> bool:
        """Whether the model is to report what does not count."""
        return Why.NEAR_THRESHOLD in self.shares
