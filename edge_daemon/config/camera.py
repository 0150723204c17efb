"""Settings of the camera: where frames come from, and when a picture counts as evidence."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Union

from pydantic import Field, PlainValidator, WithJsonSchema, field_validator, model_validator

from edge_daemon.config.fields import FilePath, Group, Seconds, Source, printable
from edge_daemon.config.sources import MADE_AT_THE_SOURCE, kind_of
from edge_daemon.core.picture import PictureLimits

_Grey = Annotated[float, Field(ge=0, le=255)]
_Side = Annotated[int, Field(ge=1, le=65_535)]
_Offset = Annotated[int, Field(ge=0, le=65_535)]
_FourCC = Annotated[str, Field(pattern=r"^[A-Za-z0-9]{3,4}$")]
_ControlName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]{0,63}$")]


def _control_value(value: Any) -> int | str:
    if isinstance(value, int):  # true and false too
        return int(value)
    if isinstance(value, str) and 0 < len(value) <= 64:
        return printable(value)
    raise ValueError(f"should be a whole number, true, false or a menu's entry, not {value!r}")


_ControlValue = Annotated[
    Union[int, str],
    PlainValidator(_control_value),
    WithJsonSchema({"type": ["integer", "boolean", "string"]}),
]


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
    """Seconds in which nothing in the picture moves and no noise of a sensor is seen, at most. It
    is frozen earlier where exactly the same picture comes more often than this camera ever
    repeated one before it went on, and until the camera has shown anything new since it was
    opened. null: a picture that stands still is judged like any other."""

    @field_validator("mean")
    @classmethod
    def _low_below_high(cls, mean: tuple[float, float] | None) -> tuple[float, float] | None:
        if mean is not None and mean[0] >= mean[1]:
            raise ValueError("should be [low, high] with low below high")
        return mean

    @property
    def limits(self) -> PictureLimits:
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
    """Frames a second for a file, `conveyor:` or a device; null: the source's own rate."""
    loop: bool = True
    """Whether a file plays again from its start."""
    open_timeout_s: Seconds = 10.0
    """How long opening may take before it is tried anew."""
    read_timeout_s: Seconds = 5.0
    """How long one frame may take before the camera counts as lost."""
    size: tuple[_Side, _Side] | None = None
    """[width, height] in pixels that a device should give; null: what OpenCV opens it at, which is
    640 x 480 where the device has it. `edge-daemon camera show` lists what it offers."""
    format: _FourCC | None = None
    """Pixel format (FOURCC) that a device should give, MJPG for example: many cameras reach their
    size and rate with it only. null: what OpenCV takes first."""
    exposure_us: int | None = Field(default=None, ge=1, le=100_000_000)
    """Exposure time of a device in microseconds, in steps of 100; automatic exposure goes off.
    null: as it is."""
    gain: int | None = Field(default=None, ge=0, le=1_000_000)
    """Gain of a device in its own unit; its automatic gain goes off. null: as it is."""
    controls: dict[_ControlName, _ControlValue] = Field(default_factory=dict, max_length=64)
    """Any control of a V4L2 device by the name that `camera show` and `v4l2-ctl -L` have for it,
    with a number, true, false or the name of a menu's entry. Set at each opening, in this order."""
    transport: Literal["tcp", "udp"] = "tcp"
    """How RTSP carries the pictures: tcp loses none; udp saves delay and may tear them."""
    latency_ms: int | None = Field(default=None, ge=0, le=60_000)
    """Milliseconds that RTSP waits for a packet that is late or out of order (FFmpeg's max_delay);
    less is sooner, and loses more over udp. null: FFmpeg's own, half a second or so."""
    roi: tuple[_Offset, _Offset, _Side, _Side] | None = None
    """[x, y, width, height] in pixels of the source's picture: nothing else is captured."""
    rotate: Literal[0, 90, 180, 270] = 0
    """Degrees clockwise, after `roi`."""
    mirror: bool = False
    """Whether left and right change places, after `rotate`."""
    mask: FilePath | None = None
    """A picture of the captured size (after all of the above), black where nothing should be seen:
    there the frames are black, and the limits of `picture` see that too."""
    mono: bool = False
    """Whether colour is taken out, for a model that was trained on grey pictures."""
    picture: PictureSettings = PictureSettings()
    """When a picture is no evidence."""

    @model_validator(mode="after")
    def _source_takes_it(self) -> CameraSettings:
        """A setting that nothing would read is an error."""
        takes = kind_of(self.source).takes
        for key in sorted(MADE_AT_THE_SOURCE - takes):
            usual = CameraSettings.model_fields[key].get_default(call_default_factory=True)
            if getattr(self, key) != usual:
                raise ValueError(f"{key} is for other sources than this: remove it")
        return self
