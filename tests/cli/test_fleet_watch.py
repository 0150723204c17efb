"""The evaluator as a service runs it: ready, alive, and gone at SIGTERM; two at once agree."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from edge_daemon.core.fleet.campaign import canonical
from edge_daemon.fleet import messages
from edge_daemon.messaging.client import Client
from edge_daemon.models.countersigned import sign
from edge_daemon.models.trust import generate_keypair
from tests.sim.campaigns import campaign
from tests.sim.fleet import publish, settings_file
from tests.sim.mosquitto import Mosquitto

pytestmark = pytest.mark.broker
PATIENCE_S = 60.0


class Service:
    """`fleet watch` in a process of its own, with a manager that hears what it says."""

    def __init__(self, folder: Path, settings: Path, name: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(folder / f"{name}.sock"))
        self._socket.settimeout(PATIENCE_S)
        words = ["fleet", "watch", "--config", str(settings), "--name", name]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "edge_daemon", *words, "--inventory", str(folder / "names.txt")],
            env={**os.environ, "NOTIFY_SOCKET": str(folder / f"{name}.sock")},
            stdout=subprocess.PIPE,
            text=True,
        )

    def until_said(self, *words: str) -> None:
        """Its manager has heard all of this."""
        heard = ""
        while not all(word in heard for word in words):
            heard += self._socket.recv(4096).decode()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(PATIENCE_S)
        self._socket.close()

    def end(self) -> tuple[int, str]:
        """Its exit code at SIGTERM, and what it printed."""
        self._process.send_signal(signal.SIGTERM)
        printed, _ = self._process.communicate(timeout=PATIENCE_S)
        return self._process.returncode, printed


@pytest.fixture
def settings(tmp_path: Path, broker: Mosquitto) -> Path:
    """A campaign that two keys signed lies at the broker; nobody has opened anything."""
    now = time.time()
    made = campaign(canaries=["cam1"], waves=[1e-9, 1.0], not_before=now, expires=now + 3600.0)
    keys = [generate_keypair(tmp_path, name) for name in ("ops", "release")]
    envelope = None
    for private, _ in keys:
        envelope = sign(canonical(made), messages.KIND, private, envelope)
    assert envelope is not None
    publish(broker, {messages.campaign_topic(made.id): envelope})
    (tmp_path / "names.txt").write_text("cam1\ncam2\n")
    trusted = ", ".join(str(public) for _, public in keys)
    return settings_file(tmp_path, broker, f"fleet: {{trust: {{keys: [{trusted}]}}}}\n")


def test_a_campaign_that_it_does_not_follow_is_told_with_the_reason(
    tmp_path: Path, settings: Path, broker: Mosquitto
) -> None:
    """Whoever waits for it learns why nothing opens."""
    stranger, _ = generate_keypair(tmp_path, "stranger")
    made = campaign(id="forged", serial=500)
    envelope = sign(canonical(made), messages.KIND, stranger)
    publish(broker, {messages.campaign_topic("forged"): envelope})
    with ExitStack() as undo:
        service = Service(tmp_path, settings, "a")
        undo.callback(service.kill)
        service.until_said("1 of 1 stations have not answered: cam1", "WATCHDOG=1")
        _, printed = service.end()
    (told,) = (line for line in printed.splitlines() if "forged" in line)
    assert told.startswith("fleet/forged/campaign is not followed: ")


def test_two_services_open_one_wave_and_end_at_sigterm(tmp_path: Path, settings: Path) -> None:
    with ExitStack() as undo:
        services = [Service(tmp_path, settings, name) for name in ("a", "b")]
        for each in services:
            undo.callback(each.kill)
        waits = "1 of 1 stations have not answered: cam1"
        for each in services:
            each.until_said("READY=1", "WATCHDOG=1", waits)
        with Client.of(settings) as client:
            kept = client.all_retained(["fleet/+/open/+"])
        assert [topic.rpartition("/")[2] for topic in kept] == ["0"]
        for each in services:
            code, printed = each.end()
            assert code == 0
            assert waits in printed
