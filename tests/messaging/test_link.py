"""A connection that keeps falling is a problem of its own, told once a minute until it holds."""

from __future__ import annotations

import structlog

from edge_daemon.messaging.link import HELD_S, MOST_LOSSES, Link
from tests.sim.clock import SimClock

ID = "edge-daemon-cam1"


class Story:
    def __init__(self) -> None:
        self.clock = SimClock()
        self.link = Link(ID, self.clock)

    def fall(self, times: int, *, after_s: float = 1.0, taken_over: bool = False) -> list[bool]:
        told = []
        for _ in range(times):
            self.clock.advance(after_s + 1.0)
            told.append(self.link.fell("lost", after_s, is_taken_over=taken_over))
        return told


def test_a_link_that_keeps_falling_names_the_id_and_the_likely_cause() -> None:
    """Half of the messages are missing for those who listen: that is not good health."""
    story = Story()
    assert not any(story.fall(MOST_LOSSES - 1))
    assert story.link.problem(0.0) == ""
    assert story.fall(1) == [True]
    assert f"fell {MOST_LOSSES} times" in story.link.problem(0.0)
    assert f"perhaps another client has the id {ID} too" in story.link.problem(0.0)


def test_the_broker_that_says_so_is_quoted() -> None:
    """MQTT 5: session taken over."""
    story = Story()
    story.fall(MOST_LOSSES, taken_over=True)
    assert "another client took over" in story.link.problem(0.0)


def test_it_is_told_once_a_minute() -> None:
    """Thirty losses a minute are one line."""
    story = Story()
    with structlog.testing.capture_logs() as lines:
        story.fall(90)  # three minutes
    assert len(lines) == 3
    assert {line["event"] for line in lines} == {"broker_link_keeps_falling"}
    assert lines[-1]["client_id"] == ID


def test_it_stays_until_a_connection_has_held() -> None:
    """A minute of peace is not the end of it."""
    story = Story()
    story.fall(MOST_LOSSES)
    assert story.link.problem(HELD_S - 1)
    assert story.link.problem(HELD_S) == ""
    assert story.fall(1, after_s=HELD_S) == [False]
    assert story.link.problem(0.0) == ""


def test_losses_far_apart_and_those_that_are_explained_count_for_nothing() -> None:
    """A cable that is pulled now and then, and messages that were too large."""
    story = Story()
    story.fall(20, after_s=29.0)
    for _ in range(MOST_LOSSES):
        story.clock.advance(1.0)
        assert not story.link.fell("lost", 1.0, is_taken_over=False, is_explained=True)
    assert story.link.problem(0.0) == ""
