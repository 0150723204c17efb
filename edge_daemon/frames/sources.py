"""The camera of a source, by the table of `config.sources`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import cast

from edge_daemon.config import CameraSettings, kind_of
from edge_daemon.frames.camera import Camera, Making
from edge_daemon.frames.framing import FramedCamera, Framing
from edge_daemon.frames.v4l2 import Offer

Opens = Callable[[CameraSettings, Making], Camera]
"""What a kind of source names: makes a camera that is not connected yet."""


def open_camera(settings: CameraSettings, making: Making = lambda: None) -> Camera:
    """The camera that `settings.source` means, not connected yet.

    Raises ConfigurationError for a source that cannot be understood.
    """
    opens = cast("Opens", named(kind_of(settings.source).opens))
    camera = opens(settings, making)
    return FramedCamera(camera, settings) if Framing.is_needed(settings) else camera


def check_source(source: str) -> None:
    """Raises ConfigurationError for a source that cannot be understood."""
    if check := kind_of(source).checks:
        cast("Callable[[str], object]", named(check))(source)


def offered(source: str) -> Offer | None:
    """What the device offers and what is set; None for a source that cannot be asked.

    Raises CameraError where it cannot be opened, OSError where it does not answer.
    """
    place = kind_of(source).offers
    return cast("Callable[[str], Offer]", named(place))(source) if place else None


def named(place: str) -> object:
    """What `module:attribute` means, imported now."""
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)
