"""Sequential statistics of a unit that counts +1, 0 or -1, from counts alone.

+1: only the incumbent was right about this unit; -1: only the candidate; 0: both or neither.
All of them hold however often one looks (Ville's inequality), and whenever one stops.

log_e           evidence that the mean is above `delta`: a bet against that on each unit
upper_bound     what the mean is at most, on average over the units so far
share_log_e     evidence that the share of an arm is not the share that was declared

The bets are fixed in advance, so that each capital is a product over the units, in any order: it
is made of whole numbers, is the same after a restart to the last digit, and a label that comes
late or is revised changes the counts of its own block and nothing else.

Sources: Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting (2024);
Howard, Ramdas, McAuliffe and Sekhon, Time-uniform nonparametric confidence sequences (2021),
whose empirical-Bernstein process is used with 0 as the prediction of each unit; Shin, Ramdas and
Rinaldo, E-detectors (2024), for the mixture over starts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

BETS = {0.1: 0.1, 0.3: 0.2, 0.7: 0.4, 0.92: 0.3}
"""Shares of the capital that are bet on each unit, and how the first capital is divided among them.
The large ones are for a candidate that is worse in most of what it decides otherwise; the small
ones for two models that disagree often, in both directions."""

BOUND_BETS = (0.05, 0.1, 0.2, 0.4, 0.6, 0.78)
"""The same for the bound. Below 0.79 a unit that is left out is never better than a -1."""

BLOCKS = (200,) * 20 + tuple(400 << step for step in range(12))
"""A new start after so many parts that either model rejects, so that the good record of a long
time is no cushion for a candidate that turns bad. There are 33 starts in all."""

WEIGHTS = (0.6, *(0.015,) * 20, *(0.1 / 12,) * 12)
"""Of the first capital: more than half of it bets from the first unit on."""

LOG_CAP = 300 * math.log(10)
"""Evidence is told up to 10 to the power of 300."""

ODDS = (0.25, 0.5, 2 / 3, 0.8, 1.25, 1.5, 2.0, 4.0)
"""What the realised odds of an arm are tried against, as multiples of the declared ones."""


@dataclass(frozen=True)
class Counts:
    """Units that count +1, 0 and -1."""

    plus: int = 0
    zero: int = 0
    minus: int = 0

    @property
    def units(self) -> int:
        return self.plus + self.zero + self.minus

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.plus + other.plus, self.zero + other.zero, self.minus + other.minus)


def block_of(rejected: int) -> int:
    """The block of a part before which `rejected` parts were rejected by either model."""
    for block, length in enumerate(BLOCKS):
        if rejected < length:
            return block
        rejected -= length
    return len(BLOCKS)


def total(blocks: Iterable[Counts]) -> Counts:
    """All blocks together."""
    return sum(blocks, Counts())


def log_e(blocks: Sequence[Counts], delta: float = 0.0) -> float:
    """Natural logarithm of the evidence that the mean is above `delta` in 0..1.

    A mixture over `BETS` and over starts at each block: the expected capital is at most 1 at all
    times where the conditional mean of each unit is at most `delta`.
    """
    waiting = sum(WEIGHTS[max(len(blocks), 1) :])
    terms = [math.log(waiting)] if waiting else []
    for bet, weight in BETS.items():
        part = bet / (1.0 + delta)  # so that a unit of -1 leaves something
        won, kept, lost = (math.log1p(part * (unit - delta)) for unit in (1, 0, -1))
        capital = 0.0
        for start in range(len(blocks) - 1, -1, -1):
            block = blocks[start]
            capital += block.plus * won + block.zero * kept + block.minus * lost
            terms.append(capital + math.log(WEIGHTS[start] * weight))
        if not blocks:
            terms.append(math.log(WEIGHTS[0] * weight))
    return _log_sum(terms)


def upper_bound(counts: Counts, alpha: float) -> float:
    """The mean of the units so far is at most this, but for a chance of `alpha` over all times.

    "On average": each unit may have a mean of its own. 1.0 where there are no units.
    """
    if not counts.units:
        return 1.0
    limit = -math.log(alpha)
    low, high = -1.0, 1.0
    if _against(counts, high) < limit:
        return 1.0
    for _ in range(48):
        middle = (low + high) / 2
        if _against(counts, middle) < limit:
            low = middle
        else:
            high = middle
    return high


def is_below(counts: Counts, mean: float, alpha: float) -> bool:
    """Whether `upper_bound` is below this mean, without looking for the bound."""
    return counts.units > 0 and _against(counts, mean) >= -math.log(alpha)


def _against(counts: Counts, mean: float) -> float:
    """Logarithm of the evidence against a mean of at least `mean`; it rises with `mean`."""
    difference = counts.units * mean - (counts.plus - counts.minus)
    squares = counts.plus + counts.minus
    return _log_sum(
        [
            bet * difference + (math.log1p(-bet) + bet) * squares - math.log(len(BOUND_BETS))
            for bet in BOUND_BETS
        ]
    )


def share_log_e(arms: Mapping[float, tuple[int, int]]) -> float:
    """Natural logarithm of the evidence that an arm is not drawn with its declared share.

    `arms`: by declared share the number of parts and how many of them were the candidate's.
    """
    terms = []
    for odds in ODDS:
        capital = -math.log(len(ODDS))
        for share, (parts, candidates) in arms.items():
            if 0.0 < share < 1.0:
                grown = 1.0 - share + share * odds
                capital += candidates * math.log(odds) - parts * math.log(grown)
        terms.append(capital)
    return _log_sum(terms)


def _log_sum(terms: Sequence[float]) -> float:
    """Logarithm of the sum of the exponentials, at most `LOG_CAP`."""
    most = max(terms)
    return min(LOG_CAP, most + math.log(math.fsum(math.exp(term - most) for term in terms)))
