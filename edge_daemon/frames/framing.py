"""What part of a source's picture is captured, and how: cropped, turned, mirrored, masked, grey.

Done once, between the camera and the ring, so that models, pictures and the page see the same
frame. Without such a setting nothing stands between them, and nothing is copied.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edge_daemon.config import CameraSettings
from edge_daemon.documents import DocumentError, read_bytes
from edge_daemon.frames.camera import Camera
from edge_daemon.frames.fault import SourceError
from edge_daemon.host.memory import FrameShape, Pixels

_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
_UPSIDE_DOWN, _LEFT_RIGHT, _BOTH = 0, 1, -1  # of cv2.flip
_MOST_MASK_BYTES = 64 << 20
_HALF = 128


class Framing:
    """Lays pictures of one shape into frames.

    Raises SourceError where the region does not lie in the picture, or the mask does not fit.
    """

    def __init__(self, settings: CameraSettings, source: FrameShape) -> None:
        x, y, width, height = settings.roi or (0, 0, source.width, source.height)
        if x + width > source.width or y + height > source.height:
            raise SourceError(
                f"camera.roi is {[x, y, width, height]}, and the picture has "
                f"{source.width}x{source.height} pixels.",
                hint="Set a region that lies in the picture; look at it with `camera preview`.",
            )
        self.source = source
        self._rows, self._columns = slice(y, y + height), slice(x, x + width)
        self._rotate, self._mirror, self._mono = settings.rotate, settings.mirror, settings.mono
        is_turned = settings.rotate in (90, 270)
        self.shape = FrameShape(width, height) if is_turned else FrameShape(height, width)
        """Of the frames."""
        self._seen = _seen(settings.mask, self.shape) if settings.mask else None

    @staticmethod
    def is_needed(settings: CameraSettings) -> bool:
        return bool(
            settings.roi or settings.rotate or settings.mirror or settings.mask or settings.mono
        )

    def lay(self, picture: Pixels, frame: Pixels) -> None:
        """Fill `frame`, which has `self.shape`, with what of `picture` is captured."""
        self._turn(picture[self._rows, self._columns], frame)
        if self._mono:
            cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR, frame)
        if self._seen is not None:
            cv2.bitwise_and(frame, self._seen, frame)

    def _turn(self, picture: Pixels, frame: Pixels) -> None:
        if not self._mirror and not self._rotate:
            np.copyto(frame, picture)
        elif not self._mirror:
            cv2.rotate(picture, _TURNS[self._rotate], frame)
        elif self._rotate in (0, 180):
            cv2.flip(picture, _LEFT_RIGHT if self._rotate == 0 else _UPSIDE_DOWN, frame)
        else:  # a mirrored quarter turn is a transposition
            cv2.transpose(picture if self._rotate == 90 else cv2.flip(picture, _BOTH), frame)


def _seen(path: Path, shape: FrameShape) -> Pixels:
    """The mask as 255 where a frame is kept, in three channels; raises SourceError."""
    try:
        coded = read_bytes(path, _MOST_MASK_BYTES)
    except DocumentError as error:
        raise _no_mask(f"{path} {error.message}") from error
    mask = cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_GRAYSCALE) if coded else None
    if mask is None:
        raise _no_mask(f"{path} is no picture")
    height, width = mask.shape
    if (height, width) != (shape.height, shape.width):
        frames = f"{shape.width}x{shape.height}"
        raise _no_mask(f"{path} has {width}x{height} pixels, and the frames {frames}")
    return np.where(mask[:, :, None] < _HALF, 0, 255).astype(np.uint8).repeat(3, axis=2)


def _no_mask(why: str) -> SourceError:
    return SourceError(
        f"camera.mask: {why}.",
        hint="Paint on a picture of `edge-daemon camera preview`, taken without the mask.",
    )


class FramedCamera:
    """A `Camera` over another one, whose frames are laid as the settings say."""

    def __init__(self, camera: Camera, settings: CameraSettings) -> None:
        self._camera = camera
        self._settings = settings
        self._framing: Framing
        self._picture: Pixels
        self.fps: float | None = None
        self.remarks: tuple[str, ...] = ()
        self.damage: str | None = None
        self.exposed_at: float | None = None

    def open(self) -> FrameShape:
        source = self._camera.open()
        self.fps, self.remarks = self._camera.fps, self._camera.remarks
        return self._expect(source)

    def _expect(self, source: FrameShape) -> FrameShape:
        self._framing = Framing(self._settings, source)
        self._picture = np.empty((source.height, source.width, 3), np.uint8)
        return self._framing.shape

    def read_into(self, pixels: Pixels) -> Pixels | None:
        picture = self._camera.read_into(self._picture)
        if picture is None:
            return None
        self.damage, self.exposed_at = self._camera.damage, self._camera.exposed_at
        if picture is not self._picture:
            self._expect(FrameShape(picture.shape[0], picture.shape[1]))
        shape = self._framing.shape
        if pixels.shape[:2] != (shape.height, shape.width):
            pixels = np.empty((shape.height, shape.width, 3), np.uint8)
        self._framing.lay(picture, pixels)
        return pixels

    def close(self) -> None:
        self._camera.close()

    def describe(self) -> str:
        return self._camera.describe()
