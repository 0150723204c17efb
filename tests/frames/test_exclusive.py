"""A library's handle: one thread at a time, and a close that waits for nobody."""

from __future__ import annotations

import threading

import pytest

from edge_daemon.frames.exclusive import Exclusive


class Handle:
    """Counts how often it was let go, and by which thread."""

    def __init__(self) -> None:
        self.released_by: list[str] = []
        self.exclusive = Exclusive(self._release, lambda: ValueError("it is closed"))

    def _release(self) -> None:
        self.released_by.append(threading.current_thread().name)


@pytest.fixture
def handle() -> Handle:
    return Handle()


def test_a_close_lets_go_at_once_where_nobody_uses_it(handle: Handle) -> None:
    """On the thread that closes."""
    handle.exclusive.close()
    assert handle.released_by == [threading.current_thread().name]


def test_a_close_during_a_call_is_done_by_whoever_makes_the_call(handle: Handle) -> None:
    """A read may hang in its driver for minutes; the daemon's stop does not."""
    with handle.exclusive:
        closer = threading.Thread(target=handle.exclusive.close, name="closer")
        closer.start()
        closer.join(30.0)
        assert not closer.is_alive()
        assert handle.released_by == []
    assert handle.released_by == [threading.current_thread().name]


def test_after_a_close_nobody_gets_it(handle: Handle) -> None:
    """The error is the room's own."""
    handle.exclusive.close()
    with pytest.raises(ValueError, match="it is closed"), handle.exclusive:
        pytest.fail("used after its end")


def test_whoever_came_too_late_does_not_keep_it(handle: Handle) -> None:
    """A second close is possible still."""
    handle.exclusive.close()
    for _ in range(2):
        with pytest.raises(ValueError, match="closed"):
            handle.exclusive.__enter__()
    handle.exclusive.close()
    assert len(handle.released_by) == 2


def test_an_error_in_a_call_gives_it_back(handle: Handle) -> None:
    """The next call goes through."""
    with pytest.raises(KeyError), handle.exclusive:
        raise KeyError("frame")
    with handle.exclusive:
        pass
    assert handle.released_by == []


def test_two_threads_take_turns(handle: Handle) -> None:
    """Many libraries crash where two calls meet in one handle."""
    inside, most = 0, 0

    def use() -> None:
        nonlocal inside, most
        for _ in range(200):
            with handle.exclusive:
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30.0)
    assert most == 1
