"""From weights to judged parts: the commands that a newcomer types, one after the other."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest

from tests.sim.device import wait_until
from tests.sim.iotcore import EmbeddedBroker
from tests.sim.mosquitto import free_port

WEIGHTS = Path("edge_daemon/demo/bundles/bottle/1.1.0/weights.pt").absolute()
ROOT = Path(__file__).parents[2]
MOST_COMMANDS = 10


class Walk:
    """Types commands and counts them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.typed: list[str] = []
        self._environment = {
            **{name: value for name, value in os.environ.items() if name != "EDGE_DAEMON_CONFIG"},
            "PYTHONPATH": str(ROOT),
        }

    def start(self, command: str) -> subprocess.Popen[str]:
        self.typed.append(command)
        program, *words = shlex.split(command)
        assert program == "edge-daemon"
        return subprocess.Popen(
            [sys.executable, "-m", "edge_daemon", *words],
            cwd=self.folder,
            env=self._environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def type(self, command: str) -> str:
        process = self.start(command)
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 0, f"{command}\n{said}"
        return said


@pytest.mark.model
@pytest.mark.timeout(300)
def test_best_pt_becomes_judged_parts_in_ten_commands(tmp_path: Path) -> None:
    """init, pack, check, run; the commands are those that each one names as the next."""
    (tmp_path / "best.pt").write_bytes(WEIGHTS.read_bytes())
    broker = EmbeddedBroker(5).start()
    walk = Walk(tmp_path)
    said = walk.type(
        "edge-daemon init --device cam1 --camera 'conveyor:?fps=10&defects=1'"
        f" --broker 127.0.0.1:{broker.port} --model bottle --product BTL-500"
        f" --http 127.0.0.1:{free_port()} --yes"
    )
    pack, check = (line.strip() for line in said.splitlines() if line.startswith("  edge-daemon"))
    walk.type(pack.replace("DEFECT,...", "scratch,dent"))
    found = json.loads(walk.type(f"{check} --json"))
    assert found["ok"], found
    parts = heard(broker, "edge/cam1/part")
    daemon = walk.start("edge-daemon run --config cam1.yaml")
    try:
        wait_until(lambda: any(each["verdict"] == "ng" for each in parts), "a rejected part")
        status = json.loads(walk.type("edge-daemon status --config cam1.yaml --json"))
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.communicate(timeout=30)
        broker.stop()
    assert status["model"]["active"]["model"] == "bottle@1.0.0"
    rejected = next(each for each in parts if each["verdict"] == "ng")
    assert rejected["model"] == "bottle@1.0.0"
    assert set(rejected["causes"]) <= {"scratch", "dent"}
    assert len(walk.typed) <= MOST_COMMANDS


def heard(broker: EmbeddedBroker, topic: str) -> list[dict[str, Any]]:
    """What is told on a topic from now on."""
    told: list[dict[str, Any]] = []
    ready = threading.Event()
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.on_message = lambda _client, _data, message: told.append(json.loads(message.payload))
    client.on_subscribe = lambda *_: ready.set()
    client.connect(broker.host, broker.port)
    client.subscribe(topic, 1)
    client.loop_start()
    assert ready.wait(30.0)
    return told
