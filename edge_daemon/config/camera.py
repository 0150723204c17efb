"""The camera's part of the settings: where frames come from, and when a picture is evidence."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from edge_daemon.config.fields import Group, Seconds, Source
from edge_daemon.core.picture import PictureLimits

_Grey = Annotated[float, Field(ge=0, le=255)]


class PictureSettings(Group):
    """What a picture must show to be judged; outside, a frame is uninspected (bad_picture).

    The limits are such that no lit line meets them. null: this measure is not watched.
    """

    mean: tuple[_Grey, _Grey] | None = (8.0, 247.0)
    """Mean brightness, 0 to 255: black below the first limit, white above the second."""
    contrast: _Grey | None = 3.0
    """Standard deviation of the brightness, at least; a picture of one colour has 0."""
    sharpness: float | None = Field(default=None, gt=0, le=1_000_000)
    """Variance of the second difference along the rows (Laplacian), at least. It depends on the
    scene, so that it is not watched by default; the log's `line` shows it where it is."""
    likeness: float | None = Field(default=0.3, gt=0, le=1)
    """Correlation of neighbouring pixels, at least: noise has 0, what a lens shows 0.7 to 1."""
    frozen_s: float | None = Field(default=5.0, ge=0.5, le=3_600)
    """Seconds of exactly the same picture, at most. It is frozen earlier where it repeats more
    often than this camera ever did before its picture went on, as a video encoder does between key
    frames of a still scene. null: a repeated picture is judged like any other."""

    @field_validator("mean")
    @classmethod
    def _low_below_high(cls, mean: tuple[float, float] | None) -> tuple[float, float] | None:
        if mean is not None and mean[0] >= mean[1]:
            raise ValueError("should be [low, high] with low below high")
        return mean

    @property
    def limits(self) -> PictureLimits:
        """The same as the core's value."""
        return PictureLimits(**self.model_dump())


class CameraSettings(Group):
    """Where frames come from, and what happens when they come faster than they are judged."""

    source: Source
    """RTSP or HTTP URL, `/dev/videoN`, a video file, or `conveyor:` for the built-in scene."""
    policy: Literal["lossless", "latest"] = "lossless"
    """lossless: judge every frame, in order; latest: skip to the newest (counted as dropped)."""
    buffer_frames: int = Field(default=64, ge=4, le=4_096)
    """Frames that may wait while a model changes; each takes height x width x 3 bytes."""
    fps: float | None = Field(default=None, gt=0, le=1_000)
    """Frames a second for a file or `conveyor:`; null: the file's own rate."""
    loop: bool = True
    """Whether a file plays again from its start."""
    open_timeout_s: Seconds = 10.0
    """How long opening may take before it is tried anew."""
    read_timeout_s: Seconds = 5.0
    """How long one frame may take before the camera counts as lost."""
    picture: PictureSettings = PictureSettings()
    """When a picture is no evidence."""
