"""What a camera is to the rest of the house, and which one a source means."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Protocol, cast

from edge_daemon.config import CameraSettings, kind_of
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


Making = Callable[[], "str | None"]
"""Which bundle name judges what the line makes now; None where no order has said.

A simulated camera follows it. A real one sees for itself.
"""

Opens = Callable[[CameraSettings, Making], Camera]
"""What a kind of source names: makes a camera that is not connected yet."""


def open_camera(settings: CameraSettings, making: Making = lambda: None) -> Camera:
    """The camera that `settings.source` means, not connected yet.

    Raises ConfigurationError for a source that cannot be understood.
    """
    opens = cast("Opens", named(kind_of(settings.source).opens))
    return opens(settings, making)


def check_source(source: str) -> None:
    """Raises ConfigurationError for a source that cannot be understood."""
    if check := kind_of(source).checks:
        cast("Callable[[str], object]", named(check))(source)


def named(place: str) -> object:
    """What `module:attribute` means, imported now."""
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)
