"""Which way a command goes: by the broker, unless that would be in the daemon's own name."""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_daemon import config
from edge_daemon.cli.station import Station, read_retained
from edge_daemon.config import Settings
from edge_daemon.messaging.client import Client
from edge_daemon.messaging.topics import Topics
from tests.sim.mosquitto import Mosquitto


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="ed-"))  # the path of a socket must be short
    yield made
    shutil.rmtree(made)


def settings(folder: Path, **mqtt: object) -> Settings:
    for name in ("ca", "cam1"):
        (folder / f"{name}.pem").write_text("")
    file = folder / "cam1.yaml"
    file.write_text(
        json.dumps(
            {
                "device": "cam1",
                "mqtt": mqtt,
                "camera": {"source": "conveyor:"},
                "models": {"trust": {"required": False}},
                "state_dir": str(folder),
            }
        )
    )
    return config.load(file)


def test_nobody_asks_a_broker_in_the_daemons_own_name(folder: Path) -> None:
    """A broker that binds ids to certificates would end the session of the daemon beside us."""
    tls = {"ca": "ca.pem", "certificate": "cam1.pem", "key": "cam1.pem"}
    assert not Station(settings(folder, tls=tls)).is_local  # it runs elsewhere, or not at all
    (folder / "cam1").mkdir()
    with socket.socket(socket.AF_UNIX) as served:
        served.bind(str(folder / "cam1" / "control.sock"))
        served.listen()
        assert Station(settings(folder, tls=tls)).is_local
        assert not Station(settings(folder, tls={"ca": "ca.pem"})).is_local
        assert not Station(settings(folder)).is_local
        assert Station(settings(folder), local=True).is_local


def test_what_no_daemon_says_is_passed_over() -> None:
    """Anybody who may write there can leave a message that is nested without end."""

    class Heard:
        topics = Topics("edge/cam1")

        def retained(self, topics: list[str]) -> dict[str, bytes]:
            said = {"edge/cam1/status": b"[" * 100_000, "edge/cam1/health": b"{}"}
            return {topic: said[topic] for topic in topics if topic in said}

    assert dict(read_retained(Heard()).parts) == {"health": {}}  # type: ignore[arg-type]


@pytest.mark.broker
def test_a_request_keeps_its_id_when_it_goes_the_other_way(
    folder: Path, fresh_broker: Mosquitto
) -> None:
    """A daemon that heard it by the broker, and whose answer was lost, does nothing twice."""
    heard: list[str] = []
    station = Station(settings(folder, port=fresh_broker.port))
    (folder / "cam1").mkdir()
    with socket.socket(socket.AF_UNIX) as served, Client.of(station.settings) as mute:
        served.bind(str(folder / "cam1" / "control.sock"))
        served.listen()
        thread = threading.Thread(target=answer_one, args=(served, heard), daemon=True)
        thread.start()
        mute.publish(mute.topics.status, b'{"state": "online", "since": null}', retain=True)
        mute.listen(mute.topics.request("rollback"), lambda _, body: heard.append(id_in(body)))
        (outcome,) = station.request("rollback", {"by": "ops"}, timeout_s=1.0)
        thread.join()
    assert outcome["status"] == "succeeded"
    assert len(heard) == 2
    assert len(set(heard)) == 1


def id_in(body: bytes) -> str:
    return str(json.loads(body)["id"])


def answer_one(served: socket.socket, heard: list[str]) -> None:
    """The control socket: whoever only looks whether somebody is there asks nothing."""
    while True:
        asked, _ = served.accept()
        with asked, asked.makefile("rwb") as lines:
            if line := lines.readline():
                heard.append(id_in(line))
                lines.write(b'{"status": "succeeded"}\n')
                return
