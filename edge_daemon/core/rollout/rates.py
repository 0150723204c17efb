"""What a station's own record says of its parts, and what that means for a rollout.

A rejected part stands for a bad one; where enough of them were looked at, the share of those that
were truly bad is taken into account.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edge_daemon.core.rollout.estimate import forecast
from edge_daemon.core.rollout.plan import OVERALL
from edge_daemon.core.rollout.values import Plan

LOOK_BACK_DAYS = 7
ENOUGH_LABELS = 20
"""Rejected parts that somebody looked at, before their share of bad ones is reckoned with."""


@dataclass(frozen=True)
class Rates:
    """Counts of the last days.

    `hours`: of a running line. `verified`, `confirmed`: rejected parts that were looked at, and
    those of them that were truly bad. `shares`: by slice the share of the rejected parts that
    belongs to it; a slice of which nothing is known is missing.
    """

    hours: float = 0.0
    parts: int = 0
    rejected: int = 0
    verified: int = 0
    confirmed: int = 0
    shares: Mapping[str, float] = field(default_factory=dict)

    @property
    def precision(self) -> float | None:
        """Of the rejected parts those that are truly bad; None where too few were looked at."""
        return self.confirmed / self.verified if self.verified >= ENOUGH_LABELS else None

    @property
    def defects_h(self) -> dict[str, float]:
        """Bad parts an hour, under `all` and by slice."""
        if not self.hours:
            return {}
        rate = self.rejected / self.hours
        rate *= 1.0 if self.precision is None else self.precision
        return {OVERALL: rate, **{name: rate * share for name, share in self.shares.items()}}


@dataclass(frozen=True)
class Forecast:
    """What a dry run tells: sentences, and the figures that they were made from."""

    lines: tuple[str, ...]
    hours: float = 0.0
    parts_h: float = 0.0
    defects_h: tuple[tuple[str, float], ...] = ()


def foretell(plan: Plan, rates: Rates) -> Forecast:
    """How long this plan will take at these rates."""
    if not rates.parts or not rates.hours:
        return Forecast(
            (
                f"No part of the last {LOOK_BACK_DAYS} days is on record, so nothing can be "
                "foretold: let the station run for a day with `parts` in its settings.",
            )
        )
    defects_h = rates.defects_h
    return Forecast(
        (_basis(rates), *forecast(plan, defects_h)),
        rates.hours,
        rates.parts / rates.hours,
        tuple(defects_h.items()),
    )


def _basis(rates: Rates) -> str:
    said = (
        f"In the last {LOOK_BACK_DAYS} days {rates.parts} parts came in {rates.hours:.1f} h of a "
        f"running line, and {rates.rejected} of them were rejected"
    )
    if rates.precision is None:
        return f"{said}; few of those were looked at, so each counts as a bad part."
    return f"{said}; {rates.confirmed} of the {rates.verified} that were looked at were truly bad."
