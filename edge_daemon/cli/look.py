"""Opens the camera for a moment, as the daemon would."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from edge_daemon.config import CameraSettings
from edge_daemon.errors import EdgeDaemonError
from edge_daemon.frames.camera import Camera
from edge_daemon.frames.sources import open_camera
from edge_daemon.host.memory import FrameMemory, FrameShape, Pixels

_GRACE_S = 2.0


@dataclass
class CameraSample:
    """What was seen; written by the reading thread, complete once `done` is set."""

    source: str
    done: threading.Event = field(default_factory=threading.Event)
    shape: FrameShape | None = None
    nominal_fps: float | None = None
    frames: int = 0
    seconds: float = 0.0
    picture: Pixels | None = None
    """The last one."""
    remarks: tuple[str, ...] = ()
    fault: EdgeDaemonError | None = None

    @property
    def fps(self) -> float:
        return self.frames / max(self.seconds, 1e-3)


def look_through(settings: CameraSettings, seconds: float) -> CameraSample:
    """Open the camera, read for a while, and close it; a driver that hangs is a fault too.

    Raises ConfigurationError for a source that cannot be understood.
    """
    camera = open_camera(settings)
    look = CameraSample(camera.describe())
    arguments = (camera, look, seconds)
    threading.Thread(target=_look, args=arguments, name="camera-look", daemon=True).start()
    limit_s = settings.open_timeout_s + settings.read_timeout_s + seconds + _GRACE_S
    finished = look.done.wait(limit_s)
    camera.close()
    if finished:
        return look
    return CameraSample(
        look.source,
        fault=EdgeDaemonError(
            f"{look.source} hangs: nothing came back within {limit_s:.0f} s.",
            hint="Restart the camera; check its driver with `dmesg`.",
        ),
    )


def _look(camera: Camera, look: CameraSample, seconds: float) -> None:
    try:
        shape = look.shape = camera.open()
        look.nominal_fps, look.remarks = camera.fps, camera.remarks
        pixels = FrameMemory.allocate(shape, 1).pixels(0)
        began = time.monotonic()
        while (passed := time.monotonic() - began) < seconds:
            frame = camera.read_into(pixels)
            if frame is None:
                break
            look.frames += 1
            look.picture = frame
        look.seconds = passed
    except EdgeDaemonError as fault:
        look.fault = fault
    except Exception as fault:  # the boundary to drivers: whatever they raise is a finding
        look.fault = EdgeDaemonError(f"The camera's driver failed: {fault!r}.")
    finally:
        look.done.set()
