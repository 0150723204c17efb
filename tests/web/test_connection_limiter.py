"""Strangers who connect and say little: their places are bounded, the health checks' are not."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from structlog.testing import capture_logs

from edge_daemon.web.access import COMMAND_HEADER, Rules
from edge_daemon.web.connection_limiter import VITAL_PATHS, Limits
from edge_daemon.web.server import Listen, StatusPage
from tests.sim.fake_page import FakePage

GENEROUS_S = 30.0
HALF_A_HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
WATCH = b"GET /live.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n"
HALF_A_BODY = (
    b"POST /api/request/hold HTTP/1.1\r\nHost: localhost\r\n%s: 1\r\n"
    b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
) % COMMAND_HEADER.encode()


@contextmanager
def page_with(limits: Limits | None = None, fake: FakePage | None = None) -> Iterator[StatusPage]:
    sources, limits = (fake or FakePage()).sources(commands=True), limits or Limits()
    page = StatusPage(Listen("127.0.0.1", 0, Rules("127.0.0.1"), limits), sources)
    assert page.start()
    try:
        yield page
    finally:
        page.stop()


def connected(page: StatusPage, said: bytes = b"", source: str = "127.0.0.1") -> socket.socket:
    address = ("127.0.0.1", page.port)
    stranger = socket.create_connection(address, GENEROUS_S, source_address=(source, 0))
    stranger.sendall(said)
    return stranger


def status(page: StatusPage, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=GENEROUS_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def is_parted_from(stranger: socket.socket) -> bool:
    """Once the other side has closed; waits for it."""
    try:
        return stranger.recv(1) == b""
    except ConnectionError:
        return True


def is_closed_after(stranger: socket.socket, said: bytes) -> bool:
    """Whether the other side has closed by now."""
    try:
        stranger.sendall(said)
        return stranger.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def test_hundreds_who_say_nothing_keep_nobody_from_the_health_checks() -> None:
    """Half-open and silent connections, more with each look: every look is answered."""
    with page_with() as page:
        strangers = [connected(page, said) for said in (b"", HALF_A_HEAD) * 200]
        for look in range(20):
            strangers += [connected(page, HALF_A_HEAD) for _ in range(5)]
            for path in (*VITAL_PATHS, "/api/state"):
                assert status(page, path) == 200, f"{path}, look {look}"
        for stranger in strangers:
            stranger.close()


@pytest.mark.parametrize("said", [b"", HALF_A_HEAD, HALF_A_BODY], ids=["silent", "head", "body"])
def test_a_request_that_does_not_come_whole_in_time_is_given_up(said: bytes) -> None:
    """Nothing at all, a part of a head, a part of a body."""
    with page_with(Limits(head_s=0.1, body_s=0.1)) as page:
        assert is_parted_from(connected(page, said))
        assert status(page, "/healthz") == 200


@pytest.mark.parametrize("said", [HALF_A_HEAD + b"X: ", HALF_A_BODY], ids=["head", "body"])
def test_what_trickles_in_moves_no_deadline(said: bytes) -> None:
    """A byte now and then is no request."""
    with page_with(Limits(head_s=0.2, body_s=0.2)) as page:
        stranger = connected(page, said)
        stranger.settimeout(0.01)
        while not is_closed_after(stranger, b"x"):
            pass


def test_who_asks_whole_requests_keeps_the_connection() -> None:
    """The deadline ends with the request, for the first one and those after it."""
    fake = FakePage()
    with page_with(Limits(head_s=0.1, body_s=0.1), fake) as page:
        watcher = connected(page, WATCH)
        assert is_parted_from(connected(page))  # longer than the limit
        fake.picture(b"still here")
        seen = b""
        while b"still here" not in seen:
            seen += watcher.recv(4096)
        watcher.close()


def test_the_address_with_the_most_connections_gives_way() -> None:
    """A neighbour's flood does not cost the one whose request is on its way."""
    with page_with(Limits(waiting=8)) as page:
        slow = connected(page, HALF_A_HEAD, source="127.0.0.2")
        flood = [connected(page, HALF_A_HEAD) for _ in range(40)]
        assert is_parted_from(flood[0])
        slow.sendall(b"\r\n")
        assert slow.recv(12) == b"HTTP/1.1 200"


def test_the_health_checks_have_places_of_their_own() -> None:
    """All places are taken: the page says so, the checks and metrics answer."""
    with page_with(Limits(busy=1)) as page:
        watcher = connected(page, WATCH)
        assert watcher.recv(12) == b"HTTP/1.1 200"
        assert status(page, "/api/state") == 503
        for path in VITAL_PATHS:
            assert status(page, path) == 200
        watcher.close()


def test_refusals_are_told_once_a_minute_with_their_number() -> None:
    """The first at once; a flood is one line and no more."""
    with capture_logs() as lines, page_with(Limits(waiting=4)) as page:
        flood = [connected(page) for _ in range(50)]
        assert is_parted_from(flood[40])
        assert status(page, "/healthz") == 200
    told = [line for line in lines if line["event"] == "connections_refused"]
    assert told == [{"event": "connections_refused", "log_level": "warning", "gave_way": 1}]
    with capture_logs() as lines, page_with(Limits(waiting=4, tell_s=0.1)) as page:
        flood = [connected(page) for _ in range(50)]
        while sum(line.get("gave_way", 0) for line in lines) < 46:
            assert status(page, "/healthz") == 200
    assert len([line for line in lines if line["event"] == "connections_refused"]) < 46
