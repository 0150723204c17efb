"""Settings of the pictures that are collected for the next training."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from edge_daemon.config.fields import FilePath, Group
from edge_daemon.config.pictures import S3Settings, WebAddress
from edge_daemon.core.collecting.hidden import PrivacyMask
from edge_daemon.core.collecting.reasons import Why
from edge_daemon.core.zones import fault_of


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


_USUAL: dict[Reason, float] = {"overruled": 1.0, "disagreement": 1.0, "audit": 0.002}


Part = Annotated[float, Field(ge=0.0, le=1.0)]


class HiddenSettings(Group):
    """What of a picture is never written: people have a right to it. Verdicts see all of it."""

    crop: tuple[Part, Part, Part, Part] | None = None
    """The rectangle that is kept: left, top, right, bottom, as shares of width and height."""
    zones: tuple[tuple[tuple[Part, Part], ...], ...] = ()
    """Polygons that are blackened, as shares of width and height."""
    classes: tuple[str, ...] = ()
    """Classes of the model whose boxes are blackened, however unsure it is: [person]."""

    @field_validator("crop")
    @classmethod
    def _forward(
        cls, crop: tuple[float, float, float, float] | None
    ) -> tuple[float, float, float, float] | None:
        if crop is not None and not (crop[0] < crop[2] and crop[1] < crop[3]):
            raise ValueError("should be left, top, right, bottom, each pair growing")
        return crop

    @field_validator("zones")
    @classmethod
    def _polygons(
        cls, zones: tuple[tuple[tuple[float, float], ...], ...]
    ) -> tuple[tuple[tuple[float, float], ...], ...]:
        for zone in zones:
            if fault := fault_of(zone):
                raise ValueError(fault)
        return zones


class WebSettings(Group):
    """A web server that takes each file by PUT, below `url`."""

    url: WebAddress
    """Where they go: `<url>/<day>/<name>.jpg`, and beside it .json."""
    token_file: FilePath | None = None
    """File that holds the token (Bearer) and nothing else."""
    ca: FilePath | None = None
    """PEM of the authority that signed the server's certificate; null: the usual ones."""


class LabelStudioSettings(Group):
    """A project of Label Studio: each picture becomes a task, with what the models found."""

    url: WebAddress
    """Its address, without /api."""
    project: int = Field(ge=1, le=1 << 31)
    """The project's number."""
    token_file: FilePath
    """File that holds a user's access token and nothing else."""
    ca: FilePath | None = None
    """PEM of the authority that signed the server's certificate; null: the usual ones."""


class PushSettings(Group):
    """Where every collected picture is sent to, also after an outage; one place."""

    folder: FilePath | None = None
    """A folder that is there, a mounted share for example."""
    s3: S3Settings | None = None
    """A bucket."""
    http: WebSettings | None = None
    """A web server."""
    label_studio: LabelStudioSettings | None = None
    """Label Studio."""
    by_itself: bool = True
    """false: only by `edge-daemon collect push`."""

    @model_validator(mode="after")
    def _one_place(self) -> PushSettings:
        places = (self.folder, self.s3, self.http, self.label_studio)
        if sum(place is not None for place in places) != 1:
            raise ValueError("has one place: folder, s3, http or label_studio")
        return self


class CollectSettings(Group):
    """Keeps pictures from which the next version can learn, with what the models said of them."""

    folder: FilePath
    """Where they go; a folder of this device's own."""
    quota_mb: int = Field(default=4096, ge=1, le=10_485_760)
    """Megabytes; beyond it the oldest go, of the reason that is furthest above its share."""
    days: int | None = Field(default=None, ge=1, le=36_500)
    """Days; older ones go, whatever room there is. null: only the quota counts."""
    reasons: dict[Reason, Share] = Field(default_factory=lambda: dict(_USUAL))
    """Reason -> share of the parts for which it holds: `all`, or a number up to 1."""
    reserve: float = Field(default=0.5, ge=0.0, le=1.0)
    """Share of the quota that belongs to overruled, disagreement, nothing_found and drift."""
    floor: float | None = Field(default=None, ge=0.01, le=1.0)
    """Confidence down to which the model reports for near_threshold; null: half of the recipe's.
    Verdicts and results stay as they are."""
    alike_bits: int | None = Field(default=4, ge=0, le=64)
    """A picture whose hash of 64 bits differs in no more from one of the last 500 is left out, if
    the models say the same of both at the same places; audit takes no notice of it. null:
    none is left out."""
    push: PushSettings | None = None
    """Where they are sent to; null: they stay here until they are exported."""
    hide: HiddenSettings = HiddenSettings()
    """Cropping, and masking of people."""
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
        return {Why(name): share for name, share in self.reasons.items() if share > 0.0}

    @property
    def hidden(self) -> PrivacyMask:
        """What is never written, as the threads that write take it."""
        return PrivacyMask(self.hide.crop, self.hide.zones, frozenset(self.hide.classes))

    @property
    def wants_faint(self) -> bool:
        """Whether the model is to report what does not count."""
        return Why.NEAR_THRESHOLD in self.shares
