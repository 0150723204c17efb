"""The table of camera sources, by how `camera.source` begins.

A new kind of source is one line here, one module with its camera, and that module's import
contract. Cameras are named as text and imported when one is opened. So settings can be read
without a video library, and the drawn line of the demo is a source like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_daemon.core.credentials import public_source


@dataclass(frozen=True)
class SourceKind:
    """One kind of source.

    Args:
        begins: what its sources begin with, in lower case; "" is every other text.
        example: how to write one.
        opens: `module:function` that makes its camera; see `frames.sources.Opens`.
        needs: (module, part of it) without which the camera cannot be read; OpenCV's parts are its
            backends.
        takes: the settings of `MADE_AT_THE_SOURCE` that its camera reads.
        is_path: the source is a path; a relative one means: beside the settings file.
        is_exclusive: only one program can read it at a time, so that `check` leaves it to a daemon
            that runs.
        checks: `module:function` that takes a source and raises ConfigurationError where it cannot
            be understood; "" where nothing can be said before it is opened.
        offers: `module:function` that takes a source and gives a `frames.v4l2.Offer`; "" where a
            source cannot be asked.
        public: the source as it may be told, without credentials.
    """

    begins: tuple[str, ...]
    example: str
    opens: str
    needs: tuple[str, str] | None = None
    takes: frozenset[str] = frozenset()
    is_path: bool = False
    is_exclusive: bool = False
    checks: str = ""
    offers: str = ""
    public: Callable[[str], str] = public_source


_RTSP = frozenset({"transport", "latency_ms"})
_DEVICE = frozenset({"size", "format", "exposure_us", "gain", "controls"})
MADE_AT_THE_SOURCE = _RTSP | _DEVICE
"""Settings of the camera that some kinds of source read, and others cannot."""

SOURCES = (
    SourceKind(
        ("rtsp://", "rtsps://"),
        "an rtsp:// or rtsps:// URL",
        "edge_daemon.frames.av_camera:open_video",
        needs=("av", ""),
        takes=_RTSP,
    ),
    SourceKind(
        ("http://", "https://"),
        "an http:// or https:// URL",
        "edge_daemon.frames.av_camera:open_video",
        needs=("av", ""),
    ),
    SourceKind(
        ("/dev/",),
        "/dev/videoN",
        "edge_daemon.frames.opencv_camera:open_device",
        needs=("cv2", "V4L2"),
        takes=_DEVICE,
        offers="edge_daemon.frames.v4l2:offer",
        is_path=True,
        is_exclusive=True,
    ),
    SourceKind(
        ("conveyor:",),
        "conveyor:",
        "edge_daemon.demo.conveyor_camera:open_conveyor",
        checks="edge_daemon.demo.conveyor_camera:check_source",
    ),
    SourceKind(
        ("",),
        "a video file",
        "edge_daemon.frames.av_camera:open_video",
        needs=("av", ""),
        is_path=True,
    ),
)
"""The first kind whose beginning fits is meant."""


def kind_of(source: str) -> SourceKind:
    """What kind of source this is.

    Raises ValueError for a URL whose scheme no kind has.
    """
    text = source.lower()
    kind = next(each for each in SOURCES if text.startswith(each.begins))
    if "://" in source and kind.is_path:
        *others, last = (each.example for each in SOURCES)
        raise ValueError(f"should be {', '.join(others)} or {last}")
    return kind
