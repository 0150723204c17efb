"""What others do, on the same simulated lines. Each must fail, or the lines prove nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rollout_rig.walks import BATCH, Array, Chances, log_capitals, running

FRAMES = 15
"""Pictures of one part; what is wrong in one of them is wrong in all."""


def frames_as_units(chances: Chances, parts: int, alpha: float, runs: int, rng: Any) -> int:
    """Rollouts that are stopped where each picture of a part counts as a unit."""
    stopped = 0
    for left in range(runs, 0, -BATCH):
        counts = running(chances, parts, min(left, BATCH), rng)
        plus, zero, minus = (
            np.cumsum(np.repeat(np.diff(c, axis=1, prepend=0), FRAMES, 1), 1) for c in counts
        )
        stopped += int((log_capitals(plus, zero, minus) >= -math.log(alpha)).any(axis=1).sum())
    return stopped


def peeked_mcnemar(chances: Chances, parts: int, alpha: float, runs: int, rng: Any) -> int:
    """Rollouts that are stopped by McNemar's test where it is looked at after each part."""
    from scipy.stats import norm

    stopped = 0
    for left in range(runs, 0, -BATCH):
        plus, _, minus = running(chances, parts, min(left, BATCH), rng)
        discordant = np.maximum(plus + minus, 1)
        score = (plus - minus) / np.sqrt(discordant)
        enough = plus + minus >= 10
        stopped += int(((score >= norm.isf(alpha)) & enough).any(axis=1).sum())
    return stopped


def mean_of_ratios(chances: list[Chances], parts: int, runs: int, rng: Any) -> int:
    """Rollouts that pass where the mean over slices of candidate's by incumbent's recall decides.

    Both miss 3 of 100 bad parts; 0.95 is enough to pass.
    """
    ratios: list[Array] = []
    for one in chances:
        drawn = rng.random((runs, parts))
        incumbent = (drawn < 0.97 - one.gained).sum(axis=1)
        lost = (drawn < one.lost).sum(axis=1)
        gained = ((drawn >= 0.97 - one.gained) & (drawn < 0.97)).sum(axis=1)
        ratios.append((incumbent - lost + gained) / incumbent)
    return int((np.mean(ratios, axis=0) >= 0.95).sum())
