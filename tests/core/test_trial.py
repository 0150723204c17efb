"""The trial: evidence in; pass, fail or not yet out."""

from __future__ import annotations

import pytest

from edge_daemon.core.trial import Doubt, Judgement, TrialLimits, Window, judge
from edge_daemon.core.values import Counts, Latency

LIMITS = TrialLimits(frames=300, seconds=10.0)


def window(
    inspected: int, *, ms: float = 10.0, p99: float | None = None, failed: int = 0, seen: int = 0
) -> Window:
    counts = Counts(inspected + failed, inspected, 0, failed)
    times = Latency(inspected, ms, ms if p99 is None else p99, ms)
    return Window(counts, times, times, failed, 0, seen)


@pytest.mark.parametrize(("frames", "seconds"), [(299, 60.0), (100_000, 9.9), (0, 1e6)])
def test_without_enough_evidence_there_is_no_judgement(frames: int, seconds: float) -> None:
    """Both limits must be reached; time alone proves nothing."""
    assert judge(LIMITS, window(frames), None, seconds) is None


def test_enough_good_frames_pass() -> None:
    """Also without anything to compare with."""
    judgement = judge(LIMITS, window(300), None, 10.0)
    assert isinstance(judgement, Judgement)
    assert judgement.passed


def test_the_first_failed_inference_ends_it() -> None:
    """With an error rate of 0 nothing is waited for."""
    judgement = judge(LIMITS, window(3, failed=1), None, 0.1)
    assert isinstance(judgement, Judgement)
    assert not judgement.passed
    assert "1 of 4" in judgement.reason


def test_a_tolerated_rate_is_a_share_of_the_whole_trial() -> None:
    """One failure among the first frames is not yet one in a hundred."""
    limits = TrialLimits(300, 10.0, max_error_rate=0.01)
    assert judge(limits, window(3, failed=1), None, 0.1) is None
    bad = judge(limits, window(200, failed=4), None, 1.0)
    assert isinstance(bad, Judgement)
    assert not bad.passed


def test_a_slower_model_fails() -> None:
    """By the median of inference, against the version before."""
    judgement = judge(LIMITS, window(300, ms=16.0), window(300), 10.0)
    assert isinstance(judgement, Judgement)
    assert not judgement.passed
    assert "median" in judgement.reason


def test_a_longer_tail_fails_only_beyond_noise() -> None:
    """20 ms more in the 99th percentile are other programs' doing; 30 ms are not."""
    small = judge(LIMITS, window(300, p99=29.0), window(300), 10.0)
    large = judge(LIMITS, window(300, p99=41.0), window(300), 10.0)
    assert isinstance(small, Judgement)
    assert small.passed
    assert large == Doubt("Its p99 inference takes 41.0 ms, before it took 10.0 ms.")


@pytest.mark.parametrize(
    ("again", "passed"),
    [
        (window(299), None),  # not as many frames yet
        (window(300), True),  # it was a moment
        (window(300, p99=41.0), False),  # the model itself is slow now and then
    ],
)
def test_a_longer_tail_must_be_seen_twice(again: Window, passed: bool | None) -> None:
    """What slowed some frames may have been another program of the box."""
    judgement = judge(LIMITS, window(600, p99=41.0), window(300), 20.0, again)
    assert not isinstance(judgement, Doubt)
    assert (judgement and judgement.passed) == passed


def test_a_failed_inference_needs_no_second_look() -> None:
    """While a doubt is looked into, every other rule holds."""
    judgement = judge(LIMITS, window(301, failed=1), window(300), 11.0, window(1))
    assert isinstance(judgement, Judgement)
    assert not judgement.passed


def test_a_blind_model_fails() -> None:
    """It finds nothing where the version before found something on every frame."""
    judgement = judge(LIMITS, window(300), window(300, seen=300), 10.0)
    assert isinstance(judgement, Judgement)
    assert not judgement.passed
    assert "nothing" in judgement.reason


def test_too_few_frames_before_compare_with_nothing() -> None:
    """A start's first frames are no measure."""
    judgement = judge(LIMITS, window(300, ms=100.0), window(99), 10.0)
    assert isinstance(judgement, Judgement)
    assert judgement.passed
