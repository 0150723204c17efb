"""The places of the ring: each is free, or held by so many, and never both."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from edge_daemon.core.values import Assignment
from edge_daemon.frames.places import AssignmentStart, Pool
from edge_daemon.host.memory import FrameMemory, FrameShape


@pytest.fixture
def pool() -> Iterator[Pool]:
    memory = FrameMemory.allocate(FrameShape(4, 6), 2)
    yield Pool(memory)
    memory.close()


def test_a_place_is_free_again_when_the_last_lets_go(pool: Pool) -> None:
    """Lane and pictures may hold the same frame."""
    place = pool.take().place
    pool.hold(place)
    pool.let_go(place)
    assert len(pool.free) == 1
    pool.let_go(place)
    assert pool.idle


def test_what_is_taken_is_not_given_twice(pool: Pool) -> None:
    """A frame is never written over while somebody looks at it."""
    assert {pool.take().place, pool.take().place} == {0, 1}
    assert not pool.free
    with pytest.raises(IndexError):
        pool.take()


def test_a_second_release_is_a_fault(pool: Pool) -> None:
    """It would free a frame that another holds."""
    place = pool.take().place
    pool.let_go(place)
    with pytest.raises(ValueError, match="twice"):
        pool.let_go(place)
    assert pool.idle


def test_a_free_place_cannot_be_retained(pool: Pool) -> None:
    """What lies there is the next frame's."""
    place = pool.take().place
    pool.let_go(place)
    with pytest.raises(ValueError, match="nothing there"):
        pool.hold(place)


ORDER = Assignment("CAN-330", "WO-2")


@pytest.mark.parametrize(
    ("number", "at", "reached"),
    [(9, 5.0, False), (10, 4.9, False), (10, 5.0, True), (11, 5.1, True)],
)
def test_an_assignment_holds_from_a_frame_that_was_captured_after_it(
    number: int, at: float, reached: bool
) -> None:
    """Both: the frame was counted after the stamp, and captured after the order arrived."""
    assert AssignmentStart(ORDER, 5.0, 10).reached(number, at) is reached


def test_without_a_time_it_holds_from_the_first_frame() -> None:
    """As at the start."""
    assert AssignmentStart(ORDER).reached(0, -math.inf)
