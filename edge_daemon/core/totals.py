"""Everything that was counted since the start, as one value of one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edge_daemon.core.values import BundleRef, Counts, Reason, Verdict

BOUNDS_MS = (2.0, 5.0, 10.0, 20.0, 30.0, 50.0, 75.0, 100.0, 150.0, 250.0, 500.0, 1e3, 2.5e3, 1e4)
"""Upper bounds of a spread's buckets; what lies beyond the last has a bucket of its own."""


@dataclass(frozen=True)
class Spread:
    """A histogram of milliseconds: frames in each bucket, and the sum of all their times."""

    frames: tuple[int, ...] = (0,) * (len(BOUNDS_MS) + 1)
    sum_ms: float = 0.0


@dataclass(frozen=True)
class ModelTotals:
    """What one bundle has judged, and the time in the model alone."""

    verdicts: Mapping[Verdict, int]
    inference: Spread


@dataclass(frozen=True)
class Totals:
    """The ledger at one moment: all of it belongs together, and the counts balance.

    `latency` is from capture to verdict. `models` are those that judged last; the frames of all
    earlier ones are kept together under None, so that nothing is missing from the sum.
    """

    counts: Counts = Counts()
    reasons: Mapping[Reason, int] = field(default_factory=dict)
    models: Mapping[BundleRef | None, ModelTotals] = field(default_factory=dict)
    latency: Spread = Spread()
