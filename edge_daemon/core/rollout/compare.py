"""Two models in turns, for what both spoil when they run together: latency, pace, power, heat.
`core.rollout.blocks` says whose turn it is, and what was measured.

Blocks come in pairs, and which model has the first block of a pair is drawn, so that a line that
warms up or slows down is no advantage for either. Anybody can compute the order again. The first
seconds of each block belong to the change itself and are left out.

What is told is the middle of the differences within pairs (Hodges and Lehmann, 1963) with the
interval of Wilcoxon's signed ranks. It is exact by the draw alone: nothing is assumed of how the
values are distributed, or of how blocks that follow one another depend.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import median

from edge_daemon.core.rollout.intervals import LEVEL
from edge_daemon.core.rollout.values import Arm


@dataclass(frozen=True)
class Difference:
    """Candidate less incumbent, in the unit of the values; `pairs` of blocks are behind it.

    `low` and `high` are None below 6 pairs: so few allow no interval of 95 %.
    """

    value: float
    low: float | None
    high: float | None
    pairs: int


def arm_of(rollout: str, block: int) -> Arm:
    """Whose block it is: by the first bit of SHA-256 of `rollout:pair:number` for the first one."""
    digest = hashlib.sha256(f"{rollout}:pair:{block // 2}".encode()).digest()
    is_first = block % 2 == 0
    return Arm.CANDIDATE if is_first == (digest[0] < 128) else Arm.INCUMBENT


def paired(rollout: str, values: Sequence[float | None]) -> list[float]:
    """The differences of the pairs that are whole; `values` by block, None where not measured."""
    differences = []
    for first in range(0, len(values) - 1, 2):
        one, other = values[first], values[first + 1]
        if one is not None and other is not None:
            is_candidate = arm_of(rollout, first) is Arm.CANDIDATE
            differences.append(one - other if is_candidate else other - one)
    return differences


def difference(differences: Sequence[float], level: float = LEVEL) -> Difference | None:
    """The middle of the paired differences and its interval; None without any."""
    n = len(differences)
    if not n:
        return None
    means = sorted((differences[i] + differences[j]) / 2 for i in range(n) for j in range(i, n))
    middle = median(means)
    outside = _outside(n, (1.0 - level) / 2)
    if outside < 0:
        return Difference(middle, None, None, n)
    return Difference(middle, means[outside], means[len(means) - 1 - outside], n)


@lru_cache
def _outside(n: int, tail: float) -> int:
    """The largest rank sum whose chance, or that of a smaller one, is at most `tail`; -1: none."""
    most = n * (n + 1) // 2
    ways = [1] + [0] * most
    for rank in range(1, n + 1):
        for total in range(most, rank - 1, -1):
            ways[total] += ways[total - rank]
    allowed = math.floor(tail * 2**60) * 2**n // 2**60
    seen = 0
    for total, count in enumerate(ways):
        seen += count
        if seen > allowed:
            return total - 1
    return most
