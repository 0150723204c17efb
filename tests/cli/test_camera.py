"""`edge-daemon camera`: what the device offers, and a picture without a model or a daemon."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import pytest
import yaml
from typer.testing import CliRunner

from edge_daemon.cli import camera as camera_room
from edge_daemon.cli.main import app
from tests.sim.device import Device
from tests.sim.mosquitto import free_port
from tests.sim.v4l2 import CAN_BE_BUILT, PATH, SimDevice

needs_compiler = pytest.mark.skipif(not CAN_BE_BUILT, reason="needs cc and the kernel's headers")
B1 = "bottle@1.0.0"


@pytest.fixture(autouse=True)
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_room, "LOOK_S", 0.2)


def settings(folder: Path, **camera: Any) -> str:
    """A settings file of a station with this camera."""
    document = {
        "device": "cam1",
        "camera": camera,
        "models": {"trust": {"required": False}},
        "mqtt": {"port": free_port()},
    }
    (folder / "cam1.yaml").write_text(yaml.safe_dump(document))
    return str(folder / "cam1.yaml")


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["camera", *words])
    return result.exit_code, result.output


@needs_compiler
def test_show_lists_what_a_device_offers(tmp_path: Path) -> None:
    """Formats with sizes and rates, controls with value and range; for programs too."""
    device = SimDevice(tmp_path)
    file = settings(tmp_path, source=PATH, controls={"brightness": 100})
    shown = device.command("camera", "show", "--config", file)
    assert shown.returncode == 0, shown.stderr
    assert "Simulated Camera at /dev/video77: 640x480 YUYV, 30 frames a second." in shown.stdout
    lines = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    assert "MJPG 1280x720 60, 30" in lines
    assert "brightness 128 0 to 255 128 settings: 100" in lines
    assert "exposure_time_absolute 250 3 to 2047 250 automatic" in lines
    said = json.loads(device.command("camera", "show", "--config", file, "--json").stdout)
    assert [one["fourcc"] for one in said["formats"]] == ["YUYV", "MJPG"]
    menus = {one["name"]: one["menu"] for one in said["controls"] if one["menu"]}
    assert menus["auto_exposure"] == {"1": "Manual Mode", "3": "Aperture Priority Mode"}


@needs_compiler
def test_a_preview_of_a_device_is_set_up_as_the_daemon_would(tmp_path: Path) -> None:
    """The picture has the size that was asked for; what was not taken is said beside it."""
    device = SimDevice(tmp_path)
    file = settings(tmp_path, source=PATH, size=[1920, 1080], format="MJPG", gain=400)
    done = device.command("camera", "preview", str(tmp_path / "now.png"), "--config", file)
    assert done.returncode == 0, done.stderr
    assert cv2.imread(str(tmp_path / "now.png")).shape == (1080, 1920, 3)
    assert "Not as set: camera.gain is 400, and the device has 100." in done.stderr


@needs_compiler
def test_check_names_what_was_not_taken_and_what_would_be_larger(tmp_path: Path) -> None:
    """VGA out of a larger camera is a warning, and so is each setting that it did not take."""
    device = SimDevice(tmp_path)
    words = ("check", "--section", "camera", "--json", "--config")
    for camera, name, message in (
        ({}, "size", "The device offers up to 1920 x 1080."),
        (
            {"size": [1600, 900]},
            "settings",
            "camera.size is 1600x900, and the device gives 1280x720.",
        ),
    ):
        said = device.command(*words, settings(tmp_path, source=PATH, **camera)).stdout
        found = [
            (one["name"], one["level"], one["message"]) for one in json.loads(said)["findings"]
        ]
        assert (name, "warning", message) in found, found


def test_a_preview_shows_what_is_judged_or_the_whole(tmp_path: Path) -> None:
    """As it is captured; with --whole as the source gives it, to choose a region in it."""
    source = "conveyor:?size=320x240&fps=100"
    file = settings(tmp_path, source=source, roi=[10, 20, 100, 60], rotate=90)
    picture = str(tmp_path / "now.jpg")
    for words, shape in (((), (100, 60, 3)), (("--whole",), (240, 320, 3))):
        code, said = run("preview", picture, "--config", file, *words)
        assert code == 0, said
        assert cv2.imread(picture).shape == shape
    code, said = run("show", "--config", file)
    assert code == 0
    assert "60x100" in said


def test_a_preview_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    """A wrong suffix, a folder that is not there, a region outside: nothing is written."""
    file = settings(tmp_path, source="conveyor:?size=64x64&fps=100")
    assert run("preview", str(tmp_path / "now.txt"), "--config", file)[0] == 2
    assert run("preview", str(tmp_path / "none" / "now.jpg"), "--config", file)[0] == 2
    file = settings(tmp_path, source="conveyor:?size=64x64", roi=[0, 0, 65, 64])
    code, said = run("preview", str(tmp_path / "now.jpg"), "--config", file)
    assert code == 1
    assert "camera.roi is [0, 0, 65, 64], and the picture has 64x64 pixels." in said
    assert not list(tmp_path.glob("now*"))
    file = settings(tmp_path, source=str(tmp_path / "none.mp4"))
    assert run("show", "--config", file)[0] == 1


def test_a_full_disk_is_told_with_the_next_step(tmp_path: Path) -> None:
    """A write that finds no room is no fault of the program."""
    file = settings(tmp_path, source="conveyor:?size=64x64&fps=100")
    (tmp_path / "now.jpg").symlink_to("/dev/full")
    code, said = run("preview", str(tmp_path / "now.jpg"), "--config", file)
    assert code == 1
    assert said == "No space left on device. Make room on the disk, and run it again.\n"


def test_the_camera_of_a_running_daemon_is_left_to_it(tmp_path: Path) -> None:
    """Only one program can read a device: the daemon has its picture."""
    with Device(B1) as device:
        device.await_active(B1)
        text = device.config.read_text().replace("conveyor:", PATH)
        device.config.write_text(text)
        code, said = run("preview", str(tmp_path / "now.jpg"), "--config", str(device.config))
    assert code == 1
    assert "edge-daemon snapshot -o FILE" in said
