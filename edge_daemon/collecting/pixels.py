"""What is done to a picture before it is written: cropped, people made unseen, hashed, encoded."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from edge_daemon.collecting.record import SavedPicture
from edge_daemon.core.collecting.hidden import Polygon, PrivacyMask
from edge_daemon.core.values import Box
from edge_daemon.frames.images import encode
from edge_daemon.host.memory import Pixels

_QUALITY = 95
_LEAST_SIDE = 1.0  # pixels of a box that is left after cropping


def prepared(
    pixels: Pixels, hidden: PrivacyMask, people: Sequence[Box], suffix: str
) -> tuple[Pixels, SavedPicture]:
    """The picture that is kept, and how it came from the frame; `people`: boxes to blacken."""
    height, width = pixels.shape[:2]
    if hidden.zones or people:
        pixels = _blackened(pixels, hidden.zones, people)
    x1, y1, x2, y2 = _rectangle(hidden.crop, width, height)
    kept = pixels[y1:y2, x1:x2]

    def moved(box: Box) -> Box | None:
        left, top = max(0.0, box[0] - x1), max(0.0, box[1] - y1)
        right, bottom = min(float(x2 - x1), box[2] - x1), min(float(y2 - y1), box[3] - y1)
        if not (right - left >= _LEAST_SIDE and bottom - top >= _LEAST_SIDE):
            return None
        return left, top, right, bottom

    return kept, SavedPicture(suffix, (x2 - x1, y2 - y1), difference_hash(kept), moved)


def encoded(pixels: Pixels, suffix: str) -> bytes:
    """The picture's file: `.jpg` in quality 95, or `.png` without any loss."""
    if suffix == ".png":
        return bytes(cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 3])[1])
    return encode(pixels, _QUALITY)


def difference_hash(pixels: Pixels) -> int:
    """dHash: 64 bits, each whether the picture grows darker from one of 9 x 8 fields to the next.

    Two pictures of one scene differ in few bits, whatever the light.
    """
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA)
    bits = np.packbits(small[:, :-1] > small[:, 1:])
    return int.from_bytes(bits.tobytes(), "big")


def contrast(pixels: Pixels) -> float:
    """The largest deviation of a colour, of every 8th row and column."""
    return float(cv2.meanStdDev(np.ascontiguousarray(pixels[::8, ::8]))[1].max())


def _rectangle(crop: Box | None, width: int, height: int) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = crop or (0.0, 0.0, 1.0, 1.0)
    left, top = min(int(x1 * width), width - 1), min(int(y1 * height), height - 1)
    return left, top, max(left + 1, round(x2 * width)), max(top + 1, round(y2 * height))


def _blackened(pixels: Pixels, zones: Sequence[Polygon], people: Sequence[Box]) -> Pixels:
    height, width = pixels.shape[:2]
    picture: Pixels = np.array(pixels)
    for zone in zones:
        corners = np.array([(round(x * width), round(y * height)) for x, y in zone], np.int32)
        cv2.fillPoly(picture, [corners], (0, 0, 0))
    for x1, y1, x2, y2 in people:
        wide, high = (x2 - x1) / 10, (y2 - y1) / 10
        left, top = max(0, int(x1 - wide)), max(0, int(y1 - high))
        picture[top : int(y2 + high) + 1, left : int(x2 + wide) + 1] = 0
    return picture
