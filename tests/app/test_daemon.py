"""The whole: what starts later stops earlier, and a start that fails leaves nothing behind."""

from __future__ import annotations

import json
import socket
import threading

import pytest

from edge_daemon.app.resources import Resources
from edge_daemon.config import load
from edge_daemon.errors import BoxError
from edge_daemon.host.clock import SystemClock
from edge_daemon.messaging.messages import Incoming
from tests.sim.device import Device, wait_until

B1, B2 = "bottle@1.0.0", "bottle@2.0.0"
PARTS = {"lane", "driver", "monitor", "mqtt-session", "outbox", "local-socket", "publisher"}


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
