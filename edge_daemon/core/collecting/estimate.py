"""Precision and recall in production, from pictures that people have labelled.

Not every part has a picture, but the probability of each is known: a part that was drawn with the
probability 0.002 stands for 500. A part that the station passed and that is bad is found in this
way only. The intervals of such weighted counts are those of Fay and Feuer (1997, Statistics in
Medicine 16:791); of two counts together each has half of the error (Bonferroni). They cover the
truth at least as often as they say, and are wide where few parts were labelled.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

ALPHA = 0.05


@dataclass(frozen=True)
class Sampled:
    """One part with a picture.

    `is_bad`: what a person says that it is; None: nobody has looked yet. `alike`: pictures that
    were left out because they are nearly the same as this one, which stands for them.
    """

    is_rejected: bool
    probability: float
    is_bad: bool | None = None
    alike: int = 0


@dataclass(frozen=True)
class Interval:
    """An estimate, and the bounds of an interval of 95 %."""

    estimate: float
    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether a value lies within, rounding aside."""
        return self.low - 1e-9 <= value <= self.high + 1e-9


@dataclass(frozen=True)
class Quality:
    """Of the parts of this time. None: nothing can be said.

    `precision`: the share of the rejected parts that are bad. `recall`: the share of the bad parts
    that are rejected.
    """

    precision: Interval | None
    recall: Interval | None
    labelled: int
    missing: int  # pictures that nobody has labelled


@dataclass(frozen=True)
class _Total:
    """A number of parts: `known` for certain, and one for each weight that was drawn.

    `most`: the largest weight that one more part could have.
    """

    known: float
    weights: Sequence[float]
    most: float

    @property
    def estimate(self) -> float:
        return self.known + sum(self.weights)

    def interval(self, alpha: float) -> tuple[float, float]:
        """Bounds that miss the truth with this probability at most."""
        drawn, squares = sum(self.weights), sum(weight * weight for weight in self.weights)
        low = high = 0.0
        if drawn > 0.0:
            low = squares / (2.0 * drawn) * chi2_quantile(alpha / 2, 2.0 * drawn * drawn / squares)
        if self.most > 0.0:
            drawn, squares = drawn + self.most, squares + self.most * self.most
            high = (
                squares
                / (2.0 * drawn)
                * chi2_quantile(1 - alpha / 2, 2.0 * drawn * drawn / squares)
            )
        return self.known + low, self.known + high


def quality(sample: Iterable[Sampled]) -> Quality:
    """What the labelled pictures say of all parts."""
    parts = list(sample)
    labelled = [each for each in parts if each.is_bad is not None]
    weights = _weights(parts)
    rejected = [each for each in labelled if each.is_rejected]
    hits = _total(rejected, weights, is_bad=True)
    false_rejects = _total(rejected, weights, is_bad=False)
    passed = [each for each in labelled if not each.is_rejected]
    misses = _total(passed, weights, is_bad=True)
    return Quality(
        _share(hits, false_rejects) if rejected else None,
        _share(hits, misses) if passed and hits.estimate + misses.estimate > 0 else None,
        len(labelled),
        len(parts) - len(labelled),
    )


_Class = tuple[bool, float]


def _weights(parts: Sequence[Sampled]) -> dict[_Class, float]:
    """How many parts one labelled picture stands for, by verdict and probability.

    The labelled ones of a class stand for its others too.
    """
    weights: dict[_Class, float] = {}
    for kind in {_class_of(each) for each in parts}:
        members = [each for each in parts if _class_of(each) == kind]
        seen = sum(1 + each.alike for each in members if each.is_bad is not None)
        if seen:
            weights[kind] = sum(1 + each.alike for each in members) / seen / kind[1]
    return weights


def _class_of(part: Sampled) -> _Class:
    return part.is_rejected, part.probability


def _total(parts: Sequence[Sampled], weights: dict[_Class, float], *, is_bad: bool) -> _Total:
    known, drawn, most = 0.0, [], 0.0
    for part in parts:
        weight = weights[_class_of(part)]
        is_certain = weight <= 1.0 + 1e-12
        if not is_certain:
            most = max(most, weight)
        if part.is_bad is not is_bad:
            continue
        if is_certain:
            known += 1 + part.alike
        else:
            drawn += [weight] * (1 + part.alike)
    return _Total(known, drawn, most)


def _share(of: _Total, others: _Total) -> Interval:
    """of / (of + others)."""
    low, high = of.interval(ALPHA / 2)
    other_low, other_high = others.interval(ALPHA / 2)
    whole = of.estimate + others.estimate
    return Interval(
        of.estimate / whole if whole > 0 else 0.0,
        low / (low + other_high) if low + other_high > 0 else 0.0,
        high / (high + other_low) if high + other_low > 0 else 1.0,
    )


# --------------------------------------------------------------------------- mathematics


def chi2_quantile(p: float, degrees: float) -> float:
    """The quantile of the chi-square distribution."""
    shape = degrees / 2.0
    low, high = 0.0, max(1.0, shape)
    while _gamma_share(shape, high) < p:
        high *= 2.0
    for _ in range(80):
        middle = (low + high) / 2.0
        if _gamma_share(shape, middle) < p:
            low = middle
        else:
            high = middle
    return low + high


def _gamma_share(a: float, x: float) -> float:
    """The regularised lower incomplete gamma function (Numerical Recipes, 6.2)."""
    if x <= 0.0:
        return 0.0
    scale = math.exp(-x + a * math.log(x) - math.lgamma(a))
    if x < a + 1.0:
        term = total = 1.0 / a
        n = a
        while abs(term) > abs(total) * 1e-14:
            n += 1.0
            term *= x / n
            total += term
        return min(1.0, total * scale)
    tiny = 1e-300
    b = x + 1.0 - a
    c, d = 1.0 / tiny, 1.0 / b
    fraction = d
    for i in range(1, 10_000):
        factor = -i * (i - a)
        b += 2.0
        d = factor * d + b
        d = tiny if abs(d) < tiny else d
        c = b + factor / c
        c = tiny if abs(c) < tiny else c
        d = 1.0 / d
        step = d * c
        fraction *= step
        if abs(step - 1.0) < 1e-14:
            break
    return max(0.0, 1.0 - scale * fraction)
