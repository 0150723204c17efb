"""Opens the camera as the daemon would, and counts what comes."""

from __future__ import annotations

from collections.abc import Iterator

from edge_daemon.cli.checks.finding import Finding, error, ok, skipped, warning
from edge_daemon.cli.look import CameraSample, look_through
from edge_daemon.cli.station import RetainedStatus
from edge_daemon.config import CameraSettings, Settings, kind_of
from edge_daemon.errors import CameraError
from edge_daemon.frames.sources import offered
from edge_daemon.host.memory import FrameShape

LOOK_S = 2.0
_FLAT = 2.0
"""A picture whose pixels spread less than this, of 255, shows nothing."""


def check_camera(settings: Settings, seen: RetainedStatus | None) -> list[Finding]:
    """Size and rate; a device that the running daemon holds is left to it."""
    source = settings.redacted()["camera"]["source"]
    if seen is not None and seen.is_online and kind_of(settings.camera.source).is_exclusive:
        return [_by_daemon(source, seen)]
    look = look_through(settings.camera, LOOK_S)
    if look.fault is not None:
        hint = look.fault.hint or "Check camera.source."
        return [error("camera", look.fault.message, hint)]
    return list(_judged(source, settings.camera, look))


def _by_daemon(source: str, seen: RetainedStatus) -> Finding:
    camera = seen.camera
    if camera is None:
        return error("camera", f"{source}: the daemon says nothing of it.", "edge-daemon status")
    if camera.state != "online":
        return error("camera", f"{source} is {camera.state}: {camera.error}", "See above.")
    size = f"{camera.width} x {camera.height}"
    return ok("camera", f"{source} is in use by the running daemon, {size}.")


def _judged(source: str, settings: CameraSettings, look: CameraSample) -> Iterator[Finding]:
    assert look.shape is not None
    if not look.frames:
        yield error("camera", f"{source} opens, and no frame comes.", "Is it the right stream?")
        return
    fps = look.fps
    size = f"{look.shape.width} x {look.shape.height}"
    yield ok("camera", f"{source} gives {size} at {fps:.1f} frames a second.")
    for remark in look.remarks:
        yield warning(
            "settings", f"{remark}.", "`edge-daemon camera show` lists what the device takes."
        )
    yield from _larger(settings, look.shape)
    nominal = look.nominal_fps
    if nominal and look.seconds >= LOOK_S and fps < 0.8 * nominal:
        yield warning(
            "rate",
            f"{nominal:g} frames a second are promised, {fps:.1f} came.",
            "More light (exposure), a faster link, or a lower resolution.",
        )
    if look.picture is not None and look.picture[::8, ::8].std() < _FLAT:
        yield warning(
            "picture", "The picture shows one colour.", "Is the lens cap on, the light off?"
        )
    buffer_mb = look.shape.size_bytes * settings.buffer_frames >> 20
    seconds = settings.buffer_frames / fps
    yield ok("buffer", f"{settings.buffer_frames} frames are {buffer_mb} MB and {seconds:.1f} s.")
    if settings.policy == "latest":
        yield skipped("policy", "latest: frames that come too fast are counted as dropped.")


def _larger(settings: CameraSettings, shape: FrameShape) -> Iterator[Finding]:
    """A device that is asked for no size gives a small one."""
    if settings.size is not None:
        return
    try:
        offer = offered(settings.source)
    except (CameraError, OSError):
        return
    width, height = offer.largest if offer else (0, 0)
    if width * height > shape.width * shape.height:
        yield warning(
            "size",
            f"The device offers up to {width} x {height}.",
            "Set camera.size, and camera.format where that size needs one (`camera show`).",
        )
