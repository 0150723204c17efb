"""The retained topic `rollout/state`: how the candidate stands against the active model."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from edge_daemon.core.events import Decision
from edge_daemon.core.rollout.rates import Forecast
from edge_daemon.core.rollout.values import Outcome
from edge_daemon.messaging.field_types import Digest, Model, Time, one_of

OUTCOMES = tuple(outcome.value for outcome in Outcome)
DecisionWord = Annotated[str, one_of(Decision)]


class SideLine(msgspec.Struct, frozen=True):
    """Missed defects, or false rejects. `evidence` and `limit` are log10: at the limit it stops.

    `bound`: what is lost at most, as a share, where every part without a label speaks against it;
    `margin`: what may be lost for this stage to end.
    """

    evidence: float
    limit: float
    bound: float
    parts: int
    margin: float = 0.0


class SliceLine(msgspec.Struct, frozen=True):
    """One slice of the parts; `all` is all of them. `needed`: no stage ends before it is well."""

    parts: int
    table: dict[str, int]
    coverage: float | None
    missed: SideLine
    false_rejects: SideLine
    needed: bool = True


class LabelsLine(msgspec.Struct, frozen=True):
    """Parts on which both disagree: with a true verdict, and without."""

    have: int
    missing: int


class ForecastLine(msgspec.Struct, frozen=True):
    """What a dry run tells: sentences, and what they were made from.

    `hours`: of a running line, in the last days; `defects_h`: bad parts an hour by slice, `all`
    first. A slice that is missing there is one of which nothing is known.
    """

    lines: tuple[str, ...]
    hours: float
    parts_h: float
    defects_h: dict[str, float]


def forecast_line(forecast: Forecast) -> ForecastLine:
    """The forecast as the wire shows it."""
    defects_h = {name: round(rate, 3) for name, rate in forecast.defects_h}
    return ForecastLine(
        forecast.lines, round(forecast.hours, 2), round(forecast.parts_h, 2), defects_h
    )


class RolloutState(msgspec.Struct, frozen=True, kw_only=True):
    """`<root>/rollout/state`; all null where nothing is tried.

    `share`: of the parts whose verdict the candidate gives now; 0 while it is `suspended`: another
    product runs, or the candidate is not ready. `table`: who says ng of one part. `stage_number`:
    of the plan's stages, from 1 on; 0 before the first. `stage_parts`, `minutes`: in this stage.

    In the stage `shadow_back` the version before is `model` and looks on, and the one that judges
    is `reference`; the sides of the slices say what that one misses or rejects wrongly.
    """

    rollout: str | None = None
    model: Model | None = None
    sha256: Digest | None = None
    reference: Model | None = None
    stage: str | None = None
    stage_number: int = 0
    stage_since: Time | None = None
    stage_parts: int = 0
    share: float = 0.0
    suspended: bool = False
    coverage: float | None = None
    parts: int = 0
    minutes: float = 0.0
    table: dict[str, int] = msgspec.field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    slices: dict[str, SliceLine] = msgspec.field(default_factory=dict)
    labels: LabelsLine = LabelsLine(0, 0)
    decision: DecisionWord | None = None
    why: str = ""
    missing: tuple[str, ...] = ()
    plan: dict[str, Any] | None = None
    plan_sha256: str | None = None
