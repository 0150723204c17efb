"""`edge-daemon sources`: what is configured, what is new there, and to fetch it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge_daemon.cli.main import app
from tests.sim.bundles import make_bundle, noise
from tests.sim.web_shelf import WebShelf


@pytest.fixture
def station(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    (tmp_path / "usb").mkdir()
    file = tmp_path / "station.yaml"
    file.write_text(
        "device: d\ncamera: {source: 'conveyor:'}\nstate_dir: state\n"
        "models: {store: store, trust: {required: false}}\n"
        "sources: [{folder: usb, models: {bottle: newest, can: newest}}]\n"
    )
    return file


def run(station: Path, *words: str, ends: int = 0) -> str:
    result = CliRunner().invoke(app, ["sources", *words, "--config", str(station)])
    assert result.exit_code == ends, result.output
    return result.stdout


def test_list_check_pull(station: Path) -> None:
    """Checked first, fetched then; a second pull finds it there."""
    usb = station.parent / "usb"
    assert "bottle: newest" in run(station, "list")
    assert json.loads(run(station, "list", "--json"))[0]["kind"] == "folder"
    make_bundle(usb, "bottle@1.2.0")
    states = {line["name"]: line["state"] for line in json.loads(run(station, "check", "--json"))}
    assert states == {"bottle": "new", "can": "nothing"}
    asked = "nothing is offered. There is no folder can. Is it plugged in, or mounted?"
    assert asked in run(station, "check")
    assert not (station.parent / "store/bottle").exists()
    assert "bottle@1.2.0  came into the store" in run(station, "pull", "bottle")
    assert (station.parent / "store/bottle/1.2.0/model.yaml").exists()
    assert "bottle@1.2.0  is in the store" in run(station, "pull")


def test_what_is_refused_fails_and_says_why(station: Path) -> None:
    """As does a source that is not there; the other names are fetched all the same."""
    usb = station.parent / "usb"
    (make_bundle(usb, "bottle@1.2.0") / "weights.pt").write_bytes(b"short")
    make_bundle(usb, "can@1.0.0")
    lines = json.loads(run(station, "pull", "--json", ends=1))
    assert [(line["name"], line["state"]) for line in lines] == [
        ("bottle", "refused"),
        ("can", "pulled"),
    ]
    assert lines[0]["error"]["code"] == "digest_mismatch"
    usb.rename(station.parent / "pulled-out")
    assert "failed: " in run(station, "check", ends=1)
    run(station, "pull", "unknown", ends=1)


def test_what_came_twice_is_told(tmp_path: Path) -> None:
    """Of a server that cannot begin within a file: the first pull was cut, the second says it."""
    web = WebShelf(tmp_path / "web")
    make_bundle(web.root, "bottle@1.2.0", weights=noise("large", 600_000))
    (web.root / "bottle/versions.txt").write_text("1.2.0\n")
    (tmp_path / "store").mkdir()
    file = tmp_path / "station.yaml"
    with web.serving():
        web.no_ranges, web.hang_ups = True, 1
        file.write_text(
            "device: d\ncamera: {source: 'conveyor:'}\nstate_dir: state\n"
            "models: {store: store, trust: {required: false}}\n"
            f"sources: [{{http: '{web.url}', models: {{bottle: newest}}}}]\n"
        )
        said = run(file, "pull")
    assert re.search(r"came into the store\. \S+ kB came twice: the server cannot begin", said)


def test_a_log_line_is_no_part_of_the_answer(station: Path) -> None:
    """What a room logs goes to stderr: a program reads stdout."""
    (station.parent / "state/d").mkdir(parents=True)
    (station.parent / "state/d/sources.json").write_text("nonsense")
    result = CliRunner().invoke(app, ["sources", "check", "--json", "--config", str(station)])
    assert "source_memory_not_read" in result.stderr
    assert [line["name"] for line in json.loads(result.stdout)] == ["bottle", "can"]
