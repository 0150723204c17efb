"""What is handed to systemd: valid, confined, and explained."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edge_daemon.host.journald import message_id

ROOT = Path(__file__).parents[2]
SYSTEMD = ROOT / "systemd"
UNIT = SYSTEMD / "edge-daemon@.service"
EVALUATOR = SYSTEMD / "edge-daemon-fleet.service"
DROP_INS = sorted((SYSTEMD / "drop-ins").glob("*.conf"))
MOST_EXPOSURE = 1.8

needs_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on this machine"
)


def _install(folder: Path, *drop_ins: Path) -> Path:
    unit = folder / "edge-daemon@line1.service"
    text = UNIT.read_text().replace("/opt/edge-daemon/bin/edge-daemon", "/bin/true")
    unit.write_text(text)
    beside = folder / "edge-daemon@line1.service.d"
    beside.mkdir()
    for file in drop_ins:
        shutil.copy(file, beside)
    return unit


def _analyze(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *words], capture_output=True, text=True, check=False, timeout=60
    )


@needs_analyze
@pytest.mark.parametrize("drop_in", [None, *DROP_INS], ids=lambda file: file and file.name)
def test_systemd_knows_every_word(tmp_path: Path, drop_in: Path | None) -> None:
    """The unit, with and without each drop-in, gives no complaint that is its own."""
    unit = _install(tmp_path, *([drop_in] if drop_in else []))
    told = _analyze("verify", "--man=no", str(unit)).stderr
    assert [
        line for line in told.splitlines() if "edge-daemon" in line or str(tmp_path) in line
    ] == []


@needs_analyze
def test_systemd_knows_the_publishers_timer(tmp_path: Path) -> None:
    for file in SYSTEMD.glob("edge-daemon-fleet-timestamp.*"):
        text = file.read_text().replace("/opt/edge-daemon/bin/edge-daemon", "/bin/true")
        (tmp_path / file.name).write_text(text)
    timer = tmp_path / "edge-daemon-fleet-timestamp.timer"
    told = _analyze("verify", "--man=no", str(timer)).stderr
    assert [line for line in told.splitlines() if "edge-daemon" in line] == []


def test_the_publishers_timer_is_off_until_a_person_enables_it() -> None:
    """The package brings it, stops it when it goes, and nothing enables it."""
    unit = (SYSTEMD / "edge-daemon-fleet-timestamp.service").read_text()
    assert "fleet timestamp --repository" in unit
    package = (SYSTEMD / "deb/nfpm.yaml").read_text()
    assert package.count("dst: /usr/lib/systemd/system/edge-daemon-fleet-timestamp.") == 2
    for script in ("prerm", "postrm"):
        assert "edge-daemon-fleet-timestamp.timer" in (SYSTEMD / "deb" / script).read_text()


@needs_analyze
@pytest.mark.parametrize("drop_in", [None, *DROP_INS], ids=lambda file: file and file.name)
def test_a_station_is_little_exposed(tmp_path: Path, drop_in: Path | None) -> None:
    """systemd's own measure of confinement stays at 1.8 or below, on every kind of box."""
    unit = _install(tmp_path, *([drop_in] if drop_in else []))
    told = _analyze("security", "--offline=true", "--no-pager", str(unit)).stdout
    found = re.search(r"exposure level for \S+: ([\d.]+)", told)
    assert found is not None, told
    assert float(found[1]) <= MOST_EXPOSURE


def _install_evaluator(folder: Path) -> Path:
    unit = folder / EVALUATOR.name
    unit.write_text(EVALUATOR.read_text().replace("/opt/edge-daemon/bin/edge-daemon", "/bin/true"))
    return unit


@needs_analyze
def test_the_evaluator_is_valid_and_little_exposed(tmp_path: Path) -> None:
    """No complaint, and it needs less than a station: no device, no part of /proc but its own."""
    unit = _install_evaluator(tmp_path)
    told = _analyze("verify", "--man=no", str(unit)).stderr
    assert [line for line in told.splitlines() if "edge-daemon" in line] == []
    told = _analyze("security", "--offline=true", "--no-pager", str(unit)).stdout
    found = re.search(r"exposure level for \S+: ([\d.]+)", told)
    assert found is not None, told
    assert float(found[1]) <= MOST_EXPOSURE


def test_the_evaluator_is_watched_comes_back_and_is_not_enabled_by_itself() -> None:
    """Its words are options that exist; the package brings it, and a person enables it."""
    lines = EVALUATOR.read_text().splitlines()
    wanted = {"Type=notify", "WatchdogSec=60", "Restart=always", "RestartPreventExitStatus=2 78"}
    assert wanted <= set(lines)
    package = (SYSTEMD / "deb/nfpm.yaml").read_text()
    assert "dst: /usr/lib/systemd/system/edge-daemon-fleet.service" in package
    for script in ("postinst", "prerm", "postrm"):
        text = (SYSTEMD / "deb" / script).read_text()
        assert "edge-daemon-fleet.service" in text
        assert "systemctl enable" not in text


@pytest.mark.parametrize("word", ["PrivateDevices", "MemoryDenyWriteExecute", "ProcSubset"])
def test_nothing_that_breaks_inference_is_set(word: str) -> None:
    """Each of these stops CUDA or torch."""
    for file in (UNIT, *DROP_INS):
        assert not re.search(rf"^{word}=", file.read_text(), re.MULTILINE), file.name


def test_the_daemon_is_watched_and_comes_back() -> None:
    """Its word is heard, silence is noticed, and only a bad configuration is final."""
    lines = UNIT.read_text().splitlines()
    for line in (
        "Type=notify",
        "NotifyAccess=main",
        "WatchdogSec=10",
        "Restart=always",
        "RestartPreventExitStatus=78",
        "KillMode=mixed",
        "OOMPolicy=continue",
        "LimitNICE=+0",
    ):
        assert line in lines


def _explained() -> dict[str, str]:
    text = (SYSTEMD / "edge-daemon.catalog").read_text()
    return dict(re.findall(r"^# (\w+)\n-- ([0-9a-f]{32})$", text, re.MULTILINE))


def test_the_catalog_explains_events_that_exist() -> None:
    """Every id is that of the event above it, every event is one of the daemon's, none twice."""
    explained = _explained()
    assert len(explained) == (SYSTEMD / "edge-daemon.catalog").read_text().count("\n-- ")
    source = "\n".join(file.read_text() for file in (ROOT / "edge_daemon").rglob("*.py"))
    for event, known_by in explained.items():
        assert known_by == message_id(event), event
        assert f'"{event}"' in source, event


def test_the_catalog_explains_what_a_technician_meets() -> None:
    """What goes wrong at a line, and is not the program's fault, has a text."""
    assert {
        "broker_lost",
        "camera_lost",
        "order_refused",
        "picture_bad",
        "request_refused",
        "state_not_saved",
        "subscription_refused",
    } <= set(_explained())


@pytest.mark.skipif(shutil.which("journalctl") is None, reason="journalctl is not on this machine")
def test_journalctl_reads_the_catalog(tmp_path: Path) -> None:
    """The journal's own compiler takes every entry."""
    for folder in ("usr/lib/systemd/catalog", "var/lib/systemd/catalog"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(SYSTEMD / "edge-daemon.catalog", tmp_path / "usr/lib/systemd/catalog")
    for words in (["--update-catalog"], ["--list-catalog"]):
        told = subprocess.run(
            ["journalctl", f"--root={tmp_path}", *words],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
    assert len(told.splitlines()) == len(_explained())


def test_lnav_walks_a_swap() -> None:
    """The format is JSON, names our fields, and shows the id that swaps are walked by."""
    document = json.loads((SYSTEMD / "edge-daemon.lnav.json").read_text())
    format_ = document["edge_daemon_log"]
    shown = {part["field"] for part in format_["line-format"] if isinstance(part, dict)}
    assert format_["opid-field"] in shown
    assert format_["timestamp-field"] == "timestamp"
