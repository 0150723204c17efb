"""The service manager's watchdog is fed while the line does what it can, and only then."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge_daemon.app.keeper import Keeper
from edge_daemon.control.arrivals import OrderArrived
from edge_daemon.control.messages import Incoming
from edge_daemon.host.clock import SystemClock
from tests.sim.device import Device, wait_until

B1 = "bottle@1.0.0"


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.settimeout(30.0)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield ear


def drain(ear: socket.socket) -> list[bytes]:
    """What was said since the last time."""
    said = []
    ear.setblocking(False)
    try:
        while True:
            said.append(ear.recv(4096))
    except BlockingIOError:
        ear.settimeout(30.0)
    return said


def test_frames_that_no_model_may_judge_feed_it(manager: socket.socket) -> None:
    """A shift of a product without a link is no reason to restart, however long it lasts."""
    with Device(B1) as device:
        device.await_active(B1)
        daemon = device.daemon
        assert daemon is not None
        body = json.dumps({"workOrder": "1", "productCode": "NEW", "status": "running"}).encode()
        daemon.control.driver.post(
            OrderArrived(0, Incoming("mes/orders", body, SystemClock().now()))
        )
        wait_until(lambda: not daemon.control.driver.state.line.linked, "the unknown product")
        before = daemon.frames.ledger.counts().uninspected
        wait_until(lambda: daemon.frames.ledger.counts().uninspected > before + 100, "frames")
        drain(manager)
        while manager.recv(4096) != b"WATCHDOG=1":
            pass


@pytest.mark.parametrize("is_healthy", [True, False])
def test_only_a_healthy_line_feeds_it(manager: socket.socket, is_healthy: bool) -> None:
    """Frames come, a model is active, nothing is judged: the service manager hears no more."""
    with Device(B1) as device:
        device.await_active(B1)
        daemon = device.daemon
        assert daemon is not None
        daemon.keeper.stop()
        drain(manager)
        watched = replace(daemon.watched, is_healthy=lambda: is_healthy)
        told = (daemon.control.reporter, daemon._ground.metrics, daemon._notifier, SystemClock())
        Keeper(watched, *told).look()
        assert (b"WATCHDOG=1" in drain(manager)) is is_healthy
