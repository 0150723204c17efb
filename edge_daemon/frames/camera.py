"""What a camera is to the rest of the house, and which one a source means."""

from __future__ import annotations

from typing import Protocol

from edge_daemon.config import CameraSettings
from edge_daemon.frames.av_camera import AvCamera
from edge_daemon.frames.conveyor_camera import ConveyorCamera
from edge_daemon.frames.opencv_camera import OpenCVCamera
from edge_daemon.host.memory import FrameShape, Pixels


class Camera(Protocol):
    """One source of frames. One thread opens and reads it; any thread may close it.

    Errors: `CameraError` when it cannot be opened, or gives no frame any more; it is closed then,
    and another camera is made for the next try.
    """

    @property
    def fps(self) -> float | None:
        """Nominal frames a second; None while not open, or where the source does not say."""

    def open(self) -> FrameShape:
        """Connect, and say which shape its frames have."""

    def read_into(self, pixels: Pixels) -> Pixels | None:
        """The next frame, waiting for it.

        Gives `pixels` itself when the frame was written there, another array when the frame has
        another shape than `pixels`, and None when the source has come to its end.
        """

    @property
    def damage(self) -> str | None:
        """What the decoder complained of in the last frame read, or in one that it builds on.

        None: nothing, or this source has no decoder that tells.
        """

    def close(self) -> None:
        """Disconnect; a read in progress ends soon where the driver allows it. Never waits."""

    def describe(self) -> str:
        """The source, without credentials."""


def open_camera(settings: CameraSettings) -> Camera:
    """The camera that `settings.source` means, not connected yet.

    Raises ConfigurationError for a `conveyor:` source that cannot be understood.
    """
    if settings.source.startswith("conveyor:"):
        return ConveyorCamera.parse(settings.source, fps=settings.fps)
    if settings.source.startswith("/dev/"):
        return OpenCVCamera(settings)
    return AvCamera(settings)
