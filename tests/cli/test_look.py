"""A short look through the camera: what was seen, or a clear word why nothing was."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edge_daemon.cli import look as room
from edge_daemon.cli.look import CameraSample, look_through
from edge_daemon.config import CameraSettings
from edge_daemon.errors import CameraError
from edge_daemon.frames.camera import Camera
from edge_daemon.host.memory import FrameShape, Pixels

SHAPE = FrameShape(4, 6)
SETTINGS = CameraSettings.model_validate({"source": "conveyor:"})


class Eye:
    """A camera with so many frames, and the fault that it ends with, if any."""

    fps: float | None = 25.0
    exposed_at: float | None = None
    remarks = ("camera.gain is 4, not 9",)

    def __init__(self, frames: int, fault: Exception | None = None) -> None:
        self.closed = 0
        self._left, self._fault = frames, fault

    def describe(self) -> str:
        return "rtsp://camera/stream"

    def open(self) -> FrameShape:
        return SHAPE

    def read_into(self, pixels: Pixels) -> Pixels | None:
        if self._left == 0:
            if self._fault is not None:
                raise self._fault
            return None
        self._left -= 1
        pixels.fill(self._left)
        return pixels

    def close(self) -> None:
        self.closed += 1


class HangingEye(Eye):
    """Its driver gives nothing back until the test ends."""

    let_go = threading.Event()

    def open(self) -> FrameShape:
        self.let_go.wait(30.0)
        raise CameraError("It was let go.")


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], CameraSample]:
    def through(eye: Camera) -> CameraSample:
        monkeypatch.setattr(room, "open_camera", lambda _: eye)
        return look_through(SETTINGS, 30.0)

    return through


def test_what_was_seen_is_told(look: Callable[[Any], CameraSample]) -> None:
    """Shape, rate, what the device did not take, and the last picture."""
    seen = look(Eye(3))
    assert (seen.frames, seen.shape, seen.nominal_fps) == (3, SHAPE, 25.0)
    assert seen.remarks == ("camera.gain is 4, not 9",)
    assert seen.picture is not None
    assert np.array_equal(seen.picture, np.zeros((4, 6, 3), np.uint8))
    assert seen.fault is None


def test_a_source_without_a_frame_is_no_fault(look: Callable[[Any], CameraSample]) -> None:
    """An empty film: it opened, and there was nothing."""
    seen = look(Eye(0))
    assert (seen.frames, seen.picture, seen.fault) == (0, None, None)


def test_a_camera_that_says_what_is_wrong_is_quoted(look: Callable[[Any], CameraSample]) -> None:
    """With its hint, and with what was seen before."""
    fault = CameraError("The camera was unplugged.", hint="Plug it in.")
    seen = look(Eye(2, fault))
    assert seen.fault is fault
    assert seen.frames == 2


def test_a_driver_that_raises_anything_is_a_finding(look: Callable[[Any], CameraSample]) -> None:
    """Never a traceback."""
    seen = look(Eye(0, RuntimeError("libfoo: -5")))
    assert seen.fault is not None
    assert "libfoo: -5" in seen.fault.message


def test_a_camera_is_let_go_after_a_look(look: Callable[[Any], CameraSample]) -> None:
    """The daemon may want to open it next."""
    eye = Eye(1)
    look(eye)
    assert eye.closed == 1


def test_a_driver_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time limits of the settings; the command ends, whatever the driver does."""
    eye = HangingEye(0)
    monkeypatch.setattr(room, "open_camera", lambda _: eye)
    quick = SETTINGS.model_copy(update={"open_timeout_s": 0.05, "read_timeout_s": 0.0})
    try:
        seen = look_through(quick, 0.0)
    finally:
        eye.let_go.set()
    assert seen.fault is not None
    assert "hangs" in seen.fault.message
    assert "dmesg" in seen.fault.hint
