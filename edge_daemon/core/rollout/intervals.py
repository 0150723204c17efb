"""Exact intervals of shares and of weighted counts, at 95 % unless said.

Clopper and Pearson (1934) for shares; Fay and Feuer (1997) for sums of weighted counts, which is
the exact Poisson interval where all weights are equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A figure with its interval and the number of observations behind it."""

    value: float
    low: float
    high: float
    n: int


def share(hits: int, n: int, level: float = LEVEL) -> Interval | None:
    """`hits` of `n` with the Clopper-Pearson interval; None without observations."""
    if n == 0:
        return None
    tail = (1.0 - level) / 2
    low = 0.0 if hits == 0 else _root(lambda p: _beta(hits, n - hits + 1, p), tail)
    high = 1.0 if hits == n else _root(lambda p: _beta(hits + 1, n - hits, p), 1.0 - tail)
    return Interval(hits / n, low, high, n)


def weighted(weights: Sequence[float], heaviest: float, level: float = LEVEL) -> Interval:
    """The expected sum of these weights, each of one event; `heaviest` of all that might come."""
    tail = (1.0 - level) / 2
    value = math.fsum(weights)
    squares = math.fsum(weight * weight for weight in weights)
    low = 0.0
    if value:
        low = squares / value * _gamma_quantile(tail, value * value / squares)
    value_up, squares_up = value + heaviest, squares + heaviest * heaviest
    if not value_up:
        return Interval(0.0, 0.0, 0.0, 0)
    high = squares_up / value_up * _gamma_quantile(1.0 - tail, value_up * value_up / squares_up)
    return Interval(value, low, high, len(weights))


def _root(rising: Callable[[float], float], goal: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if rising(middle) < goal:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def quantile(distribution: Callable[[float], float], goal: float, start: float) -> float:
    """Where the distribution of a positive value reaches `goal`, 0..1; `start`: a likely value."""
    far = start
    while distribution(far) < goal:
        far *= 2.0
    return far * _root(lambda part: distribution(far * part), goal)


def _gamma_quantile(goal: float, shape: float) -> float:
    """Of the gamma distribution of this shape and scale 1."""
    return quantile(lambda x: _gamma(shape, x), goal, shape + 1.0)


def _beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function, by Lentz' continued fraction."""
    if x <= 0.0 or x >= 1.0:
        return float(x >= 1.0)
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _beta(b, a, 1.0 - x)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )

    def term(step: int) -> float:
        half = step // 2
        if step % 2:
            return -(a + half) * (a + b + half) * x / ((a + 2 * half) * (a + 2 * half + 1))
        return half * (b - half) * x / ((a + 2 * half - 1) * (a + 2 * half))

    return front / a / _fraction(term)


def _fraction(term: Callable[[int], float]) -> float:
    """1 + term(1) / (1 + term(2) / (1 + …)), by Lentz' method."""
    tiny = 1e-300
    value, c, d = 1.0, 1.0, 0.0
    for step in range(1, 10_000):
        d = 1.0 / (1.0 + term(step) * d or tiny)
        c = 1.0 + term(step) / c or tiny
        value *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return value


def _gamma(shape: float, x: float) -> float:
    """The regularised lower incomplete gamma function, by its series."""
    if x <= 0.0:
        return 0.0
    if x > shape + 40.0 + 12.0 * math.sqrt(shape):
        return 1.0
    term = total = 1.0 / shape
    step = shape
    while term > total * 1e-16:
        step += 1.0
        term *= x / step
        total += term
    return min(1.0, total * math.exp(shape * math.log(x) - x - math.lgamma(shape)))
