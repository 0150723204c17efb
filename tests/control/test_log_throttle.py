"""A fault that comes again and again is told at once, then as a count each minute."""

from __future__ import annotations

from edge_daemon.control.refusals import EVERY_S, LogThrottle


def told(times: list[float]) -> list[int]:
    """The counts that are told when the fault comes at these seconds."""
    log_throttle = LogThrottle()
    return [count for at in times if (count := log_throttle.comes(at)) is not None]


def test_the_first_is_told_at_once() -> None:
    """Whoever looks for it finds it."""
    assert told([0.0]) == [1]


def test_a_thousand_within_a_minute_are_one_line_more() -> None:
    """With how many they were."""
    assert told([n * EVERY_S / 1000 for n in range(1001)]) == [1, 1000]


def test_one_that_comes_rarely_is_told_each_time() -> None:
    """Nothing is summed up where there is nothing to sum."""
    assert told([0.0, EVERY_S, 3 * EVERY_S]) == [1, 1, 1]


def test_no_fault_is_left_uncounted() -> None:
    """The next line tells all that were not told, however long they are past."""
    assert told([0.0, 1.0, 2.0, 10 * EVERY_S]) == [1, 3]


def test_two_kinds_do_not_silence_each_other() -> None:
    """Each has its own count."""
    one, other = LogThrottle(), LogThrottle()
    assert (one.comes(0.0), one.comes(1.0), other.comes(1.0)) == (1, None, 1)
