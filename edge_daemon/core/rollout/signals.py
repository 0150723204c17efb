"""What is usual for each signal of the line, learnt from a good time, and whether it still is.

A signal has a value from 0 to 1 of each unit (a part, or a frame). Its first units are a good
time, in blocks: the range of the blocks' means, widened by half of itself and by a tolerance, is
what is usual. So a slow wander within that time is usual too. Then `drift` watches it: while the
mean stays in the range, on average at least `run_length` units pass until an alarm. An alarm is
over when as many units as were learnt from have passed without another one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from edge_daemon.core.rollout.drift import Drift, Usual, read_drift

BLOCKS = 20


class Signal(str, Enum):
    """What is watched."""

    BRIGHTNESS = "brightness"
    CONTRAST = "contrast"
    SHARPNESS = "sharpness"
    NG = "ng"
    CONFIDENCE = "confidence"

    @property
    def is_input(self) -> bool:
        """Whether it is of the picture alone, whichever model judges."""
        return self in (Signal.BRIGHTNESS, Signal.CONTRAST, Signal.SHARPNESS)


_FULL = {Signal.BRIGHTNESS: 255.0, Signal.CONTRAST: 128.0}
_HALF_SHARPNESS = 100.0


def scaled(signal: Signal, value: float) -> float:
    """From the units of the camera's gauge to 0..1; sharpness is a variance without an end."""
    if signal is Signal.SHARPNESS:
        return value / (value + _HALF_SHARPNESS) if value > 0.0 else 0.0
    return value / _FULL.get(signal, 1.0)


@dataclass(frozen=True)
class Rules:
    """`learn`: units of the good time; `run_length`: units between two alarms without a cause;
    `tolerance`: what is added to the usual range at both ends.
    """

    learn: int = 2000
    run_length: float = 1e6
    tolerance: float = 0.02


@dataclass(frozen=True)
class Watched:
    """One signal. `means`: of the whole blocks of the good time; `total`, `count`: of the block
    that is open. `alarm`: the drift that raised it, `quiet`: units since.
    """

    rules: Rules
    means: tuple[float, ...] = ()
    total: float = 0.0
    count: int = 0
    drift: Drift | None = None
    alarm: Drift | None = None
    quiet: int = 0

    def after(self, value: float) -> Watched:
        """One unit more; a value that is no number counts for nothing."""
        if not math.isfinite(value):
            return self
        value = min(1.0, max(0.0, value))
        return self._learnt(value) if self.drift is None else self._watched(value, self.drift)

    @property
    def log10_evidence(self) -> float:
        """0 where there is none; at log10 of the run length it is an alarm."""
        return math.log10(max(1.0, self.drift.evidence)) if self.drift is not None else 0.0

    def _learnt(self, value: float) -> Watched:
        total, count = self.total + value, self.count + 1
        if count < math.ceil(self.rules.learn / BLOCKS):
            return replace(self, total=total, count=count)
        means = (*self.means, total / count)
        if len(means) < BLOCKS:
            return replace(self, means=means, total=0.0, count=0)
        wider = (max(means) - min(means)) / 2.0 + self.rules.tolerance
        low, high = max(0.0, min(means) - wider), min(1.0, max(means) + wider)
        return Watched(self.rules, drift=Drift(Usual(low, high, self.rules.run_length)))

    def _watched(self, value: float, drift: Drift) -> Watched:
        drift = drift.after(value)
        if drift.is_alarm:  # it begins anew, to see whether it goes on
            return replace(self, drift=Drift(drift.usual), alarm=drift, quiet=0)
        quiet = self.quiet + 1
        alarm = None if quiet >= self.rules.learn else self.alarm
        return replace(self, drift=drift, alarm=alarm, quiet=quiet)

    # ----------------------------------------------------------------------- written and read

    def as_mapping(self) -> dict[str, Any]:
        """Plain values; JSON keeps floats to the last digit."""
        return {
            "means": list(self.means),
            "total": self.total,
            "count": self.count,
            "drift": None if self.drift is None else self.drift.as_mapping(),
            "alarm": None if self.alarm is None else self.alarm.as_mapping(),
            "quiet": self.quiet,
        }


def read_watched(rules: Rules, values: Mapping[str, Any]) -> Watched:
    """What was written, under these rules; raises ValueError where it is none.

    A range that was learnt stays; a changed run length counts from now on.
    """
    try:
        drift, alarm = (
            None if values[key] is None else read_drift(values[key]) for key in ("drift", "alarm")
        )
        if drift is not None and drift.usual.run_length != rules.run_length:
            drift = Drift(replace(drift.usual, run_length=rules.run_length))
        means = tuple(float(mean) for mean in values["means"])
        total, count, quiet = float(values["total"]), int(values["count"]), int(values["quiet"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no watched signal: {error!r}") from error
    return Watched(rules, means, total, count, drift, alarm, quiet)
