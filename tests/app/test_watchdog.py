"""The service manager's watchdog is fed while the line does what it can, and only then."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge_daemon.app.service_manager import ServiceManager
from edge_daemon.app.status import Failing, FramesStatus
from edge_daemon.control.arrivals import OrderArrived
from edge_daemon.frames.camera_state import CameraPhase
from edge_daemon.host.clock import SystemClock
from edge_daemon.host.health import Signs
from edge_daemon.host.systemd import Notifier
from edge_daemon.messaging.messages import Incoming
from tests.sim.device import Device, wait_until
from tests.sim.status import NOW, ONLINE, station

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
        daemon.control.mailbox.put(
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
    silent_s = 5.0 if is_healthy else 11.0
    signs = Signs(NOW.at - silent_s, frame_at=NOW.at, has_active=True, camera_fault=None)
    ServiceManager(Notifier.from_environ(os.environ)).hear(station(signs=signs))
    assert (b"WATCHDOG=1" in drain(manager)) is is_healthy


def test_it_hears_ready_once_and_then_how_the_line_runs(manager: socket.socket) -> None:
    """Not before frames are counted; the first problem stands beside the status line."""
    service = ServiceManager(Notifier.from_environ(os.environ))
    for frames in (FramesStatus(), FramesStatus(is_open=True), FramesStatus(is_open=True)):
        service.hear(station(frames=frames, failing=Failing(3, "It failed.")))
    line = "STATUS=bottle@1.0.0, 0 fps, camera online, broker online"
    amiss = f"{line}; the model failed at 3 frames in the last minute: It failed."
    said = [each.decode() for each in drain(manager) if each != b"WATCHDOG=1"]
    assert said == [amiss, f"READY=1\n{line}", amiss]


def test_a_camera_that_is_away_does_not_hold_it_up(manager: socket.socket) -> None:
    """The station is up, and waits for its camera."""
    away = replace(ONLINE, state=CameraPhase.LOST)
    ServiceManager(Notifier.from_environ(os.environ)).hear(station(camera=away))
    assert drain(manager)[0].startswith(b"READY=1")
