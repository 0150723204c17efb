"""The interface of a camera."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

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

    @property
    def exposed_at(self) -> float | None:
        """Monotonic seconds at which the last frame read was exposed, by the driver's own stamp.

        None: the source does not say, and a frame counts as captured when it has been read.
        """

    @property
    def remarks(self) -> tuple[str, ...]:
        """A sentence for each setting that the source did not accept; known once it is open."""

    def close(self) -> None:
        """Disconnect; a read in progress ends soon where the driver allows it. Never waits."""

    def describe(self) -> str:
        """The source, without credentials."""


Making = Callable[[], "str | None"]
"""Which bundle name judges what the line makes now; None where no order has said.

A simulated camera follows it. A real one sees for itself.
"""
