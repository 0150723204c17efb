"""Precision and recall in production, from pictures that people have labelled.

Not every part has a picture, but the probability of each is known: a part that was drawn with the
probability 0.002 stands for 500. A part that the station passed and that is bad is found in this
way only. A share is made of two totals, and each has half of its error (Bonferroni): its interval
covers the truth at least as often as it says, and is wide where few parts were labelled.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edge_daemon.core.rollout.intervals import LEVEL, weighted


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


def _total(parts: Sequence[Sampled], weights: dict[_Class, float], *, is_bad: bool) -> Interval:
    """How many parts are bad, or good; two such intervals miss the truth in 5 % at most."""
    known, most = 0.0, 0.0
    drawn: list[float] = []
    for part in parts:
        weight = weights[_class_of(part)]
        is_certain = weight <= 1.0 + 1e-12
        if not is_certain:
            most = max(most, weight)
        if part.is_bad is is_bad:
            if is_certain:
                known += 1 + part.alike
            else:
                drawn += [weight] * (1 + part.alike)
    found = weighted(drawn, most, (1.0 + LEVEL) / 2)
    return Interval(known + found.value, known + found.low, known + found.high)


def _share(of: Interval, others: Interval) -> Interval:
    """of / (of + others)."""
    whole = of.estimate + others.estimate
    return Interval(
        of.estimate / whole if whole > 0 else 0.0,
        of.low / (of.low + others.high) if of.low + others.high > 0 else 0.0,
        of.high / (of.high + others.low) if of.high + others.low > 0 else 1.0,
    )
