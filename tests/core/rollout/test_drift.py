"""An alarm comes soon after a change, and seldom enough without one."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest

from edge_daemon.core.rollout.drift import BETS, Drift, Usual, read_drift


def alarm_after(drift: Drift, values: np.ndarray) -> int:
    for n, value in enumerate(values.tolist(), 1):
        drift = drift.after(value)
        if drift.is_alarm:
            return n
    return len(values) + 1


def test_the_evidence_grows_by_at_most_one_a_unit_while_nothing_changes() -> None:
    """Exact over every path: that is why an alarm takes `run_length` units on average."""
    drift = Drift(Usual(0.25, 0.25, 100.0))
    for n in (1, 3, 7):
        expected = 0.0
        for path in itertools.product((0, 1), repeat=n):
            now = drift
            for value in path:
                now = now.after(value)
            expected += math.prod(0.25 if value else 0.75 for value in path) * now.evidence
        assert expected == pytest.approx(n, rel=1e-12)


def test_false_alarms_are_at_least_a_run_length_apart() -> None:
    rng = np.random.default_rng(1)
    drift = Drift(Usual(0.05, 0.05, 500.0))
    after = [alarm_after(drift, rng.random(5000) < 0.05) for _ in range(60)]
    assert np.mean(after) >= 500


@pytest.mark.parametrize(("share", "within"), [(0.2, 120), (0.1, 900)])
def test_more_rejects_than_usual_are_told_soon(share: float, within: int) -> None:
    """Usual are 4 to 6 of 100; an alarm without a cause comes once in 100,000 parts."""
    rng = np.random.default_rng(2)
    drift = Drift(Usual(0.04, 0.06, 1e5))
    after = [alarm_after(drift, rng.random(3000) < share) for _ in range(40)]
    assert np.median(after) <= within


def test_confidence_that_falls_is_told_as_a_fall() -> None:
    rng = np.random.default_rng(3)
    drift = Drift(Usual(0.78, 0.82, 1e5))
    for value in rng.uniform(0.5, 0.8, 300).tolist():
        drift = drift.after(value)
    assert drift.is_alarm
    assert not drift.is_upwards


def test_a_long_good_time_is_no_cushion() -> None:
    rng = np.random.default_rng(4)
    drift = Drift(Usual(0.04, 0.06, 1e5))
    for value in (rng.random(5000) < 0.05).tolist():
        drift = drift.after(value)
    assert alarm_after(drift, rng.random(3000) < 0.2) <= 200


def test_a_restart_changes_no_digit() -> None:
    drift = Drift(Usual(0.1, 0.3, 1e4))
    for value in (0.1, 0.7, math.pi / 4, 5.0, -1.0):
        drift = drift.after(value)
    assert read_drift(json.loads(json.dumps(drift.as_mapping()))) == drift
    with pytest.raises(ValueError, match="numbers where"):
        read_drift({**drift.as_mapping(), "upwards": ["0x0p+0"]})


@pytest.mark.parametrize(
    "usual", [Usual(0.0, 0.0, 50.0), Usual(1.0, 1.0, 50.0), Usual(0.0, 1.0, 50.0)]
)
def test_ranges_at_the_ends_are_ranges_too(usual: Usual) -> None:
    drift = Drift(usual)
    for value in (0.0, 1.0, 0.5) * 200:
        drift = drift.after(value)
        assert min(*drift.upwards, *drift.downwards) >= 0.0
    assert len(drift.upwards) == len(BETS)
    assert drift.is_alarm == (usual.low == usual.high)
