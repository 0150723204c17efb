"""Whether a signal of the line has moved, with a stated run length between false alarms.

A signal is one number from 0 to 1 of each unit: rejected or not, the confidence of its surest
box, its brightness. What is usual is a range of its mean, from a time that was good. Both sides
are watched at once by an e-detector (Shin, Ramdas and Rinaldo, 2024): at each unit a new bet
begins against "the mean is in its range", and all of them together are told. While the mean stays
in the range, on average at least `run_length` units pass until an alarm.

An alarm asks; it does not act.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

BETS = (0.05, 0.15, 0.4, 0.8)
"""Shares of the most that may be bet."""


@dataclass(frozen=True)
class Usual:
    """The range of the mean; `run_length` in units, such as a day's parts times 100."""

    low: float
    high: float
    run_length: float


@dataclass(frozen=True)
class Drift:
    """The evidence of one signal: a sum of capitals for each bet, upwards and downwards."""

    usual: Usual
    upwards: tuple[float, ...] = (0.0,) * len(BETS)
    downwards: tuple[float, ...] = (0.0,) * len(BETS)

    def after(self, value: float) -> Drift:
        """One unit more; a value outside 0..1 counts as the nearer end."""
        value = min(1.0, max(0.0, value))
        return replace(
            self,
            upwards=_grown(self.upwards, value - self.usual.high, self.usual.high),
            downwards=_grown(self.downwards, self.usual.low - value, 1.0 - self.usual.low),
        )

    @property
    def evidence(self) -> float:
        """In units: an alarm is raised where it reaches the run length."""
        sums = (*self.upwards, *self.downwards)
        return sum(sums) / len(sums)

    @property
    def is_alarm(self) -> bool:
        return self.evidence >= self.usual.run_length

    @property
    def is_upwards(self) -> bool:
        """Whether the mean has risen rather than fallen."""
        return sum(self.upwards) >= sum(self.downwards)

    def as_mapping(self) -> dict[str, Any]:
        """Plain values for the journal; the figures are exact, as hexadecimal fractions."""
        return {
            "usual": [
                value.hex() for value in (self.usual.low, self.usual.high, self.usual.run_length)
            ],
            "upwards": [value.hex() for value in self.upwards],
            "downwards": [value.hex() for value in self.downwards],
        }


def read_drift(values: Mapping[str, Any]) -> Drift:
    """The evidence that was written; raises ValueError, KeyError or TypeError if it is none."""
    usual = Usual(*_numbers(values["usual"], 3))
    upwards, downwards = (_numbers(values[key], len(BETS)) for key in ("upwards", "downwards"))
    return Drift(usual, upwards, downwards)


def _grown(sums: Sequence[float], won: float, at_risk: float) -> tuple[float, ...]:
    """Each capital and a new one of 1 bet on this unit; at most the whole is lost."""
    return tuple(
        min(1e300, (capital + 1.0) * (1.0 + bet * won / max(at_risk, 1e-6)))
        for capital, bet in zip(sums, BETS, strict=True)
    )


def _numbers(values: Sequence[str], count: int) -> tuple[float, ...]:
    found = tuple(float.fromhex(value) for value in values)
    if len(found) != count:
        raise ValueError(f"{len(found)} numbers where {count} belong")
    return found
