"""The statistics against exact enumeration, against ville and scipy, and against themselves."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from ville import BettingTest, EmpiricalBernsteinCS

from edge_daemon.core.rollout.betting import (
    BETS,
    BLOCKS,
    BOUND_BETS,
    LOG_CAP,
    ODDS,
    WEIGHTS,
    Counts,
    block_of,
    log_e,
    share_log_e,
    total,
    upper_bound,
)

COUNTS = st.builds(Counts, st.integers(0, 300), st.integers(0, 3000), st.integers(0, 300))


def counted(units: Sequence[int]) -> Counts:
    return Counts(units.count(1), units.count(0), units.count(-1))


def blocks(units: Sequence[int], length: int) -> list[Counts]:
    """As if a new start came every `length` units."""
    return [counted(units[at : at + length]) for at in range(0, len(units), length)]


def paths(chances: dict[int, float], length: int) -> Iterator[tuple[tuple[int, ...], float]]:
    """Every sequence of units with its probability."""
    for units in itertools.product(chances, repeat=length):
        yield units, math.prod(chances[unit] for unit in units)


def test_the_first_capital_is_one() -> None:
    assert math.fsum(WEIGHTS) == pytest.approx(1.0)
    assert math.fsum(BETS.values()) == pytest.approx(1.0)
    assert len(WEIGHTS) == len(BLOCKS) + 1
    assert log_e([]) == pytest.approx(0.0, abs=1e-12)
    assert log_e([Counts()]) == pytest.approx(0.0, abs=1e-12)
    assert share_log_e({}) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("delta", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("start_every", [1, 2, 3, 6])
def test_the_capital_is_a_martingale_where_the_candidate_is_just_as_good_as_allowed(
    delta: float, start_every: int
) -> None:
    chances = {1: 0.25 + delta / 2, 0: 0.5, -1: 0.25 - delta / 2}
    for length in (1, 4, 6):
        expected = math.fsum(
            chance * math.exp(log_e(blocks(units, start_every), delta))
            for units, chance in paths(chances, length)
        )
        assert expected == pytest.approx(1.0, rel=1e-12)


def test_each_step_is_fair_whatever_came_before() -> None:
    chances = {1: 0.3, 0: 0.4, -1: 0.3}
    for past in itertools.product((1, 0, -1), repeat=3):
        now = math.exp(log_e(blocks(past, 2)))
        then = math.fsum(
            chance * math.exp(log_e(blocks((*past, *units), 2)))
            for units, chance in paths(chances, 2)
        )
        assert then == pytest.approx(now, rel=1e-12)


def test_a_better_candidate_loses_capital_in_expectation() -> None:
    chances = {1: 0.1, 0: 0.6, -1: 0.3}
    expected = [
        math.fsum(chance * math.exp(log_e(blocks(units, 2))) for units, chance in paths(chances, n))
        for n in (0, 2, 4, 6)
    ]
    assert expected == sorted(expected, reverse=True)


def test_the_chance_of_ever_crossing_is_at_most_alpha() -> None:
    """Exact over every path of eight units: Ville's inequality."""
    crossing = 0.0
    for units, chance in paths({1: 0.4, 0: 0.2, -1: 0.4}, 8):
        if any(log_e(blocks(units[:n], 3)) >= math.log(4) for n in range(1, 9)):
            crossing += chance
    assert 0.01 < crossing <= 1 / 4


def test_the_bound_is_ever_too_low_with_a_chance_of_at_most_alpha() -> None:
    """Exact over every path of eight units, for a bound that is wrong half of the time at most."""
    bounds = {
        counts: upper_bound(counts, 0.5)
        for counts in {
            Counts(plus, zero, minus)
            for plus, zero, minus in itertools.product(range(9), repeat=3)
            if plus + zero + minus <= 8
        }
    }
    chances = {1: 0.6, 0: 0.1, -1: 0.3}
    mean = sum(unit * chance for unit, chance in chances.items())
    wrong = 0.0
    for units, chance in paths(chances, 8):
        if any(bounds[counted(units[:n])] < mean for n in range(1, 9)):
            wrong += chance
    assert 0.01 < wrong <= 0.5


@pytest.mark.parametrize("bet", BOUND_BETS)
def test_a_unit_that_is_left_out_or_counted_as_lost_is_never_better_than_the_truth(
    bet: float,
) -> None:
    """For the evidence against a mean m, +1 <= left out <= -1 and +1 <= 0 for each m in -1..1."""
    for mean in (-1.0, -0.5, 0.0, 0.03, 0.5, 1.0):
        lost, nothing, gained = (
            bet * (mean - unit) + (math.log1p(-bet) + bet) * unit * unit for unit in (1, 0, -1)
        )
        assert lost <= 0.0 + 1e-12
        assert lost <= nothing + 1e-12
        assert mean < 0 or gained >= 0.0


@settings(deadline=None)
@given(COUNTS, st.sampled_from([0.01, 0.001]))
def test_a_label_never_raises_the_bound_of_what_was_taken_for_lost(
    counts: Counts, alpha: float
) -> None:
    taken = Counts(counts.plus + 1, counts.zero, counts.minus)
    before = upper_bound(taken, alpha)
    left_out = counts
    found_by_both = Counts(counts.plus, counts.zero + 1, counts.minus)
    assert upper_bound(left_out, alpha) <= before + 1e-9
    assert upper_bound(found_by_both, alpha) <= before + 1e-9


@settings(deadline=None)
@given(COUNTS)
def test_the_bound_lies_above_the_mean_and_falls_with_alpha(counts: Counts) -> None:
    mean = (counts.plus - counts.minus) / max(1, counts.units)
    assert mean <= upper_bound(counts, 0.01) <= upper_bound(counts, 0.001) <= 1.0


@settings(deadline=None)
@given(st.lists(COUNTS, min_size=1, max_size=5), st.floats(0.0, 0.2))
def test_more_losses_are_more_evidence_and_more_gains_less(
    tables: list[Counts], delta: float
) -> None:
    now = log_e(tables, delta)
    worse = [*tables[:-1], tables[-1] + Counts(plus=1)]
    better = [*tables[:-1], tables[-1] + Counts(minus=1)]
    assert log_e(better, delta) <= now + 1e-9
    assert now <= log_e(worse, delta) + 1e-9
    assert log_e(worse, delta) <= LOG_CAP


def test_evidence_is_told_up_to_its_cap() -> None:
    assert log_e([Counts(plus=10**7)]) == LOG_CAP
    assert math.isfinite(log_e([Counts(minus=10**7)] * 33))


def test_a_loss_is_seen_as_early_as_by_ville_s_betting_test() -> None:
    rng = np.random.default_rng(7)
    ours, theirs = [], []
    for _ in range(200):
        units = rng.choice([1, 0, -1], size=600, p=[0.1, 0.88, 0.02])
        test = BettingTest(0.0, bounds=(-1.0, 1.0), alternative="greater", alpha=0.001)
        theirs.append(test.fit(units).stopping_time() or 601)
        ours.append(first_crossing(units.tolist(), math.log(1000)))
    assert np.median(ours) <= np.median(theirs)


def first_crossing(units: list[int], limit: float) -> int:
    plus = minus = 0
    for n, unit in enumerate(units, 1):
        plus += unit == 1
        minus += unit == -1
        if unit and log_e([Counts(plus, n - plus - minus, minus)]) >= limit:
            return n
    return len(units) + 1


def test_capital_of_two_models_that_differ_in_nothing_stays_where_ville_keeps_it() -> None:
    rng = np.random.default_rng(3)
    for _ in range(100):
        units = rng.choice([1, 0, -1], size=1000, p=[0.03, 0.94, 0.03])
        test = BettingTest(0.0, bounds=(-1.0, 1.0), alternative="greater", alpha=0.001)
        assert test.fit(units).stopping_time() is None
        assert first_crossing(units.tolist(), math.log(1000)) == 1001


@pytest.mark.parametrize(("lost", "gained"), [(0.02, 0.02), (0.05, 0.05), (0.0, 0.0), (0.01, 0.03)])
def test_the_bound_is_about_as_narrow_as_ville_s(lost: float, gained: float) -> None:
    """After 1,000 units at 1 %, which of theirs is the upper half of an interval at 2 %."""
    rng = np.random.default_rng(11)
    widths = []
    for _ in range(40):
        units = rng.choice([1, 0, -1], size=1000, p=[lost, 1 - lost - gained, gained])
        theirs = EmpiricalBernsteinCS(bounds=(-1.0, 1.0), alpha=0.02, intersect=False)
        upper = theirs.fit(units).interval()[1] - units.mean()
        ours = upper_bound(counted(units.tolist()), 0.01) - units.mean()
        widths.append(ours / upper)
    assert np.median(widths) < 1.05


def test_evidence_agrees_with_the_exact_sign_test_about_what_is_strong() -> None:
    """An e-value is never a stronger claim than the exact p-value of one look."""
    for plus, minus in itertools.product(range(0, 40, 3), range(0, 40, 3)):
        if plus + minus:
            exact = stats.binomtest(plus, plus + minus, 0.5, alternative="greater").pvalue
            assert math.exp(-log_e([Counts(plus, 0, minus)])) >= exact * 0.999


def test_a_candidate_that_turns_bad_late_has_no_cushion() -> None:
    """After 1,400 units of gains, losses of 8 points are seen in 600 units by a later start."""
    good = [Counts(4, 190, 6)] * 7
    bad = [Counts(20, 176, 4)] * 3
    one_start = log_e([total([*good, *bad])])
    assert log_e([*good, *bad]) > math.log(1000) > one_start


def test_blocks_follow_one_another() -> None:
    edges = list(itertools.accumulate(BLOCKS))
    assert block_of(0) == 0
    for block, edge in enumerate(edges):
        assert block_of(edge - 1) == block
        assert block_of(edge) == block + 1
    assert block_of(10**9) == len(BLOCKS)


# --------------------------------------------------------------------------- shares


def test_the_share_is_a_martingale_where_the_arms_are_drawn_as_declared() -> None:
    expected = math.fsum(
        math.prod(0.1 if one else 0.9 for one in first)
        * 0.5 ** len(second)
        * math.exp(share_log_e({0.1: (4, sum(first)), 0.5: (3, sum(second))}))
        for first in itertools.product((0, 1), repeat=4)
        for second in itertools.product((0, 1), repeat=3)
    )
    assert expected == pytest.approx(1.0, rel=1e-12)


def test_each_odds_is_a_likelihood_ratio() -> None:
    for parts, candidates in [(50, 3), (50, 11), (200, 20)]:
        by_scipy = [
            stats.binom.logpmf(candidates, parts, 0.1 * odds / (0.9 + 0.1 * odds))
            - stats.binom.logpmf(candidates, parts, 0.1)
            - math.log(len(ODDS))
            for odds in ODDS
        ]
        ours = share_log_e({0.1: (parts, candidates)})
        assert ours == pytest.approx(np.logaddexp.reduce(by_scipy))


def test_a_share_of_a_fifth_where_a_tenth_was_declared_is_seen_within_some_hundred_parts() -> None:
    rng = np.random.default_rng(5)

    def seen_after(share: float) -> int:
        arms = np.cumsum(rng.random(4000) < share)
        for parts in range(10, 4001, 10):
            if share_log_e({0.1: (parts, int(arms[parts - 1]))}) >= math.log(1000):
                return parts
        return 4001

    assert np.median([seen_after(0.2) for _ in range(40)]) <= 220
    assert np.median([seen_after(0.15) for _ in range(20)]) <= 800
    assert [seen_after(0.1) for _ in range(20)] == [4001] * 20
    assert share_log_e({0.0: (1000, 0), 1.0: (1000, 1000)}) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("bet", BOUND_BETS)
def test_no_unit_grows_the_evidence_against_a_mean_more_than_a_fair_bet(bet: float) -> None:
    """Fan's inequality, on which the bound rests; with 1 % less of the squares it fails."""
    units = np.linspace(-1.0, 1.0, 401)
    penalty = math.log1p(-bet) + bet
    assert (np.exp(-bet * units + penalty * units**2) <= 1.0 - bet * units + 1e-12).all()
    assert (np.exp(-bet * units + 0.99 * penalty * units**2) > 1.0 - bet * units + 1e-9).any()


@pytest.mark.parametrize("counts", [Counts(3, 80, 1), Counts(40, 900, 42), Counts(0, 500, 0)])
def test_the_bound_is_where_the_evidence_against_it_reaches_one_in_alpha(counts: Counts) -> None:
    def against(mean: float) -> float:
        units = [1.0] * counts.plus + [0.0] * counts.zero + [-1.0] * counts.minus
        grown = [
            math.fsum(bet * (mean - x) + (math.log1p(-bet) + bet) * x * x for x in units)
            for bet in BOUND_BETS
        ]
        return float(np.mean(np.exp(grown)))

    bound = upper_bound(counts, 0.01)
    assert against(bound) == pytest.approx(100.0, rel=1e-6)
