"""What a dry run tells beforehand is what a simulation of the same evidence shows."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge_daemon.core.rollout.betting import BETS, WEIGHTS, Counts, log_e, upper_bound
from edge_daemon.core.rollout.estimate import (
    Range,
    forecast,
    labels_to_stop,
    parts_to_advance,
    parts_to_stop,
)
from edge_daemon.core.rollout.plan import read_plan

LIMIT = 4.0


def simulated(loss: float, gained: float, runs: int = 400) -> tuple[Range, Range]:
    """Units and disagreements until the evidence of one start crosses the limit."""
    rng = np.random.default_rng(1)
    units, labels = [], []
    for _ in range(runs):
        draws = rng.random(6000)
        plus, minus = draws < loss + gained, (draws >= loss + gained) & (draws < loss + 2 * gained)
        a, b = np.cumsum(plus), np.cumsum(minus)
        capital = np.full(draws.shape, 1.0 - WEIGHTS[0])
        for bet, weight in BETS.items():
            grown = a * math.log1p(bet) + b * math.log1p(-bet)
            capital += WEIGHTS[0] * weight * np.exp(np.minimum(grown, 600.0))
        at = int(np.argmax(capital >= 10**LIMIT))
        assert log_e([Counts(int(a[at]), 0, int(b[at]))]) == pytest.approx(
            math.log(capital[at]), rel=1e-9
        )
        units.append(at + 1)
        labels.append(int(a[at] + b[at]))
    return tuple(Range(float(np.median(x)), float(np.quantile(x, 0.95))) for x in (units, labels))  # type: ignore[return-value]


@pytest.mark.parametrize(("loss", "gained"), [(0.5, 0.01), (0.2, 0.01), (0.07, 0.01), (0.07, 0.04)])
def test_a_loss_is_seen_when_the_forecast_says(loss: float, gained: float) -> None:
    units, labels = simulated(loss, gained)
    told = parts_to_stop(loss, LIMIT, gained)
    assert told.median == pytest.approx(units.median, rel=0.2)
    assert told.p95 == pytest.approx(units.p95, rel=0.2)
    asked = labels_to_stop(loss, LIMIT, gained)
    assert asked.median == pytest.approx(labels.median, rel=0.2, abs=2)
    assert asked.p95 == pytest.approx(labels.p95, rel=0.2, abs=3)


@pytest.mark.parametrize("margin", [0.03, 0.1, 0.2])
def test_an_equal_candidate_is_known_when_the_forecast_says(margin: float) -> None:
    rng = np.random.default_rng(4)
    told = parts_to_advance(margin, 0.01, 0.04)
    known = []
    for _ in range(40):
        draws = rng.random(8000)
        a, b = np.cumsum(draws < 0.02), np.cumsum((draws >= 0.02) & (draws < 0.04))
        for n in range(20, 8001, 20):
            counts = Counts(int(a[n - 1]), n - int(a[n - 1] + b[n - 1]), int(b[n - 1]))
            if upper_bound(counts, 0.01) < margin:
                known.append(n)
                break
    assert len(known) == 40
    assert told.median == pytest.approx(float(np.median(known)), rel=0.25)
    assert np.quantile(known, 0.9) < 1.15 * told.p95


def test_a_better_candidate_is_never_stopped_so_there_is_no_time() -> None:
    assert parts_to_stop(-0.05, LIMIT, gained=0.06) == Range(math.inf, math.inf)


def test_a_dry_run_is_one_sentence_a_slice() -> None:
    plan = read_plan(
        {
            "slices": {
                "low_light": {"brightness_below": 60, "critical": True},
                "small": {"box_area_below": 400},
                "night": {"hours": [22, 6]},
                "new": {"products": ["N"]},
            }
        }
    )
    everything, light, small, night, new = forecast(
        plan, {"all": 72.0, "low_light": 14.0, "small": 900.0, "night": 0.0}
    )
    assert everything.startswith(
        "all parts, 72 bad parts an hour: a loss of 7 points is seen after"
    )
    assert "labels; an equal candidate is known to lose less than 3 points after" in everything
    assert light.startswith("low_light, 14 bad parts an hour")
    assert "minutes" in small
    assert "equal candidate" not in small
    assert night == "night: no bad part was seen, so nothing can be said of it."
    assert new.startswith("new: nothing on record says which parts belong to it")
