"""Settings of the proof: what a model must show before and after its cutover."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edge_daemon.config.fields import Group, Ratio, Seconds
from edge_daemon.core.trial import Response, TrialLimits, VerdictWatch


class GateSettings(Group):
    """What a bundle must show before it may judge a frame of the line."""

    load_timeout_s: Seconds = 60.0
    """How long loading may take; then the worker is ended."""
    timeout_s: Seconds = 120.0
    """How long warm-up and golden images together may take."""
    warm_up_inferences: int = Field(default=5, ge=1, le=1_000)
    """Inferences before anything is measured; a model that raises here is refused. A worker is warm
    itself, and golden images come before the frames whose time is taken: few are enough."""
    latency_ratio: Ratio = 1.5
    """Its median latency over that of the active bundle, at most; a bundle may ask for less."""
    memory_headroom_mb: int = Field(default=512, ge=0, le=1_048_576)
    """Megabytes that must stay free with both bundles resident."""
    spot_proof: bool = True
    """Whether a bundle that passed the gate on this box, all else being as it was then, is proven
    again by a part of its golden images; false: by the whole gate, every time."""


class VerdictsSettings(Group):
    """What follows when the share of ng shifts after a cutover, beyond what chance explains."""

    alpha: float = Field(default=0.001, gt=0.0, le=0.5)
    """Share of trials in which a version that judges alike may be held to differ."""
    low: Literal["fail", "warn", "off"] = "fail"
    """Fewer parts are ng, or fewer by one cause: fail rolls back and quarantines."""
    high: Literal["fail", "warn", "off"] = "warn"
    """More parts are ng, or nothing is found more often."""


class TrialSettings(Group):
    """The probation after a cutover; failing it rolls back and quarantines."""

    frames: int = Field(default=300, ge=1, le=1_000_000)
    """Frames to judge, at least; both limits must be reached."""
    seconds: Seconds = 10.0
    """Seconds to pass, at least."""
    latency_ratio: Ratio = 1.5
    """Its p99 latency over that before the cutover, at most."""
    max_error_rate: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of frames whose inference may fail."""
    verdicts: VerdictsSettings = VerdictsSettings()
    """What follows when the share of ng shifts; both sides off: nothing is compared."""

    @property
    def limits(self) -> TrialLimits:
        watch = self.verdicts
        return TrialLimits(
            self.frames,
            self.seconds,
            self.latency_ratio,
            self.max_error_rate,
            VerdictWatch(watch.alpha, Response(watch.low), Response(watch.high)),
        )
