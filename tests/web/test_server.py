"""The server on its thread: real sockets, viewers that look, viewers that do not."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from edge_daemon.web.access import Rules
from edge_daemon.web.live import MOST_VIEWERS
from edge_daemon.web.server import Listen, StatusPage
from tests.sim.fake_page import FakePage

GENEROUS_S = 30.0


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + GENEROUS_S
    tick = threading.Event()
    while not condition():
        assert time.monotonic() < deadline
        tick.wait(0.01)


@pytest.fixture
def fake() -> FakePage:
    return FakePage()


@pytest.fixture
def page(fake: FakePage) -> Iterator[StatusPage]:
    page = StatusPage(Listen("127.0.0.1", 0, Rules("127.0.0.1")), fake.sources())
    assert page.start()
    yield page
    page.stop()


class Viewer:
    """A browser that looks at the stream."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=GENEROUS_S)
        self.socket.sendall(b"GET /live.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.read = b""

    def until(self, words: bytes) -> None:
        """Read on until these bytes came."""
        while words not in self.read:
            more = self.socket.recv(65536)
            assert more, f"the stream ended before {words!r}: {self.read[-200:]!r}"
            self.read += more

    def is_parted_from(self) -> bool:
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionError:
            pass
        return True

    def leave(self) -> None:
        self.socket.close()


def status(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=GENEROUS_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_picture_is_shown_without_waiting_for_the_next_one(
    page: StatusPage, fake: FakePage
) -> None:
    """The boundary follows each picture at once, so a browser is never a frame behind."""
    viewer = Viewer(page.port)
    viewer.until(b"multipart/x-mixed-replace; boundary=picture")
    fake.picture(b"first")
    viewer.until(b"Content-Length: 5\r\n\r\nfirst\r\n--picture\r\n")
    fake.picture(b"second")
    viewer.until(b"second\r\n--picture\r\n")
    viewer.leave()


def test_many_viewers_are_one_watcher_and_too_many_are_told_so(
    page: StatusPage, fake: FakePage
) -> None:
    """However many look, one thread waits for pictures; beyond the limit the answer is 503."""
    viewers = [Viewer(page.port) for _ in range(MOST_VIEWERS)]
    for viewer in viewers:
        viewer.until(b"\r\n\r\n")
    assert status(page.port, "/live.mjpg") == 503
    fake.picture(b"seen by all")
    for viewer in viewers:
        viewer.until(b"seen by all")
    assert fake.most_watchers == 1
    viewers.pop().leave()
    wait_until(lambda: _is_let_in(page.port))
    for viewer in viewers:
        viewer.leave()


def _is_let_in(port: int) -> bool:
    viewer = Viewer(port)
    viewer.until(b"\r\n\r\n")
    viewer.leave()
    return b" 200 " in viewer.read.splitlines()[0]


def test_when_the_last_viewer_has_left_nobody_watches(page: StatusPage, fake: FakePage) -> None:
    """A picture that nobody sees is not made."""
    viewer = Viewer(page.port)
    viewer.until(b"\r\n\r\n")
    wait_until(lambda: fake.watchers == 1)
    viewer.leave()
    wait_until(lambda: fake.watchers == 0)
    fake.watch_began.clear()
    assert not fake.watch_began.wait(2.5)  # one who watches on begins anew each second


def test_a_viewer_who_takes_nothing_holds_up_nobody(page: StatusPage, fake: FakePage) -> None:
    """Others see every picture, and the page answers, while one reads nothing at all."""
    asleep, awake = Viewer(page.port), Viewer(page.port)
    awake.until(b"\r\n\r\n")
    for number in range(8):
        jpeg = b"%d" % number + bytes(4_000_000)
        fake.picture(jpeg)
        awake.until(b"\r\n\r\n%d\0" % number)
        awake.read = b""
    assert status(page.port, "/api/state") == 200
    asleep.leave()
    awake.leave()


def test_it_stops_in_time_with_viewers_asleep_and_awake(fake: FakePage) -> None:
    """A stop parts from everybody and frees the port."""
    page = StatusPage(Listen("127.0.0.1", 0, Rules("127.0.0.1")), fake.sources())
    page.start()
    port = page.port
    viewers = [Viewer(port) for _ in range(3)]
    for viewer in viewers:
        viewer.until(b"\r\n\r\n")
    fake.picture(bytes(8_000_000))
    page.stop(timeout_s=GENEROUS_S)
    assert not any(thread.name == "status-page" for thread in threading.enumerate())
    assert all(viewer.is_parted_from() for viewer in viewers)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=GENEROUS_S)


def test_a_port_in_use_costs_the_page_and_nothing_else(page: StatusPage, fake: FakePage) -> None:
    """The second one says so and can be stopped; the first one goes on."""
    second = StatusPage(Listen("127.0.0.1", page.port, Rules("127.0.0.1")), fake.sources())
    assert not second.start()
    assert second.address is None
    second.stop()
    assert status(page.port, "/healthz") == 200


def test_nonsense_on_the_socket_ends_that_connection_only(page: StatusPage) -> None:
    """Garbage, endless headers and silence leave the page as it was."""
    for garbage in (b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000, b""):
        with socket.create_connection(("127.0.0.1", page.port), timeout=GENEROUS_S) as stranger:
            stranger.sendall(garbage)
            assert status(page.port, "/healthz") == 200


def test_the_port_is_told_from_outside_by_json(page: StatusPage) -> None:
    """A real client on a real socket reads the state."""
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=GENEROUS_S)
    connection.request("GET", "/api/state?seconds=0")
    assert json.loads(connection.getresponse().read())["device"] == "line3-cam1"
    connection.close()
