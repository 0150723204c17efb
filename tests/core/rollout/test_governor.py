"""The share of units that a candidate sees besides: it gives way to the line's own times."""

from __future__ import annotations

from random import Random

from edge_daemon.core.rollout.governor import FIRST, LEAST, LOOK_AFTER, MOST, Governor, p99


def live(governor: Governor, looks: int, more_ms: float, random: Random) -> None:
    """So many frames after a look, slower by this; as many after none."""
    for _ in range(looks * LOOK_AFTER):
        usual = random.gauss(20.0, 1.0)
        governor.note(random.gauss(20.0, 1.0), after_look=False)
        governor.note(usual + more_ms, after_look=True)


def test_a_line_that_is_not_slower_lets_the_candidate_see_nearly_all() -> None:
    """Up to nine tenths: by the rest it is known how fast the line is alone."""
    governor = Governor()
    live(governor, 40, 0.0, Random(3))
    assert governor.coverage >= 0.8
    assert governor.coverage <= MOST


def test_a_line_that_is_slower_after_a_look_is_looked_at_less() -> None:
    """Two milliseconds more: the share falls until next to nothing is left of it."""
    governor = Governor()
    live(governor, 3, 5.0, Random(3))
    assert governor.coverage < FIRST
    live(governor, 20, 5.0, Random(3))
    assert governor.coverage == LEAST


def test_the_share_grows_again_once_the_line_has_time() -> None:
    """By steps, as it fell by a factor."""
    governor = Governor()
    live(governor, 20, 5.0, Random(3))
    live(governor, 12, 0.0, Random(4))
    assert governor.coverage > FIRST


def test_no_more_is_seen_than_is_asked_for() -> None:
    """A coverage of 0 stays 0, whatever the line has time for."""
    none, few = Governor(0.0), Governor(0.1)
    for each in (none, few):
        live(each, 5, 0.0, Random(3))
    assert (none.coverage, few.coverage) == (0.0, 0.1)


def test_without_frames_to_compare_with_nothing_is_decided() -> None:
    governor = Governor()
    for _ in range(3 * LOOK_AFTER):
        governor.note(500.0, after_look=True)
    assert governor.coverage == FIRST


def test_the_99th_percentile_is_exceeded_by_one_of_a_hundred() -> None:
    assert p99([float(each) for each in range(1, 101)]) == 99.0
    assert p99([5.0]) == 5.0
