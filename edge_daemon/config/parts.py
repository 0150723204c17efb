"""Settings of parts: how frames form a part, and by when it must be judged."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from edge_daemon.config.fields import Group
from edge_daemon.core.parts.values import By, Fold, PartRules
from edge_daemon.core.values import Verdict
from edge_daemon.core.zones import Zone, fault_of

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Window = Annotated[float, Field(ge=0.0, le=600_000.0)]


class FramesOfPart(Group):
    """How many frames show one part."""

    min: int = Field(default=1, ge=1, le=1_000)
    """Fewer inspected ones, and the part is uninspected."""
    max: int = Field(default=30, ge=1, le=1_000)
    """More are not asked; a part is told once so many are judged."""

    @model_validator(mode="after")
    def _min_below_max(self) -> FramesOfPart:
        if self.max < self.min:
            raise ValueError("max should be at least min")
        return self


class NgFrames(Group):
    """So many frames must be ng."""

    ng: int = Field(ge=1, le=1_000)
    """Frames of the part."""


class PartRetentionSettings(Group):
    """Which parts `edge-daemon parts` can find; the older ones go."""

    most: int = Field(default=100_000, ge=1, le=10_000_000)
    """Parts; each takes about a kilobyte of the state's disk."""
    days: float = Field(default=7.0, gt=0.0, le=3_660.0)
    """Older ones go, however few there are."""


class PartsSettings(Group):
    """One result for each part, on `<root>/part`."""

    by: Literal["frame", "trigger", "track"] = "frame"
    """frame: each captured frame is a part; trigger: each `request/trigger` opens one; track: each
    object that is followed through the frames is one."""
    deadline_ms: float | None = Field(default=None, gt=0.0, le=3_600_000.0)
    """From trigger or first frame; what is not judged by then is told as late. null: none."""
    late: Literal["ng", "uninspected"] = "ng"
    """The verdict on a late part."""
    frames: FramesOfPart = FramesOfPart()
    """How many frames a part needs, and how many it asks at most."""
    verdict: Literal["any_ng", "majority"] | NgFrames = "any_ng"
    """How the verdicts of its frames become the part's."""
    window_ms: tuple[Window, Window] = (0.0, 200.0)
    """Milliseconds after a trigger in which its frames are captured."""
    zone: str | tuple[tuple[Share, Share], ...] | None = None
    """Where followed objects are parts: a zone of the recipe by its name, or a polygon as shares of
    width and height; null: where all rules of the recipe look, if that is one zone, else the whole
    picture."""

    shifts: tuple[Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")], ...] = ()
    """When a shift begins, by the local time of the station, such as ["06:00", "14:00", "22:00"];
    parts are counted for each. None: they are counted for orders alone."""
    keep: PartRetentionSettings = PartRetentionSettings()
    """Which parts can be found later."""
    audit: float = Field(default=0.0, ge=0.0, le=1.0)
    """Of the ok parts, those that a person is asked to look at on the status page; 0: none. What
    the model misses is only found there."""

    @field_validator("zone")
    @classmethod
    def _polygon(
        cls, zone: str | tuple[tuple[float, float], ...] | None
    ) -> str | tuple[tuple[float, float], ...] | None:
        if isinstance(zone, tuple) and (fault := fault_of(zone)):
            raise ValueError(fault)
        return zone

    @model_validator(mode="after")
    def _window_forward(self) -> PartsSettings:
        if not self.window_ms[0] < self.window_ms[1]:
            raise ValueError("window_ms should be two numbers, the second one larger")
        return self

    @property
    def rules(self) -> PartRules:
        verdict = self.verdict.ng if isinstance(self.verdict, NgFrames) else Fold(self.verdict)
        return PartRules(
            By(self.by),
            None if self.deadline_ms is None else self.deadline_ms / 1e3,
            Verdict(self.late),
            self.frames.min,
            self.frames.max,
            verdict,
            (self.window_ms[0] / 1e3, self.window_ms[1] / 1e3),
        )

    @property
    def shift_minutes(self) -> tuple[int, ...]:
        """When each shift begins, in minutes after midnight."""
        return tuple(60 * int(each[:2]) + int(each[3:]) for each in self.shifts)

    @property
    def polygon(self) -> Zone | None:
        """The zone, where it is given here and not by name."""
        return Zone("parts.zone", self.zone) if isinstance(self.zone, tuple) else None

    @property
    def zone_name(self) -> str | None:
        return self.zone if isinstance(self.zone, str) else None
