"""Many rollouts at once, with the bets, blocks and limits of the daemon's own evidence.

A unit is one bad part: +1 where only the incumbent finds it, -1 where only the candidate does.
`tests/core/rollout/test_simulated.py` holds these walks against the daemon's own functions.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_daemon.core.rollout.betting import BETS, BLOCKS, BOUND_BETS, WEIGHTS

Array = Any
BATCH = 1000
"""Rollouts that are walked together, so that the memory of a small machine suffices."""

EDGES = np.cumsum(BLOCKS)
STARTS = len(WEIGHTS)
SHARES = np.array(tuple(BETS))
FIRST = np.multiply.outer(np.array(WEIGHTS), np.array(tuple(BETS.values())))


@dataclass(frozen=True)
class Chances:
    """Of one bad part: that only the incumbent finds it, that only the candidate does."""

    lost: float
    gained: float


@dataclass
class Stops:
    """One value a rollout. `at`: bad parts of all slices when it stopped, -1: it did not."""

    at: Array
    parts: Array  # bad parts of the watched slice until then
    labels: Array  # disagreements of the watched slice until then
    asked: Array  # disagreements of all slices until then

    def __add__(self, other: Stops) -> Stops:
        pairs = ((getattr(self, n), getattr(other, n)) for n in ("at", "parts", "labels", "asked"))
        return Stops(*(np.concatenate(pair) for pair in pairs))


def missed(slices: list[Chances], units: int, limit: float, runs: int, rng: Any) -> Stops:
    """Rollouts of `units` bad parts in equal slices; the first slice is the watched one.

    `limit`: natural logarithm of the evidence at which a rollout stops, of each test.
    """
    done = None
    for left in range(runs, 0, -BATCH):
        stops = _missed(slices, units, limit, min(left, BATCH), rng)
        done = stops if done is None else done + stops
    assert done is not None
    return done


def _missed(slices: list[Chances], units: int, limit: float, runs: int, rng: Any) -> Stops:
    lost = np.array([one.lost for one in slices])
    either = lost + np.array([one.gained for one in slices])
    overall = len(slices)
    capital = np.zeros((overall + 1, runs, STARTS, len(BETS)))
    counts = np.zeros((overall, runs), int)
    labels, asked = np.zeros(runs, int), np.zeros(runs, int)
    stops = Stops(*(np.full(runs, -1) for _ in range(4)))
    steps = np.stack([np.log1p(SHARES), np.log1p(-SHARES)])
    alive = np.arange(runs)
    for unit in range(units):
        where = rng.integers(overall, size=alive.size)
        drawn = rng.random(alive.size)
        hit = drawn < either[where]
        blocks = np.searchsorted(EDGES, counts[where, alive], side="right")
        counts[where, alive] += 1
        rows, kinds = alive[hit], where[hit]
        sides = (drawn[hit] >= lost[kinds]).astype(int)
        asked[rows] += 1
        labels[rows] += kinds == 0
        block = int(np.searchsorted(EDGES, unit, side="right"))
        moved = steps[sides]
        everywhere = (np.full(rows.size, overall), rows, moved, np.full(rows.size, block))
        ended = _bet(capital, (kinds, rows, moved, blocks[hit]), limit)
        ended |= _bet(capital, everywhere, limit)
        over = rows[ended]
        if over.size:
            stops.at[over] = unit + 1
            stops.parts[over] = counts[0, over]
            stops.labels[over] = labels[over]
            stops.asked[over] = asked[over]
            alive = np.setdiff1d(alive, over, assume_unique=True)
            if not alive.size:
                break
    return stops


def _bet(capital: Array, units: tuple[Array, Array, Array, Array], limit: float) -> Array:
    """Each start up to the block of a unit bets on it; whether the limit is crossed."""
    tests, rows, moved, blocks = units
    begun = np.arange(STARTS)[None, :] <= blocks[:, None]
    capital[tests, rows] += begun[:, :, None] * moved[:, None, :]
    grown = (np.exp(np.minimum(capital[tests, rows], 650.0)) * FIRST).sum((1, 2))
    return np.log(grown) >= limit


def log_capitals(plus: Array, zero: Array, minus: Array, delta: float = 0.0) -> Array:
    """Natural logarithm of the evidence after each step of each row, a step being a unit's event.

    All three are running counts of shape (runs, steps); a block is over after so many steps.
    """
    part = SHARES / (1.0 + delta)
    won, kept, lost = (np.log1p(part * (unit - delta)) for unit in (1, 0, -1))
    steps = plus.shape[1]
    total = np.full(plus.shape, sum(WEIGHTS[1 + int(np.searchsorted(EDGES, steps - 1, "right")) :]))
    for start, begin in enumerate(itertools.chain([0], EDGES)):
        if begin >= steps:
            break
        before = [counts[:, begin - 1 : begin] if begin else 0 for counts in (plus, zero, minus)]
        total[:, :begin] += WEIGHTS[start]
        for bet, weight in enumerate(BETS.values()):
            grown = (
                (plus - before[0])[:, begin:] * won[bet]
                + (zero - before[1])[:, begin:] * kept[bet]
                + (minus - before[2])[:, begin:] * lost[bet]
            )
            total[:, begin:] += WEIGHTS[start] * weight * np.exp(np.minimum(grown, 650.0))
    return np.log(total)


def running(chances: Chances, units: int, runs: int, rng: Any) -> tuple[Array, Array, Array]:
    """Running counts of +1, 0 and -1."""
    drawn = rng.random((runs, units))
    plus = np.cumsum(drawn < chances.lost, axis=1)
    either = np.cumsum(drawn < chances.lost + chances.gained, axis=1)
    return plus, np.arange(1, units + 1)[None, :] - either, either - plus


def false_rejects(chances: Chances, events: int, runs: int, rng: Any) -> tuple[Array, Array, Array]:
    """The same for good parts, at each part about which both disagree: most are between them."""
    share = chances.lost + chances.gained
    sign = rng.random((runs, events)) < chances.lost / share
    zero = np.cumsum(rng.geometric(share, (runs, events)) - 1, axis=1)
    return np.cumsum(sign, axis=1), zero, np.cumsum(~sign, axis=1)


def promoted(chances: Chances, margin: float, alpha: float, units: int, runs: int, rng: Any) -> int:
    """Rollouts whose bound falls below the margin at any time, looked at after each unit."""
    found = 0
    for left in range(runs, 0, -BATCH):
        counts = running(chances, units, min(left, BATCH), rng)
        found += int((against(*counts, margin) >= -math.log(alpha)).any(axis=1).sum())
    return found


def promoted_after(
    chances: Chances, margin: float, alpha: float, units: int, runs: int, rng: Any
) -> Array:
    """Bad parts until the bound is below the margin; `units` + 1 where it never is."""
    known = against(*running(chances, units, runs, rng), margin) >= -math.log(alpha)
    return np.where(known.any(axis=1), known.argmax(axis=1) + 1, units + 1)


def against(plus: Array, zero: Array, minus: Array, mean: float) -> Array:
    """Natural logarithm of the evidence against a mean of at least `mean`."""
    difference = (plus + zero + minus) * mean - (plus - minus)
    squares = plus + minus
    total = sum(
        np.exp(np.minimum(bet * difference + (math.log1p(-bet) + bet) * squares, 650.0))
        for bet in BOUND_BETS
    )
    return np.log(total / len(BOUND_BETS))
