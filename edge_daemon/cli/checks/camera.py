"""Opens the camera as the daemon would, and counts what comes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from edge_daemon.cli.checks.finding import Finding, error, ok, skipped, warning
from edge_daemon.cli.station import Glance
from edge_daemon.config import CameraSettings, Settings, kind_of
from edge_daemon.errors import EdgeDaemonError
from edge_daemon.frames.camera import Camera, open_camera
from edge_daemon.host.memory import FrameMemory, FrameShape

LOOK_S = 2.0
GRACE_S = 2.0
_FLAT = 2.0
"""A picture whose pixels spread less than this, of 255, shows nothing."""


@dataclass
class _Look:
    """What was seen; written by the thread that reads, complete once `done` is set."""

    done: threading.Event = field(default_factory=threading.Event)
    shape: FrameShape | None = None
    nominal_fps: float | None = None
    frames: int = 0
    seconds: float = 0.0
    spread: float = 255.0
    fault: EdgeDaemonError | None = None


def check_camera(settings: Settings, seen: Glance | None) -> list[Finding]:
    """Size and rate; a device that the running daemon holds is not taken from it."""
    source = settings.redacted()["camera"]["source"]
    if seen is not None and seen.is_online and kind_of(settings.camera.source).is_exclusive:
        return [_by_daemon(source, seen)]
    camera = open_camera(settings.camera)
    look = _Look()
    threading.Thread(target=_look, args=(camera, look), name="camera-check", daemon=True).start()
    limit_s = settings.camera.open_timeout_s + settings.camera.read_timeout_s + LOOK_S + GRACE_S
    finished = look.done.wait(limit_s)
    camera.close()
    if not finished:
        message = f"{source} hangs: nothing came back within {limit_s:.0f} s."
        return [error("camera", message, "Restart the camera; check its driver with `dmesg`.")]
    if look.fault is not None:
        hint = look.fault.hint or "Check camera.source."
        return [error("camera", look.fault.message, hint)]
    return list(_judged(source, settings.camera, look))


def _by_daemon(source: str, seen: Glance) -> Finding:
    camera = seen.camera
    if camera is None:
        return error("camera", f"{source}: the daemon says nothing of it.", "edge-daemon status")
    if camera.state != "online":
        return error("camera", f"{source} is {camera.state}: {camera.error}", "See above.")
    size = f"{camera.width} x {camera.height}"
    return ok("camera", f"{source} is in use by the running daemon, {size}.")


def _look(camera: Camera, look: _Look) -> None:
    try:
        shape = look.shape = camera.open()
        look.nominal_fps = camera.fps
        pixels = FrameMemory.allocate(shape, 1).pixels(0)
        began = time.monotonic()
        while (seconds := time.monotonic() - began) < LOOK_S:
            frame = camera.read_into(pixels)
            if frame is None:
                break
            look.frames += 1
            look.spread = float(frame[::8, ::8].std())
        look.seconds = seconds
    except EdgeDaemonError as fault:
        look.fault = fault
    except Exception as fault:  # the boundary to drivers: whatever they raise is a finding
        look.fault = EdgeDaemonError(f"The camera's driver failed: {fault!r}.")
    finally:
        look.done.set()


def _judged(source: str, settings: CameraSettings, look: _Look) -> Iterator[Finding]:
    assert look.shape is not None
    if not look.frames:
        yield error("camera", f"{source} opens, and no frame comes.", "Is it the right stream?")
        return
    fps = look.frames / max(look.seconds, 1e-3)
    size = f"{look.shape.width} x {look.shape.height}"
    yield ok("camera", f"{source} gives {size} at {fps:.1f} frames a second.")
    nominal = look.nominal_fps
    if nominal and look.seconds >= LOOK_S and fps < 0.8 * nominal:
        yield warning(
            "rate",
            f"{nominal:g} frames a second are promised, {fps:.1f} came.",
            "More light (exposure), a faster link, or a lower resolution.",
        )
    if look.spread < _FLAT:
        yield warning(
            "picture", "The picture shows one colour.", "Is the lens cap on, the light off?"
        )
    buffer_mb = look.shape.size_bytes * settings.buffer_frames >> 20
    seconds = settings.buffer_frames / fps
    yield ok("buffer", f"{settings.buffer_frames} frames are {buffer_mb} MB and {seconds:.1f} s.")
    if settings.policy == "latest":
        yield skipped("policy", "latest: frames that come too fast are counted as dropped.")
