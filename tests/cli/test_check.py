"""`check` names each fault that was planted, with a remedy; and finds nothing where nothing is."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_daemon.cli.check import Section, examine
from edge_daemon.cli.checks import camera as camera_room
from edge_daemon.cli.checks import machine
from edge_daemon.cli.checks.certificates import check_certificates
from edge_daemon.cli.checks.finding import Finding, Level
from edge_daemon.cli.checks.service import judge_unit
from edge_daemon.config import Settings, TlsSettings, load
from edge_daemon.models.trust import generate_keypair
from edge_daemon.slots.starter import Start
from tests.sim.command import command
from tests.sim.device import Device, sim_bundle
from tests.sim.mosquitto import Mosquitto, free_port, new_mosquitto, strict_broker

B1 = "bottle@1.0.0"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def still(broker: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    """A station that is in order and does not run."""
    monkeypatch.setattr(camera_room, "LOOK_S", 0.2)
    device = Device(B1, "can@1.0.0", broker=broker)
    yield device
    shutil.rmtree(device.folder)


def change(device: Device, **groups: Any) -> None:
    """Change keys of the settings file."""
    document = yaml.safe_load(device.config.read_text())
    for group, value in groups.items():
        old = document.get(group)
        both = isinstance(value, dict) and isinstance(old, dict)
        document[group] = {**old, **value} if both else value
    device.config.write_text(yaml.safe_dump(document))


def look(device: Device, section: Section) -> list[Finding]:
    found, _ = examine(device.config, [section])
    return list(found[section.value])


def faults(device: Device, section: Section) -> list[Finding]:
    return [one for one in look(device, section) if one.level in {Level.ERROR, Level.WARNING}]


@pytest.mark.broker
@pytest.mark.parametrize("section", [Section.CAMERA, Section.BROKER, Section.MODELS])
def test_a_good_station_has_no_error(still: Device, section: Section) -> None:
    """Nothing is cried where nothing is wrong, and something is said all the same."""
    found = look(still, section)
    assert found
    assert not [one for one in found if one.level is Level.ERROR], found


Plant = Callable[[Device, Path], None]


def _corrupt(device: Device, _: Path) -> None:
    weights = device.store / "bottle" / "1.0.0" / "weights-good.pt"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")


def _require_signatures(device: Device, folder: Path) -> None:
    _, public = generate_keypair(folder, "line")
    change(device, models={"trust": {"public_keys": [str(public)], "required": True}})


def _break_key(device: Device, folder: Path) -> None:
    (folder / "line.pub").write_text("no key")
    trust = {"public_keys": [str(folder / "line.pub")], "required": True}
    change(device, models={"trust": trust})


def _open_password(device: Device, folder: Path) -> None:
    (folder / "password").write_text("secret")
    (folder / "password").chmod(0o644)
    change(device, mqtt={"username": "u", "password_file": str(folder / "password")})


def _garbage_video(device: Device, folder: Path) -> None:
    (folder / "line.mp4").write_bytes(b"not a video" * 100)
    change(device, camera={"source": str(folder / "line.mp4")})


def _hold_port(device: Device, folder: Path) -> None:
    held = socket.create_server(("127.0.0.1", 0))
    change(device, http={"listen": f"127.0.0.1:{held.getsockname()[1]}"})
    HELD.append(held)


def _desire(text: str) -> Plant:
    def plant(device: Device, folder: Path) -> None:
        (folder / "desired.yaml").write_text(text)
        change(device, desired={"file": str(folder / "desired.yaml")})

    return plant


def _copy_to(device: Device, folder: Path, key: str, **more: str | None) -> None:
    secret = folder / "secret"
    secret.write_text("secret")
    secret.chmod(0o600)
    port = free_port()
    sftp: dict[str, Any] = {"host": "127.0.0.1", "port": port, "user": "u", "folder": "/"}
    sftp |= {"password_file": str(secret), "known_hosts_file": str(folder / "known_hosts")}
    (folder / "known_hosts").write_text("")
    s3 = {"endpoint": "http://127.0.0.1:9", "bucket": "pictures", "access_key_id": "u"}
    wanted = {
        "copy_to_sftp": sftp,
        "copy_to_s3": {**s3, "secret_key_file": str(secret)},
    }
    pictures = {"folder": str(folder / "kept"), key: {**wanted[key], **more}}
    change(device, results={"pictures": pictures})


HELD: list[socket.socket] = []


PLANTED: list[tuple[str, Section, Plant, str]] = [
    (
        "password file missing",
        Section.CONFIGURATION,
        lambda d, f: change(d, mqtt={"username": "u", "password_file": str(f / "none")}),
        "mqtt.password_file",
    ),
    (
        "certificate missing",
        Section.CONFIGURATION,
        lambda d, f: change(d, mqtt={"tls": {"ca": str(f / "ca.pem")}}),
        "ca.pem",
    ),
    ("password for all", Section.CONFIGURATION, _open_password, "Every user of this machine"),
    (
        "password in the clear",
        Section.CONFIGURATION,
        lambda d, _: change(d, camera={"source": "rtsp://user:secret@10.0.0.1/s"}),
        "camera.source",
    ),
    (
        "camera file missing",
        Section.CAMERA,
        lambda d, f: change(d, camera={"source": str(f / "none.mp4")}),
        "none.mp4",
    ),
    ("camera garbage", Section.CAMERA, _garbage_video, "no video"),
    (
        "camera refuses",
        Section.CAMERA,
        lambda d, _: change(d, camera={"source": f"rtsp://127.0.0.1:{free_port()}/stream"}),
        "127.0.0.1",
    ),
    (
        "no broker",
        Section.BROKER,
        lambda d, _: change(d, mqtt={"port": free_port()}),
        "No broker answers",
    ),
    (
        "desired state wrong",
        Section.CONFIGURATION,
        _desire("models:\n  BTL: can@1.0.0"),
        "desired.yaml:2: models.BTL: is linked to bottle",
    ),
    (
        "desired state not there",
        Section.CONFIGURATION,
        lambda d, folder: change(d, desired={"file": str(folder / "nowhere.yaml")}),
        "nothing is desired until it comes",
    ),
    (
        "desired model missing",
        Section.MODELS,
        _desire("models: {BTL: bottle@9.0.0}"),
        "bottle@9.0.0 is desired, and not in the store",
    ),
    ("store missing", Section.MODELS, lambda d, _: shutil.rmtree(d.store), "The store"),
    (
        "initial missing",
        Section.MODELS,
        lambda d, _: change(d, models={"initial": "bottle@9.0.0"}),
        "bottle@9.0.0 is not in the store",
    ),
    (
        "initial below its floor",
        Section.MODELS,
        lambda d, _: change(d, models={"floor": {"bottle": "2.0"}}),
        "bottle@1.0.0 is older than 2.0",
    ),
    (
        "link to nothing",
        Section.MODELS,
        lambda d, _: change(d, links={"JAR": "jar"}),
        "JAR is linked to jar",
    ),
    (
        "orders without links",
        Section.MODELS,
        lambda d, _: change(d, links=None) or change(d, links={}),
        "no product is linked",
    ),
    ("bundle corrupt", Section.MODELS, _corrupt, "digest"),
    ("bundle unsigned", Section.MODELS, _require_signatures, "model.sig"),
    ("key broken", Section.MODELS, _break_key, "line.pub"),
    (
        "bundle incomplete",
        Section.MODELS,
        lambda d, _: (d.store / "jar" / "1.0.0").mkdir(parents=True),
        "jar/1.0.0",
    ),
    (
        "bundle for another link",
        Section.MODELS,
        lambda d, _: sim_bundle(d.store, "bottle@1.5.0", products=["CAN"]) and None,
        "meant for CAN",
    ),
    (
        "share not mounted",
        Section.PICTURES,
        lambda d, f: change(d, results={"pictures": {"folder": str(f), "copy_to": str(f / "no")}}),
        "The folder of results.pictures.copy_to: the place to copy to is not there",
    ),
    (
        "archive not there",
        Section.PICTURES,
        lambda d, f: _copy_to(d, f, "copy_to_sftp"),
        "cannot be reached",
    ),
    (
        "archive's key missing",
        Section.CONFIGURATION,
        lambda d, f: _copy_to(d, f, "copy_to_sftp", key_file=str(f / "none"), password_file=None),
        "results.pictures.copy_to_sftp.key_file",
    ),
    (
        "bucket's server not there",
        Section.PICTURES,
        lambda d, f: _copy_to(d, f, "copy_to_s3"),
        "The bucket pictures at 127.0.0.1:9 cannot be reached",
    ),
    (
        "track without a part",
        Section.MODELS,
        lambda d, _: change(d, parts={"by": "track"}),
        "does not say what a part is, so parts.by: track counts none",
    ),
    ("port taken", Section.SERVICE, _hold_port, "cannot be listened on"),
]


@pytest.mark.broker
@pytest.mark.parametrize(
    ("section", "plant", "said"),
    [case[1:] for case in PLANTED],
    ids=[case[0].replace(" ", "-") for case in PLANTED],
)
def test_a_planted_fault_is_named_with_a_remedy(
    still: Device, tmp_path: Path, section: Section, plant: Plant, said: str
) -> None:
    """Each fault is told in its section by a sentence that names it, and a next step."""
    assert not [one for one in faults(still, section) if said in f"{one.name}: {one.message}"]
    plant(still, tmp_path)
    found = [one for one in faults(still, section) if said in f"{one.name}: {one.message}"]
    assert found, faults(still, section)
    assert all(one.remedy for one in faults(still, section))


@pytest.mark.broker
def test_a_broker_that_refuses_us_or_a_topic_is_told_apart() -> None:
    """Wrong password; a topic that the access list forgot: by name, with what to allow."""
    with strict_broker("topic readwrite edge/cam1/#", "topic deny edge/cam1/result") as strict:
        found = faults(Device(B1, broker=strict), Section.BROKER)
    refused = [one for one in found if one.name == "publish"]
    assert ["edge/cam1/result" in one.message for one in refused] == [True], found
    assert "edge/cam1" in refused[0].remedy
    with new_mosquitto("allow_anonymous false") as closed:
        found = faults(Device(B1, broker=closed), Section.BROKER)
        assert "does not let us in" in found[0].message


@pytest.mark.broker
def test_the_access_list_that_is_shipped_is_enough() -> None:
    """A station that may write its topics and read none of them is fine, running or not."""
    shipped = (ROOT / "configs/mosquitto/acl").read_text()
    rules = [
        line.replace("%u", "cam1").replace("pattern ", "topic ") for line in _patterns(shipped)
    ]
    with strict_broker(*rules) as strict:
        still = Device(B1, broker=strict)
        assert not [one for one in faults(still, Section.BROKER) if one.level is Level.ERROR]
        with Device(B1, broker=strict) as running:
            running.await_active(B1, online=True)
            assert not [one for one in faults(running, Section.BROKER) if one.level is Level.ERROR]


def _patterns(shipped: str) -> list[str]:
    return [line for line in shipped.splitlines() if line.startswith("pattern ")]


@pytest.mark.broker
def test_a_topic_of_the_running_daemon_that_does_not_arrive_is_named() -> None:
    """Nothing is published beside a running daemon; what it says is looked for."""
    with (
        strict_broker("topic readwrite edge/cam1/#", "topic deny edge/cam1/info") as strict,
        Device(B1, broker=strict) as running,
    ):
        running.await_active(B1, online=True)
        found = faults(running, Section.BROKER)
    assert any("edge/cam1/info is not at the broker" in one.message for one in found), found


@pytest.mark.parametrize(("days", "said"), [(-1, "expired"), (5, "expires in"), (400, None)])
def test_a_certificate_that_ends_is_named(tmp_path: Path, days: int, said: str | None) -> None:
    """Expired is an error, soon a warning, each with what to do."""
    path = tmp_path / "cam1.pem"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    make += ["-nodes", "-subj", "/CN=cam1", "-days", "400", "-keyout", "/dev/null", "-out", path]
    subprocess.run(make, check=True, capture_output=True)
    now = time.time() + (400 - days) * 86_400
    found = judged(check_certificates(TlsSettings(ca=path), now))
    assert [said in one.message for one in found if said] == ([True] if said else [])
    assert bool(found) is bool(said)


@pytest.mark.broker
def test_another_device_at_our_place_is_told(still: Device, broker: Mosquitto) -> None:
    """Two devices below one root would both answer."""
    change(still, mqtt={"root": "plant/line3"})
    with Device(
        B1,
        broker=broker,
        settings={"device": "cam2", "mqtt": {"port": broker.port, "root": "plant/line3"}},
    ) as other:
        other.await_active(B1, online=True)
        found = faults(still, Section.BROKER)
    assert any("cam2" in one.message for one in found), found


# --------------------------------------------------------------------------- the machine, judged


def judged(findings: Any) -> list[Finding]:
    return [one for one in findings if one.level in {Level.ERROR, Level.WARNING}]


@pytest.mark.parametrize(
    ("said", "device", "source", "named"),
    [
        ({"error": "no module"}, "cpu", "conveyor:", "torch cannot be used"),
        (
            {"torch": "2.10", "cuda": None, "error": "not compiled with CUDA"},
            "cuda:0",
            "conveyor:",
            "cannot use cuda:0",
        ),
        (
            {"torch": "2.10", "cuda": "12.8", "devices": 0, "error": "driver too old"},
            "cuda:0",
            "conveyor:",
            "driver too old",
        ),
        ({"torch": "2.10", "cv2": "5", "backends": []}, "cpu", "conveyor:", "ultralytics"),
        (
            {"torch": "2.10", "ultralytics": "8.4", "cv2": "5", "backends": ["V4L2"]},
            "cpu",
            "rtsp://10.0.0.1/s",
            "av, which the camera needs",
        ),
        (
            {"torch": "2.10", "ultralytics": "8.4", "cv2": "5", "backends": ["FFMPEG"]},
            "cpu",
            "/dev/video0",
            "no V4L2",
        ),
    ],
)
def test_libraries_that_do_not_fit_are_named(
    still: Device, said: dict[str, Any], device: str, source: str, named: str
) -> None:
    """torch without CUDA, an old driver, OpenCV without a backend: each with a remedy."""
    change(still, slots={"device": device}, camera={"source": source})
    found = judged(machine.judge_libraries(said, load(still.config)))
    assert any(named in one.message for one in found), found
    assert all(one.remedy for one in found)


def test_scarce_disk_memory_and_a_wrong_clock_are_named() -> None:
    """Next to nothing left is an error, little a warning; a clock of 1970 was never set."""
    assert machine.judge_disk("state_dir", Path("/x"), 10).level is Level.ERROR
    assert machine.judge_disk("state_dir", Path("/x"), 10**9).level is Level.WARNING
    assert machine.judge_disk("state_dir", Path("/x"), 10**11).level is Level.OK
    assert machine.judge_memory(100 << 20, 512).level is Level.ERROR
    assert [one.level for one in machine.judge_clock(0.0, True)] == [Level.ERROR]
    assert [one.level for one in machine.judge_clock(1.9e9, False)] == [Level.WARNING]
    assert [one.level for one in machine.judge_clock(1.9e9, True)] == [Level.OK]


def test_a_state_folder_that_cannot_be_made_is_named(still: Device, tmp_path: Path) -> None:
    """A file stands where a folder should: the key and the path."""
    (tmp_path / "file").write_text("")
    change(still, state_dir=str(tmp_path / "file" / "state"))
    found = judged(machine.disks(load(still.config)))
    assert found[0].name == "state_dir"


def test_a_check_that_fails_hides_no_other(still: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong with the check itself is an error of its section."""

    def broken(_: Settings) -> list[Finding]:
        raise RuntimeError("boom")

    monkeypatch.setattr("edge_daemon.cli.check.check_pictures", broken)
    wanted = [Section.PICTURES, Section.MODELS]
    found, _ = examine(still.config, wanted)
    (fault,) = found["pictures"]
    assert (fault.level, "boom" in fault.message) == (Level.ERROR, True)
    assert found["models"]


def test_a_folder_that_cannot_be_looked_at_ends_no_check(still: Device) -> None:
    """As where a folder above it may not be entered: the nearest one that can be is judged."""
    change(still, state_dir=str(still.folder / ("x" * 300)))
    names = [each.name for each in machine.disks(load(still.config))]
    assert names[:2] == ["state_dir", "models.store"]


@pytest.mark.parametrize(
    ("unit", "said"),
    [
        ({"LoadState": "not-found"}, "no unit"),
        ({"LoadState": "loaded", "ActiveState": "inactive", "WatchdogUSec": "0"}, "not enabled"),
        (
            {"LoadState": "loaded", "UnitFileState": "disabled", "WatchdogUSec": "30s"},
            "not enabled",
        ),
        (
            {"LoadState": "loaded", "UnitFileState": "enabled", "WatchdogUSec": "0"},
            "no WatchdogSec",
        ),
        (
            {
                "LoadState": "loaded",
                "UnitFileState": "enabled",
                "WatchdogUSec": "30s",
                "NRestarts": "9",
            },
            "restarted 9 times",
        ),
    ],
)
def test_a_unit_that_is_not_as_it_should_be_is_named(unit: dict[str, str], said: str) -> None:
    """Missing, not enabled, not watched, restarted all the time."""
    found = judged(judge_unit("cam1", unit))
    assert [said in one.message for one in found] == [True]


# --------------------------------------------------------------------------- the command


def run(device: Device, *arguments: str) -> tuple[int, str]:
    return command("check", *arguments, config=device.config)


@pytest.mark.broker
def test_exit_codes_and_what_is_shown(still: Device) -> None:
    """0 with warnings at most, 1 with an error, 78 for settings that cannot be used."""
    sections = ("--section", "models", "--section", "broker")
    code, output = run(still, *sections)
    assert code == 0, output
    assert "√" in output
    assert "‼" in output
    assert "Ready: 0 errors" in output
    change(still, links={"JAR": "jar"})
    code, output = run(still, *sections)
    assert code == 1
    assert "Not ready: 1 error" in output
    still.config.write_text("device: 3 4\ncamera: {sauce: x}\n")
    code, output = run(still)
    assert code == 78
    assert "cam1.yaml:2" in output
    assert "sauce" in output


@pytest.mark.broker
def test_json_holds_every_finding(still: Device) -> None:
    """Section, name, level, message, remedy; counts on top."""
    change(still, links={"JAR": "jar"})
    code, output = run(still, "--section", "models", "--output", "json")
    said = json.loads(output)
    assert (code, said["ok"], said["errors"]) == (1, False, 1)
    worst = next(one for one in said["findings"] if one["level"] == "error")
    assert worst["section"] == "models"
    assert worst["remedy"]


def test_a_section_that_fails_does_not_hide_the_others(
    still: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of the check itself is a finding, not an end."""

    def explode(_: object) -> list[Finding]:
        raise ZeroDivisionError

    monkeypatch.setattr("edge_daemon.cli.check.check_models", explode)
    found = look(still, Section.MODELS)
    assert "ZeroDivisionError" in found[0].message


@pytest.mark.model
def test_a_worker_is_started_as_the_daemon_starts_it() -> None:
    """In its cage, on the device that the settings name: torch alone may be well without it.

    One that is forked is asked in `test_poisoned_folder`.
    """
    (fine,) = machine.ask_worker("cpu", Start.SPAWN)
    assert fine.level is Level.OK, fine
    assert "spawned" in fine.message
    (missing,) = machine.ask_worker("cuda:63", Start.SPAWN)
    assert missing.level is Level.ERROR
    assert "cuda:63" in missing.message
    assert missing.remedy


@pytest.mark.broker
def test_settings_of_whoever_looks_at_all_are_no_stations(still: Device) -> None:
    """Nothing of a station is missed there; the broker is tried as the fleet's commands use it."""
    document = {**yaml.safe_load(still.config.read_text()), "device": "ops"}
    still.config.write_text(yaml.safe_dump(document))
    found, _ = examine(still.config)
    levels = {(one.name, one.level) for one in found["broker"]}
    assert {("connection", Level.OK), ("reports", Level.WARNING)} <= levels
    assert not [one for each in found.values() for one in each if one.level is Level.ERROR]
    assert {one.level for one in found["models"]} == {Level.SKIPPED}


def test_a_station_with_a_camera_may_have_a_roles_name(still: Device) -> None:
    document = yaml.safe_load(still.config.read_text())
    document |= {"device": "panel", "camera": {**document["camera"], "source": "/dev/video77"}}
    still.config.write_text(yaml.safe_dump(document))
    found, _ = examine(still.config, [Section.CONFIGURATION, Section.MODELS])
    assert Level.SKIPPED not in {one.level for one in found["models"]}
