"""Blocks in drawn pairs: who is first is recomputable, and the interval is exact by the draw."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from edge_daemon.core.rollout.compare import arm_of, difference, paired
from edge_daemon.core.rollout.values import Arm


def test_each_pair_has_both_arms_and_who_is_first_is_drawn() -> None:
    firsts = []
    for pair in range(2000):
        first, second = arm_of("r-1", 2 * pair), arm_of("r-1", 2 * pair + 1)
        assert {first, second} == set(Arm)
        firsts.append(first)
    assert 900 < firsts.count(Arm.CANDIDATE) < 1100
    assert [arm_of("r-1", block) for block in range(20)] != [arm_of("r-2", b) for b in range(20)]


def test_a_line_that_slows_down_is_no_advantage_for_either() -> None:
    """The candidate needs 2 ms more; each block takes 1 ms more than the one before."""
    values = [
        10.0 + block + (2.0 if arm_of("r", block) is Arm.CANDIDATE else 0.0) for block in range(80)
    ]
    found = difference(paired("r", values))
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low <= 2.0 <= found.high
    assert found.high - found.low < 1.1
    assert found.pairs == 40


def test_pairs_of_which_half_was_not_measured_are_left_out() -> None:
    assert len(paired("r", [1.0, None, 2.0, 3.0, 4.0])) == 1
    assert difference([]) is None


@pytest.mark.parametrize("n", [6, 9, 14])
def test_the_interval_holds_what_the_exact_test_of_scipy_does_not_reject(n: int) -> None:
    rng = np.random.default_rng(n)
    values = rng.normal(1.0, 2.0, n)
    found = difference(values.tolist())
    assert found is not None
    for shift in np.linspace(-4, 6, 81):
        rejected = stats.wilcoxon(values - shift, mode="exact").pvalue <= 0.05
        inside = found.low < shift < found.high
        assert inside == (not rejected)


def test_over_every_draw_the_interval_misses_the_truth_at_most_5_times_of_100() -> None:
    sizes = [0.3, 0.9, 1.7, 2.2, 3.1, 4.6, 5.0]
    missed = 0
    for signs in itertools.product((1, -1), repeat=len(sizes)):
        found = difference([sign * size for sign, size in zip(signs, sizes, strict=True)])
        assert found is not None
        missed += not found.low <= 0.0 <= found.high
    assert 0 < missed <= 0.05 * 2 ** len(sizes)


def test_too_few_pairs_have_no_interval() -> None:
    few = difference([1.0, 2.0, 3.0, 4.0, 5.0])
    assert few is not None
    assert (few.value, few.low, few.high, few.pairs) == (3.0, None, None, 5)


PAIRS = 20


def warming(rng: np.random.Generator) -> list[float]:
    """Milliseconds of 40 blocks of equal models on a box that warms up and slows down."""
    blocks = np.arange(2 * PAIRS)
    drift = 4.0 * (1.0 - np.exp(-blocks / 25.0))
    return list(10.0 + drift + rng.normal(0.0, 0.05, 2 * PAIRS))


def claims(differences: list[float]) -> bool:
    """Whether the interval says that one model is slower."""
    found = difference(differences)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    return not found.low <= 0.0 <= found.high


def test_on_a_box_that_warms_up_only_drawn_pairs_call_equal_models_equal() -> None:
    """One model after the other, or strictly in turns, finds a difference that is not there."""
    rng = np.random.default_rng(1)
    after, turns, drawn = 0, 0, 0
    for rollout in range(300):
        ms = warming(rng)
        after += claims([ms[PAIRS + n] - ms[n] for n in range(PAIRS)])
        turns += claims([ms[2 * n + 1] - ms[2 * n] for n in range(PAIRS)])
        drawn += claims(paired(f"r-{rollout}", list(ms)))
    assert (after, turns) == (300, pytest.approx(300, abs=5))
    assert drawn <= 0.05 * 300 + 8  # two deviations of chance more than promised
