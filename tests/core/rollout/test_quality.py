"""Every figure has an interval that holds: against scipy, and where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from edge_daemon.core.rollout.intervals import share, weighted
from edge_daemon.core.rollout.quality import Audited, appraiser, precision, recall
from edge_daemon.core.values import Verdict

OK, NG = Verdict.OK, Verdict.NG


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5000), st.floats(0, 1), st.sampled_from([0.9, 0.95, 0.999]))
def test_a_share_has_the_exact_interval_of_scipy(n: int, part: float, level: float) -> None:
    hits = round(part * n)
    ours = share(hits, n, level)
    theirs = stats.binomtest(hits, n).proportion_ci(level, method="exact")
    assert ours is not None
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    assert ours.low <= ours.value <= ours.high


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 3000), st.floats(0.5, 500))
def test_equal_weights_have_the_exact_poisson_interval(events: int, weight: float) -> None:
    ours = weighted([weight] * events, weight)
    low = weight * stats.chi2.ppf(0.025, 2 * events) / 2 if events else 0.0
    high = weight * stats.chi2.ppf(0.975, 2 * events + 2) / 2
    assert (ours.low, ours.high) == pytest.approx((low, high), rel=1e-7)


def test_nothing_seen_is_nothing_known() -> None:
    assert precision(0, 0) is None
    assert recall(30, 30, 30, []) is None
    assert recall(0, 0, 0, [Audited(0.1, False)]) is None
    nobody = appraiser([])
    assert (nobody.effectiveness, nobody.miss, nobody.false_alarm) == (None,) * 3


def test_an_audit_that_found_nothing_bounds_what_is_missed() -> None:
    """1,000 of 100,000 passed parts were looked at, and all were good: at most 369 are missed."""
    seen = recall(400, 500, 1000, [Audited(0.01, False)] * 1000)
    assert seen is not None
    assert (seen.value, seen.high, seen.n) == (1.0, 1.0, 1000)
    assert seen.low == pytest.approx(800 / (800 + 368.9), abs=1e-4)


def test_the_interval_of_the_recall_holds_the_truth_19_times_of_20() -> None:
    """Half of the parts are audited ten times as often: the recorded probability makes it right."""
    rng = np.random.default_rng(2)
    held, values = 0, []
    for _ in range(120):
        bad = rng.random(20_000) < 0.02
        found = bad & (rng.random(20_000) < 0.8)
        chance = np.where(rng.random(20_000) < 0.5, 0.2, 0.02)
        looked = ~found & (rng.random(20_000) < chance)
        chosen = zip(chance[looked].tolist(), bad[looked].tolist(), strict=True)
        audits = [Audited(probability, is_bad) for probability, is_bad in chosen]
        seen = recall(int(found.sum()), int(found.sum()), int(found.sum()), audits)
        assert seen is not None
        truth = found.sum() / bad.sum()
        values.append(seen.value)
        held += seen.low <= truth <= seen.high
    assert held >= 0.95 * 120
    assert np.mean(values) == pytest.approx(0.8, abs=0.03)


def test_people_are_told_what_their_labels_are_worth() -> None:
    person = appraiser([(NG, NG)] * 47 + [(NG, OK)] * 3 + [(OK, OK)] * 95 + [(OK, NG)] * 5)
    assert person.effectiveness == share(142, 150)
    assert person.miss == share(3, 50)
    assert person.false_alarm == share(5, 100)
