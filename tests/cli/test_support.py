"""The archive for a support case holds what helps, and no secret in any of its files."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from edge_daemon import config
from edge_daemon.cli.main import app
from edge_daemon.cli.support import hidden, known_settings
from tests.sim.device import Device, wait_until

B1 = "bottle@1.0.0"
CONFIGS = Path(__file__).parents[2] / "configs"
SECRETS = ("hunter2", "s3cr3t", "tok-123456")


@pytest.fixture(autouse=True)
def quick_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine section starts workers and imports torch: it has its own tests."""
    monkeypatch.setattr("edge_daemon.cli.check.check_machine", lambda settings: [])


def unpacked(device: Device, target: Path, *arguments: str) -> dict[str, str]:
    command = ["support-bundle", "-o", str(target), *arguments, "--config", str(device.config)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert target.stat().st_mode & 0o077 == 0
    files = {}
    with tarfile.open(target) as archive:
        for member in archive.getmembers():
            content = archive.extractfile(member)
            assert content is not None
            files[member.name.partition("/")[2]] = content.read().decode()
    return files


def test_the_archive_of_a_running_station_is_whole(tmp_path: Path) -> None:
    """Settings, check, status, versions, log, history, audit trail."""
    with Device(B1) as device:
        device.await_active(B1)
        wait_until(lambda: '"event": "swapped"' in device.log.read_text(), "the swap's line")
        files = unpacked(device, tmp_path / "case.tar.gz", "--log", str(device.log))
    assert json.loads(files["status.json"])["model"]["active"]["model"] == B1
    assert json.loads(files["history.json"])[0]["to"] == B1
    assert json.loads(files["audit.json"])["faults"] == []
    assert json.loads(files["check.json"])["findings"]
    assert "paho-mqtt" in files["versions.txt"]
    assert '"event": "swapped"' in files["log.jsonl"]
    assert "bottle" in files["config.yaml"]


def test_no_secret_is_in_any_file(tmp_path: Path) -> None:
    """URLs, passwords in comments, tokens in the log: none leaves the box."""
    device = Device(B1)
    document = yaml.safe_load(device.config.read_text())
    document["camera"]["source"] = "rtsp://admin:hunter2@127.0.0.1:1/stream"
    (device.folder / "pw").write_text("s3cr3t")
    document["mqtt"].update(username="u", password_file=str(device.folder / "pw"))
    device.config.write_text(yaml.safe_dump(document) + "# the old one was s3cr3t\n")
    log = tmp_path / "log"
    key = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n"
    said = '{"event":"x","url":"rtsp://admin:hunter2@cam"}\ntoken=tok-123456\n'
    log.write_text(said + key + json.dumps({"event": "y", "key": key}) + "\n")
    files = unpacked(device, tmp_path / "case.tar.gz", "--log", str(log))
    for name, content in files.items():
        for secret in SECRETS:
            assert secret not in content, name
    assert "rtsp://127.0.0.1:1/stream" in files["config.yaml"]
    assert "rtsp://127.0.0.1:1/stream" in files["settings.json"]
    shutil.rmtree(device.folder)


def test_bad_settings_still_make_an_archive(tmp_path: Path) -> None:
    """Where the settings are what is wrong, the case needs them most."""
    device = Device(B1)
    device.config.write_text("device: cam1\ncamera: {sauce: s3cr3t}\nmqtt: s3cr3t\n")
    files = unpacked(device, tmp_path / "case.tar.gz")
    assert yaml.safe_load(files["config.yaml"]) == {
        "device": "cam1",
        "camera": {"sauce": "***"},
        "mqtt": "***",
    }
    assert "sauce" in files["check.json"]
    assert "status.json" not in files


def test_what_cannot_be_had_is_told_in_its_place(tmp_path: Path) -> None:
    """A station that does not run has no status: the file says why, the rest is there."""
    files = unpacked(Device(B1), tmp_path / "case.tar.gz")
    assert files["status.json"].startswith("Left out: No broker answers")
    assert "has never run" in files["history.json"]
    assert files["versions.txt"]


def test_every_setting_that_is_known_is_shown() -> None:
    """The whole example file, but for its user names; what nobody reads is hidden."""
    written = config.parse((CONFIGS / "station.yaml").read_text("utf-8")).value
    assert known_settings(written) == written
    orders = [
        {"topic": "a/b", "fields": {"order": "x", "secret": "y"}, "words": {"running": ["r"]}}
    ]
    shown = known_settings({"links": {"BTL-500": "bottle"}, "orders": orders, "x": [{"y": 1}]})
    orders[0]["fields"] = {"order": "x", "secret": "***"}
    assert shown == {"links": {"BTL-500": "bottle"}, "orders": orders, "x": [{"y": "***"}]}


def test_hiding_reaches_into_documents() -> None:
    """Keys that hold secrets, at any depth; the rest stays as it is."""
    plain = {"a": [{"password": "x", "n": 1}], "token": "y", "password_file": "/etc/pw"}
    assert hidden(plain) == {
        "a": [{"password": "***", "n": 1}],
        "token": "***",
        "password_file": "/etc/pw",
    }
