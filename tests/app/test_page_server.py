"""The window: the page shows the station, and a request by HTTP comes in by everybody's door."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge_daemon.app.monitor import Monitor
from edge_daemon.app.page import Page
from edge_daemon.app.page_server import PageServer
from edge_daemon.app.rejects import Rejects
from edge_daemon.app.rollout_view import RolloutView
from edge_daemon.frames.images import Pictures
from edge_daemon.frames.ledger import Ledger
from edge_daemon.frames.ring import Ring
from edge_daemon.messaging.answer import accepted
from edge_daemon.messaging.messages import Incoming
from tests.sim.resources import resources
from tests.sim.status import StillStation


@contextmanager
def opened(
    folder: Path, **settings: Any
) -> Iterator[tuple[PageServer, list[tuple[str, Incoming]]]]:
    """A window on it, and the requests that came in."""
    asked: list[tuple[str, Incoming]] = []

    def hand_in(verb: str, incoming: Incoming) -> None:
        asked.append((verb, incoming))
        incoming.reply(accepted("r-1"))

    with resources(folder, http=settings) as laid:
        monitor = Monitor(StillStation(Ledger()), Ledger(), laid.metrics)
        nothing = RolloutView(laid, bytes, None)
        page = Page(laid, monitor, Rejects(None, lambda _: frozenset()), nothing)
        window = PageServer(page, monitor, Pictures(Ring(8)), hand_in, lambda _, __: {})
        window.start()
        try:
            yield window, asked
        finally:
            window.stop()


def ask(port: int, method: str, path: str, body: object = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30.0)
    try:
        headers = {"x-edge-daemon": "1", "content-type": "application/json"}
        connection.request(method, path, json.dumps(body).encode(), headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_it_shows_what_the_monitor_sees(tmp_path: Path) -> None:
    """State, health and readiness are of the one status."""
    with opened(tmp_path, listen="127.0.0.1:0") as (window, _):
        status, body = ask(window.port, "GET", "/api/state")
        state = json.loads(body)
        assert status == 200
        assert [slot["role"] for slot in state["slots"]] == ["active"]
        assert state["health"] == {"healthy": True, "ready": True, "problems": []}
        assert ask(window.port, "GET", "/readyz")[0] == 200
        assert ask(window.port, "POST", "/api/request/swap", {})[0] == 404


def test_a_request_by_http_is_handed_in_unread(tmp_path: Path) -> None:
    """Word for word; whoever reads requests reads this one."""
    body = {"id": "r-1", "model": "bottle@2.0.0"}
    with opened(tmp_path, listen="127.0.0.1:0", commands=True) as (window, asked):
        status, answer = ask(window.port, "POST", "/api/request/swap", body)
        assert (status, json.loads(answer)["status"]) == (200, "accepted")
        ((verb, incoming),) = asked
        assert (verb, incoming.topic) == ("swap", "http/request/swap")
        assert json.loads(incoming.payload) == body


def test_without_an_address_there_is_none(tmp_path: Path) -> None:
    """The line goes on."""
    with opened(tmp_path, listen=None) as (window, _):
        assert window.port == 0
