"""Settings of the watch over signals that drift."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edge_daemon.config.fields import Group
from edge_daemon.core.rollout.signals import Rules


class DriftSettings(Group):
    """Tells when the line's pictures or verdicts are not as they were; it changes nothing."""

    signals: tuple[Literal["brightness", "contrast", "sharpness", "ng", "confidence"], ...] = Field(
        default=("brightness", "contrast", "sharpness", "ng", "confidence"),
        min_length=1,
        max_length=5,
    )
    """What is watched; sharpness only where `camera.picture.sharpness` is set."""
    learn: int = Field(default=2000, ge=100, le=10_000_000)
    """Parts (frames where no parts are counted) of a good time: what they show is usual."""
    run_length: float = Field(default=1_000_000.0, ge=1_000.0, le=1e12)
    """Parts between two alarms of one signal that have no cause, on average at least."""
    tolerance: float = Field(default=0.02, ge=0.0, le=0.5)
    """What is added to the usual range at both ends, as a share of the whole scale."""

    @property
    def rules(self) -> Rules:
        return Rules(self.learn, self.run_length, self.tolerance)
