"""The boundary of a thread: a fault ends one turn, is told, and ends nothing else."""

from __future__ import annotations

import pytest
import structlog
from structlog.testing import capture_logs

from edge_daemon.errors import BoxError
from edge_daemon.host.error_boundary import ErrorBoundary, contained, end_of

LOG = structlog.get_logger("room")


def test_a_turn_that_fails_is_told_and_the_next_one_comes() -> None:
    """With what happens next, and with its traceback."""
    boundary, turns = ErrorBoundary(LOG, "turn_failed"), []
    with capture_logs() as lines:
        for number in range(3):
            with boundary.turn(retry_s=5.0):
                turns.append(number)
                if number == 1:
                    raise ValueError("a fault of our own")
    assert turns == [0, 1, 2]
    (line,) = lines
    assert (line["event"], line["log_level"], line["retry_s"]) == ("turn_failed", "error", 5.0)
    assert line["error"] == "ValueError('a fault of our own')"
    assert isinstance(line["exc_info"], ValueError)


def test_an_error_of_ours_is_told_by_its_sentence() -> None:
    """A traceback would add nothing to it."""
    with capture_logs() as lines, ErrorBoundary(LOG, "turn_failed").turn():
        raise BoxError("The disk is full.", hint="Make room.")
    assert "The disk is full." in lines[0]["error"]
    assert lines[0]["exc_info"] is None


def test_what_fails_with_every_frame_is_told_ever_more_rarely() -> None:
    """Each failure is counted all the same."""
    boundary = ErrorBoundary(LOG, "frame_failed", is_rare=True)
    with capture_logs() as lines:
        for _ in range(9):
            with boundary.turn():
                raise OSError(28, "No space left on device")
    assert [line["failures"] for line in lines] == [1, 2, 4, 8]
    assert boundary.failures == 9


def test_the_caller_knows_what_became_of_its_turn() -> None:
    """To ask for a message once more, or to part from a client."""
    boundary = ErrorBoundary(LOG, "turn_failed")
    with capture_logs(), boundary.turn() as failed:
        raise KeyError("x")
    with boundary.turn() as done:
        pass
    assert (type(failed.fault), done.fault) == (KeyError, None)


@pytest.mark.parametrize("ending", [KeyboardInterrupt, SystemExit])
def test_the_end_of_the_process_is_no_fault(ending: type[BaseException]) -> None:
    """Whoever ends the process is not held up by a boundary."""
    with pytest.raises(ending), contained():
        raise ending


@pytest.mark.parametrize("ending", [ValueError("broken"), SystemExit(3)])
def test_the_end_of_a_thread_that_all_depends_on_is_handed_over(ending: BaseException) -> None:
    """Whatever it was: the daemon must not go on without its lane or its driver."""

    def loop() -> None:
        raise ending

    with capture_logs() as lines:
        assert end_of(loop, LOG, "lane_failed") is ending
    assert [(line["event"], line["log_level"]) for line in lines] == [("lane_failed", "critical")]
    assert lines[0]["exc_info"] is ending


def test_a_loop_that_returns_ended_by_nothing() -> None:
    """As at every stop of the daemon."""
    with capture_logs() as lines:
        assert end_of(lambda: 1, LOG, "lane_failed") is None
    assert lines == []
