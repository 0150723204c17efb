"""The whole: what starts later stops earlier, and a start that fails leaves nothing behind."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest

from edge_daemon.app.control_plane import ControlPlane
from edge_daemon.app.daemon import Daemon
from edge_daemon.app.data_plane import DataPlane
from edge_daemon.app.monitor import Monitor
from edge_daemon.app.page_server import PageServer
from edge_daemon.app.resources import Resources
from edge_daemon.app.slot_pool import SlotPool
from edge_daemon.config import load
from edge_daemon.control.outbox import Outbox
from edge_daemon.errors import BoxError
from edge_daemon.host.clock import SystemClock
from edge_daemon.host.journal import Journal
from edge_daemon.messaging.local_socket import LocalSocket
from edge_daemon.messaging.messages import Incoming
from edge_daemon.messaging.mqtt import Session
from edge_daemon.models.watch import StoreWatch
from tests.sim.device import ENGINE, Device, wait_until

B1, B2 = "bottle@1.0.0", "bottle@2.0.0"
PARTS = {"lane", "driver", "monitor", "mqtt-session", "outbox", "local-socket", "publisher"}


STARTS: list[tuple[type, str]] = [
    (DataPlane, "start_lane"),
    (ControlPlane, "start_driver"),
    (DataPlane, "start_camera"),
    (StoreWatch, "start"),
    (Session, "start"),
    (Outbox, "start"),
    (LocalSocket, "start"),
    (Monitor, "start"),
    (PageServer, "start"),
]
"""In this order: whoever is asked is there before anybody asks."""

STOPS: list[tuple[type, str]] = [
    (DataPlane, "stop_camera"),
    (DataPlane, "stop_lane"),
    (PageServer, "stop"),
    (Monitor, "stop"),
    (LocalSocket, "stop"),
    (Outbox, "stop"),
    (Session, "stop"),
    (StoreWatch, "stop"),
    (ControlPlane, "stop_driver"),
    (DataPlane, "close"),
    (SlotPool, "close"),
    (Journal, "close"),
]
"""No more frames, the verdicts of those that came, then all the rest from the outside in."""


def name(place: tuple[type, str]) -> str:
    return f"{place[0].__name__}.{place[1]}"


def noted(place: tuple[type, str], calls: list[str]) -> Callable[..., Any]:
    """The method as it is; each call is written down."""
    method = getattr(*place)

    @wraps(method)
    def call(*given: Any, **named: Any) -> Any:
        calls.append(name(place))
        return method(*given, **named)

    return call


def parts() -> set[str]:
    """Those of the daemon's threads that run."""
    return {thread.name for thread in threading.enumerate()} & (PARTS | {"camera"})


def test_every_part_runs_and_every_part_ends() -> None:
    """After a stop no thread is left, every frame has its outcome, and the folder is free."""
    device = Device(B1)
    with device:
        device.await_active(B1)
        assert device.daemon is not None
        daemon = device.daemon
        wait_until(lambda: daemon.frames.ledger.counts().inspected > 0, "a verdict")
        assert parts() == PARTS | {"camera"}
        device.stop()
        assert parts() == set()
        counts = daemon.frames.ledger.counts()
        assert counts.balanced
        assert daemon.broken() is None
        Resources.lay(load(device.config), SystemClock()).journal.close()


def test_a_start_that_fails_leaves_nothing_behind() -> None:
    """Another program answers at the control socket: one error, no thread, a free folder."""
    device = Device(B1)
    folder = device.folder / "state" / "cam1"
    folder.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(folder / "control.sock"))
        other.listen()
        with pytest.raises(BoxError, match="Another daemon answers"):
            device.start()
    assert parts() == set()
    device.start()
    device.await_active(B1)
    device.__exit__(None, None, None)


def test_what_starts_later_stops_earlier(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part is started once, in its place; of what is stopped twice the first time counts."""
    calls: list[str] = []
    for place in (*STARTS, *STOPS):
        monkeypatch.setattr(*place, noted(place, calls))
    with Device(B1) as device:
        device.await_active(B1)
        assert calls == [name(place) for place in STARTS]
        calls.clear()
        device.stop()
        assert list(dict.fromkeys(calls)) == [name(place) for place in STOPS]


@pytest.mark.parametrize("place", STARTS, ids=name)
def test_whichever_part_does_not_start_what_was_started_ends(
    monkeypatch: pytest.MonkeyPatch, place: tuple[type, str]
) -> None:
    """Its error comes out; no thread, no lock and no socket is left, and a new start is a start."""

    def fail(*_: object) -> None:
        raise BoxError("It does not start.")

    device = Device(B1)
    with monkeypatch.context() as planted:
        planted.setattr(*place, fail)
        daemon = Daemon(load(device.config), engine=ENGINE)
        with pytest.raises(BoxError, match="It does not start"):
            daemon.start()
    assert parts() == set()
    assert list((device.folder / "state" / "cam1").glob("*.sock")) == []
    with device:
        device.await_active(B1)


def test_a_part_that_cannot_be_built_closes_what_was_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The journal is open by then, and locked: it would keep the next daemon out."""
    device = Device(B1)

    def fail(*_: object, **__: object) -> None:
        raise BoxError("It is not built.")

    for kind in (SlotPool, DataPlane, ControlPlane, Monitor, PageServer):
        with monkeypatch.context() as planted:
            planted.setattr(kind, "__init__", fail)
            with pytest.raises(BoxError, match="It is not built"):
                Daemon(load(device.config), engine=ENGINE)
    with device:
        device.await_active(B1)


def test_a_command_passes_every_part() -> None:
    """From the mailbox to the lane and back: the next model judges, and one event tells it."""
    with Device(B1, B2) as device:
        device.await_active(B1)
        assert device.daemon is not None
        control, journal = device.daemon.control, device.daemon.resources.journal
        body = json.dumps({"id": "r-1", "model": B2}).encode()
        incoming = Incoming("local/request/swap", body, SystemClock().now())
        control.mailbox.put_request("swap", incoming)
        device.await_active(B2)

        def events() -> list[str]:
            rows = [row for row in journal.outbox_peek(1000) if row.topic.endswith("/model/event")]
            return [json.loads(row.payload)["type"] for row in rows]

        wait_until(lambda: "swapped" in events(), "the event")
        request = journal.find_request("r-1")
        assert request is not None
        assert request.outcome is not None
        assert json.loads(request.outcome)["status"] == "succeeded"
        shown = device.daemon.monitor.now()
        assert shown.model.active is not None
        assert shown.model.active.model == B2
        assert shown.line.state is control.driver.state
