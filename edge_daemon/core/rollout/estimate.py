"""How long a rollout will take, from the station's own rates, before it begins.

The evidence is a random walk that rises with each disagreement of two models; when it crosses the
limit is told by the inverse Gaussian distribution of first passages (held against simulation in
the tests). "7 points of recall lost" here: 8 of 100 bad parts that only the incumbent finds, and 1
that only the candidate finds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from edge_daemon.core.rollout.betting import BETS, WEIGHTS, Counts, upper_bound
from edge_daemon.core.rollout.intervals import quantile
from edge_daemon.core.rollout.margins import margin_of
from edge_daemon.core.rollout.plan import OVERALL
from edge_daemon.core.rollout.reading import limits
from edge_daemon.core.rollout.values import Mode, Plan

LOSS = 0.07
GAINED = 0.01
"""Bad parts that only the candidate finds, as a share: by so much two trainings differ."""


@dataclass(frozen=True)
class Range:
    """What is reached in half of the cases, and in 95 of 100."""

    median: float
    p95: float


def parts_to_stop(loss: float, limit: float, gained: float = GAINED) -> Range:
    """Bad parts until a loss of recall is seen. `limit`: log10 of the evidence, as in a reading."""
    return _passage(loss + gained, gained, limit)


def labels_to_stop(loss: float, limit: float, gained: float = GAINED) -> Range:
    """Labelled disagreements about bad parts until then."""
    disagreements = loss + 2 * gained
    return _passage((loss + gained) / disagreements, gained / disagreements, limit)


def parts_to_advance(margin: float, alpha: float, differing: float = 2 * GAINED) -> Range:
    """Bad parts until an equal candidate is known to lose less than `margin` of recall.

    `differing`: bad parts that only one of both finds, as a share.
    """
    return Range(
        _units_for(margin, alpha, differing, 0.0), _units_for(margin, alpha, differing, 1.645)
    )


def forecast(plan: Plan, defects_h: Mapping[str, float]) -> tuple[str, ...]:
    """What a person is told by a dry run: one sentence for all parts and one for each slice.

    `defects_h`: bad parts an hour, by slice and under `all`; of a slice that is missing nothing is
    known.
    """
    limit, _ = limits(plan)
    labels = labels_to_stop(LOSS, limit)
    parts = parts_to_stop(LOSS, limit)
    margins = {name: _last_margin(plan, name) for name in (OVERALL, *(r.name for r in plan.slices))}
    critical = {OVERALL, *(rule.name for rule in plan.slices if rule.critical)}
    sentences = []
    for name, margin in margins.items():
        where = "all parts" if name == OVERALL else name
        rate = defects_h.get(name)
        if rate is None:
            sentences.append(
                f"{where}: nothing on record says which parts belong to it; a shadow stage does."
            )
            continue
        if rate <= 0.0:
            sentences.append(f"{where}: no bad part was seen, so nothing can be said of it.")
            continue
        text = (
            f"{where}, {rate:.3g} bad parts an hour: a loss of {100 * LOSS:.0f} points is seen "
            f"after {_hours(parts, rate)} and {labels.median:.0f} to {labels.p95:.0f} labels"
        )
        if name in critical and margin is not None:
            advance = parts_to_advance(margin, plan.alpha_advance)
            text += (
                f"; an equal candidate is known to lose less than {100 * margin:.3g} points "
                f"after {_hours(advance, rate)}"
            )
        sentences.append(text + ".")
    return tuple(sentences)


def _last_margin(plan: Plan, name: str) -> float | None:
    """The margin of the last stage that gathers pairs."""
    stages = [
        index for index, stage in enumerate(plan.stages) if stage.mode in (Mode.SHADOW, Mode.SHARE)
    ]
    return margin_of(plan, stages[-1], name) if stages else None


def _hours(parts: Range, rate: float) -> str:
    low, high = parts.median / rate, parts.p95 / rate
    if high < 2.0:
        return f"{60 * low:.0f} to {60 * high:.0f} minutes"
    return f"{low:.1f} to {high:.1f} h" if low < 10.0 else f"{low:.0f} to {high:.0f} h"


# --------------------------------------------------------------------------- mathematics


def _passage(plus: float, minus: float, limit: float) -> Range:
    """Steps until the best of the bets alone crosses the limit."""
    return min(
        (
            _passage_of(plus, minus, bet, limit * math.log(10) - math.log(WEIGHTS[0] * weight))
            for bet, weight in BETS.items()
        ),
        key=lambda range_: range_.p95,
    )


def _passage_of(plus: float, minus: float, bet: float, distance: float) -> Range:
    won, lost = math.log1p(bet), math.log1p(-bet)
    drift = plus * won + minus * lost
    if drift <= 0.0:
        return Range(math.inf, math.inf)
    variance = plus * won * won + minus * lost * lost - drift * drift
    distance += won / 2  # it is crossed within a step, not at it
    mean, shape = distance / drift, distance * distance / max(variance, 1e-12)

    def distribution(steps: float) -> float:
        return _inverse_gaussian(steps, mean, shape)

    return Range(quantile(distribution, 0.5, mean), quantile(distribution, 0.95, mean))


def _inverse_gaussian(x: float, mean: float, shape: float) -> float:
    if x <= 0.0:
        return 0.0
    root = math.sqrt(shape / x)
    below, above = root * (x / mean - 1.0), root * (x / mean + 1.0)
    second = 2.0 * shape / mean
    tail = _normal(-above)
    mirrored = math.exp(second + math.log(tail)) if tail > 0.0 else 0.0
    return min(1.0, _normal(below) + mirrored)


def _normal(x: float) -> float:
    return math.erfc(-x / math.sqrt(2.0)) / 2.0


def _units_for(margin: float, alpha: float, differing: float, deviations: float) -> float:
    low, high = 1, 2
    while not _is_known(high, margin, alpha, differing, deviations):
        low, high = high, 2 * high
        if high > 10**9:
            return math.inf
    while high - low > 1:
        middle = (low + high) // 2
        if _is_known(middle, margin, alpha, differing, deviations):
            high = middle
        else:
            low = middle
    return high


def _is_known(units: int, margin: float, alpha: float, differing: float, deviations: float) -> bool:
    """Whether the bound is below the margin where chance was against the candidate so much."""
    squares = units * differing
    excess = min(squares, deviations * math.sqrt(squares))
    plus, minus = round((squares + excess) / 2), round((squares - excess) / 2)
    return upper_bound(Counts(plus, max(0, units - plus - minus), minus), alpha) < margin
