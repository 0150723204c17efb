"""The whole way round on a real station: collected, exported, labelled, and evidence again."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge_daemon.cli.main import app
from edge_daemon.collecting.catalogue import Catalogue, Collected
from tests.integration.test_parts import Plc, station
from tests.sim.device import wait_until
from tests.sim.mosquitto import free_port

pytestmark = pytest.mark.broker

PARTS = {"by": "trigger", "window_ms": [0, 100], "deadline_ms": 5000}


def kept(folder: Path) -> list[Collected]:
    return list(Catalogue(folder))


def trigger(plc: Plc, count: int) -> None:
    for number in range(count):
        plc.ask("trigger", id=f"SN-{number}", serial=f"S{number}")
        wait_until(lambda n=number: len(plc.told("part")) > n, f"part {number}")


def label_all_otherwise(file: Path) -> None:
    """A person says the contrary of every verdict, as Label Studio exports it."""
    tasks = json.loads(file.read_text())
    for task in tasks:
        (said,) = task["predictions"]
        choice = next(each for each in said["result"] if each["type"] == "choices")
        verdict = "ok" if choice["value"]["choices"] == ["ng"] else "ng"
        choice["value"]["choices"] = [verdict]
        task["annotations"] = [{"id": 1, "result": [choice]}]
        task["predictions"] = []
    file.write_text(json.dumps(tasks))


def test_a_person_s_labels_come_back_as_words_on_their_parts(tmp_path: Path) -> None:
    """Each part has one picture with its serial; each label is feedback; what it contradicts is
    filed as overruled."""
    port = free_port()
    collect = {"folder": str(tmp_path / "kept"), "reasons": {"audit": "all", "overruled": "all"}}
    with station(PARTS, collect=collect, http={"listen": f"127.0.0.1:{port}"}) as (device, plc):
        trigger(plc, 4)
        wait_until(
            lambda: sum(e.record.parts[0].told is not None for e in kept(tmp_path / "kept")) == 4,
            "the results beside four pictures",
        )
        shown = [each.record.parts for each in kept(tmp_path / "kept")]
        assert [len(each) for each in shown] == [1] * 4
        assert sorted(each[0].told.serial or "" for each in shown if each[0].told) == [
            "S0",
            "S1",
            "S2",
            "S3",
        ]
        config = ["--config", str(device.config)]
        studio = ["--format", "label-studio", str(tmp_path / "set")]
        out = CliRunner().invoke(app, ["collect", "export", *studio, *config])
        assert out.exit_code == 0, out.output
        label_all_otherwise(tmp_path / "set" / "tasks.json")
        file = str(tmp_path / "set" / "tasks.json")
        back = CliRunner().invoke(app, ["collect", "import", file, "--json", *config])
        assert back.exit_code == 0, back.output
        told = json.loads(back.stdout)
        assert (told["labelled"], told["feedback"], told["fault"]) == (4, 4, "")
        wait_until(
            lambda: {e.record.leading.value for e in kept(tmp_path / "kept")} == {"overruled"},
            "four overruled parts",
        )
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            metrics = answer.read().decode()
    assert 'edge_collected_total{reason="audit"} 4.0' in metrics
    assert metrics.count("edge_feedback_total{") >= 1
    assert all(each.truth is not None for each in kept(tmp_path / "kept"))
