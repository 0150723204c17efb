"""A detection as a worker sends it: every number bounded, long parts packed.

A thousand of them fit into one message. Corners and key points travel as packed float32, which is
what a network computes in.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Annotated, Union

import msgspec

from edge_daemon.core.values import Corner, Detection, KeyPoint, Polygon

DETECTIONS_LIMIT = 1000
"""Of one frame."""

FAINT_LIMIT = 100
"""Of one frame: those below the recipe's confidence, the surest of them."""

KEY_POINTS_LIMIT = 3000
"""Of one frame, over all its detections: 176 people of 17 each."""

Label = Annotated[str, msgspec.Meta(max_length=200)]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]  # the bounds shut NaN out as well
Pixel = Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)]
Area = Annotated[float, msgspec.Meta(ge=0.0, le=1e12)]
Top5 = Annotated[tuple[tuple[Label, Share], ...], msgspec.Meta(max_length=5)]

_TURNED = struct.Struct("<9f")  # four corners, and the angle
_POINT = struct.Struct("<3f")
_MOST_PIXELS = 1e6
_HALF_TURN = 180.0

Turned = Annotated[bytes, msgspec.Meta(min_length=_TURNED.size, max_length=_TURNED.size)]
Points = Annotated[bytes, msgspec.Meta(max_length=KEY_POINTS_LIMIT * _POINT.size)]


class Sighting(msgspec.Struct, frozen=True, array_like=True):
    """One detection; `turned` holds the corners and the angle of an oriented box."""

    label: Label
    confidence: Share
    x1: Pixel
    y1: Pixel
    x2: Pixel
    y2: Pixel
    area_px: Union[Area, None] = None
    turned: Union[Turned, None] = None
    points: Union[Points, None] = None
    top5: Union[Top5, None] = None

    def __post_init__(self) -> None:
        """What is packed is held to the same bounds: ValueError, as msgspec raises for the rest."""
        if self.turned is not None:
            *corners, angle = _TURNED.unpack(self.turned)
            if not (all(map(_is_pixel, corners)) and 0.0 <= angle <= _HALF_TURN):
                raise ValueError("an oriented box is out of bounds")
        if self.points is not None:
            if len(self.points) % _POINT.size:
                raise ValueError("a key point is cut off")
            for x, y, confidence in _POINT.iter_unpack(self.points):
                if not (_is_pixel(x) and _is_pixel(y) and 0.0 <= confidence <= 1.0):
                    raise ValueError("a key point is out of bounds")

    @classmethod
    def of(cls, found: Detection) -> Sighting:
        turned = points = None
        if found.polygon is not None and found.angle_deg is not None:
            corners = (value for corner in found.polygon for value in corner)
            turned = _TURNED.pack(*corners, found.angle_deg)
        if found.keypoints is not None:
            points = b"".join(_POINT.pack(*point) for point in found.keypoints)
        return cls(
            found.label, found.confidence, *found.box, found.area_px, turned, points, found.top5
        )

    def labels(self) -> Iterator[str]:
        """Every class that it names."""
        yield self.label
        for label, _ in self.top5 or ():
            yield label

    def is_near(self, height: int, width: int) -> bool:
        """Whether none of it lies further out of a picture than the picture is large."""
        box = ((self.x1, self.y1), (self.x2, self.y2))
        return (self.area_px is None or self.area_px <= height * width) and all(
            -width <= x <= 2 * width and -height <= y <= 2 * height
            for x, y in (*box, *(self._polygon() or ()), *((x, y) for x, y, _ in self._points()))
        )

    def detection(self) -> Detection:
        polygon = self._polygon()
        return Detection(
            self.label,
            self.confidence,
            (self.x1, self.y1, self.x2, self.y2),
            self.area_px,
            polygon,
            None if self.turned is None else _TURNED.unpack(self.turned)[-1],
            None if self.points is None else self._points(),
            self.top5,
        )

    def _polygon(self) -> Polygon | None:
        if self.turned is None:
            return None
        x1, y1, x2, y2, x3, y3, x4, y4, _ = _TURNED.unpack(self.turned)
        corners: tuple[Corner, Corner, Corner, Corner] = ((x1, y1), (x2, y2), (x3, y3), (x4, y4))
        return corners

    def _points(self) -> tuple[KeyPoint, ...]:
        return tuple((x, y, sure) for x, y, sure in _POINT.iter_unpack(self.points or b""))


def bounded(detections: Iterable[Detection]) -> tuple[Detection, ...]:
    """The same, with the key points of the surest only, as many as a message takes."""
    found = tuple(detections)
    if sum(len(each.keypoints or ()) for each in found) <= KEY_POINTS_LIMIT:
        return found
    left, kept = KEY_POINTS_LIMIT, set[int]()
    for index in sorted(range(len(found)), key=lambda index: -found[index].confidence):
        own = len(found[index].keypoints or ())
        if own > left:
            break
        left -= own
        kept.add(index)
    return tuple(
        each if index in kept else replace(each, keypoints=None) for index, each in enumerate(found)
    )


def parted(
    found: tuple[Detection, ...], confidence: float | None
) -> tuple[tuple[Detection, ...], tuple[Detection, ...]]:
    """Those that count from this confidence on, and the surest of the others, without key points.

    None: all count. One whose confidence is not a number counts, as in a recipe.
    """
    if confidence is None:
        return found, ()
    faint = sorted(
        (each for each in found if each.confidence < confidence), key=lambda each: -each.confidence
    )
    return (
        tuple(each for each in found if not each.confidence < confidence),
        tuple(replace(each, keypoints=None) for each in faint[:FAINT_LIMIT]),
    )


def _is_pixel(value: float) -> bool:
    return math.isfinite(value) and abs(value) <= _MOST_PIXELS
