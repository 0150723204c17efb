"""`edge-daemon sources`: what is configured, what is new there, and to fetch it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge_daemon.cli.main import app
from tests.sim.bundles import make_bundle


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
