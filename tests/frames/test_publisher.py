"""The publisher: every verdict to every outlet, in order, whatever an outlet does."""

from __future__ import annotations

import threading

from edge_daemon.core.judged import Judged
from edge_daemon.core.values import UNASSIGNED, Reason, Verdict
from edge_daemon.frames.publisher import Publisher


def verdict(number: int) -> Judged:
    return Judged(number, 0.0, 0.0, UNASSIGNED, Verdict.UNINSPECTED, Reason.NO_MODEL)


def test_what_was_put_before_a_stop_is_told() -> None:
    """Every verdict, in the order of the lane, to each outlet."""
    one: list[int] = []
    two: list[int] = []
    publisher = Publisher(lambda j: one.append(j.frame), lambda j: two.append(j.frame))
    for number in range(100):
        publisher.put(verdict(number))
    publisher.start()
    publisher.stop(30.0)
    assert one == two == list(range(100))


def test_a_broken_outlet_silences_nobody() -> None:
    """It is logged, and the next outlet and the next verdict are told."""
    told: list[int] = []

    def broken(judged: Judged) -> None:
        raise OSError("no network")

    publisher = Publisher(broken, lambda j: told.append(j.frame))
    publisher.start()
    for number in range(3):
        publisher.put(verdict(number))
    publisher.stop(30.0)
    assert told == [0, 1, 2]


def test_a_slow_outlet_never_holds_up_the_lane() -> None:
    """`put` returns while the outlet still works on the first verdict; the rest waits."""
    go_on, begun = threading.Event(), threading.Event()
    told: list[int] = []

    def slow(judged: Judged) -> None:
        begun.set()
        assert go_on.wait(30.0)
        told.append(judged.frame)

    publisher = Publisher(slow)
    publisher.start()
    for number in range(5):
        publisher.put(verdict(number))
    assert begun.wait(30.0)
    assert told == []
    go_on.set()
    publisher.stop(30.0)
    assert told == [0, 1, 2, 3, 4]
