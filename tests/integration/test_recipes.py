"""configs/RECIPES.md: what stands there works as it stands there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_daemon.messaging import api
from edge_daemon.messaging.topics import is_match
from tests.sim.device import Device, wait_until
from tests.sim.mosquitto import new_mosquitto

CONFIGS = Path(__file__).parents[2] / "configs"
BLOCK = re.compile(r"^```(sh|sh setup|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall((CONFIGS / "RECIPES.md").read_text())
SETUP = next(text for kind, text in BLOCKS if kind == "sh setup")
ROOT = "edge/line3-cam1"
OLD, NEW, CAN = "bottle@1.3.0", "bottle@1.4.0", "can@1.0.0"

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def station() -> Iterator[tuple[Device, Path]]:
    settings = {
        "device": "line3-cam1",
        "orders": [{"topic": "mes/line3/work_orders", "preset": "flat"}],
        "links": {"BTL-500": "bottle", "CAN-330": "can"},
        "trial": {"frames": 1_000_000, "seconds": 600.0, "latency_ratio": 100.0},
    }
    with new_mosquitto() as broker, Device(OLD, NEW, CAN, broker=broker, settings=settings) as made:
        made.await_active(OLD, online=True)
        os.environ["PORT"] = str(broker.port)
        yield made, made.folder
        del os.environ["PORT"]


def run(text: str, kind: str, folder: Path) -> str:
    program = [sys.executable, "-c", text] if kind == "python" else ["bash", "-ec", SETUP + text]
    done = subprocess.run(
        program, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which("mosquitto_pub") is None, reason="needs mosquitto-clients")
def test_every_recipe_does_what_it_says(station: tuple[Device, Path]) -> None:
    """One after the other, as a reader would type them."""
    device, folder = station
    recipes = [(kind, text) for kind, text in BLOCKS if kind != "sh setup"]
    state, swap, order, verdicts, picture, ask, count = recipes
    assert json.loads(run(state[1], state[0], folder))["active"]["model"] == OLD
    outcome = json.loads(run(swap[1], swap[0], folder))
    assert (outcome["status"], outcome["receipt"]["to"]) == ("succeeded", NEW)
    assert f"{NEW} -> {OLD} from frame" in run(ask[1], ask[0], folder)
    run(order[1], order[0], folder)
    wait_until(lambda: device.active == CAN, "the order's model")
    results = [json.loads(line) for line in run(verdicts[1], verdicts[0], folder).splitlines()]
    assert {result["job_order"] for result in results} == {"WO-18"}
    run(picture[1], picture[0], folder)
    assert (folder / "now.jpg").read_bytes().startswith(b"\xff\xd8")
    assert "up to frame" in run(count[1], count[0], folder)


def test_the_node_red_flow_hangs_together() -> None:
    """Every wire leads to a node, every topic is one of the document."""
    flow = json.loads((CONFIGS / "node-red.json").read_text())
    nodes = {node["id"]: node for node in flow}
    assert len(nodes) == len(flow)
    topics = [c["address"] for c in api.document(ROOT, [])["channels"].values()]
    for node in flow:
        assert all(target in nodes for wire in node.get("wires", []) for target in wire)
        if node["type"].startswith("mqtt "):
            assert nodes[node["broker"]]["type"] == "mqtt-broker"
            assert any(is_match(node["topic"], topic) for topic in topics), node["topic"]
            assert node.get("retain", "false") == "false"
