"""What ultralytics found in one frame, as detections: boxes, masks, key points, or a class.

torch is loaded already wherever this is called.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from edge_daemon.core.values import Detection, KeyPoint
from edge_daemon.errors import BundleError, Code

_LONGEST_REACH = 1.0
"""Corners of an oriented box lie so far outside of the frame at most, in its widths or heights."""


def detections_of(
    result: Any, name: Callable[[int], str], confidence: float
) -> tuple[tuple[Detection, ...], bool]:
    """What one `Results` holds, and whether all of it was in finite numbers; the rest is left out.

    Args:
        result: ultralytics' `Results` of one frame.
        name: of a class by its number; raises BundleError for one without a name.
        confidence: the least at which a class of the picture counts; boxes were chosen by it.

    Raises:
        BundleError: a class has no name, or a classifier gives numbers that are no shares.
    """
    if result.probs is not None:
        return _classified(result, name, confidence)
    found = list(_oriented(result, name) if result.obb is not None else _upright(result, name))
    finite = tuple(each for each in found if _is_finite(each))
    return finite, len(finite) == len(found)


def areas_px(result: Any, count: int) -> list[float] | list[None]:
    """The area of each mask in square pixels of the frame; None each for a model without masks.

    ultralytics gives masks in the network's input: the frame, made smaller to fit, and its margin.
    """
    import torch  # noqa: PLC0415

    if result.masks is None:
        return [None] * count
    masks, (height, width) = result.masks.data, result.orig_shape
    gain = min(masks.shape[-2] / height, masks.shape[-1] / width)
    pixels = masks.sum(dim=(-2, -1), dtype=torch.float32) / gain**2
    areas: list[float] = pixels.clamp(max=float(height * width)).round().tolist()
    return areas


def _upright(result: Any, name: Callable[[int], str]) -> Iterable[Detection]:
    rows = [] if result.boxes is None else _rows(result.boxes)
    areas, points = areas_px(result, len(rows)), _key_points(result, len(rows))
    for (x1, y1, x2, y2, confidence, index), area, own in zip(rows, areas, points, strict=True):
        box = (x1, y1, x2, y2)
        yield Detection(name(int(index)), confidence, box, area, keypoints=own)


def _rows(found: Any) -> list[list[float]]:
    """x1, y1, x2, y2, confidence, class of each box of ultralytics' `Boxes`."""
    import torch  # noqa: PLC0415

    table = torch.cat((found.xyxy, found.conf[:, None], found.cls[:, None]), dim=1)
    rows: list[list[float]] = table.tolist()
    return rows


def _key_points(result: Any, count: int) -> list[tuple[KeyPoint, ...]] | list[None]:
    """Of each object; None each for a model without key points."""
    if result.keypoints is None:
        return [None] * count
    # x, y and, where the model tells it, a confidence
    return [
        tuple((x, y, *(told or [1.0])) for x, y, *told in points)
        for points in result.keypoints.data.tolist()
    ]


def _oriented(result: Any, name: Callable[[int], str]) -> Iterable[Detection]:
    """Oriented boxes. The upright box round each is kept within the frame, as other boxes are."""
    import torch  # noqa: PLC0415

    obb, (height, width) = result.obb, result.orig_shape
    corners = obb.xyxyxyxy
    size = torch.tensor((width, height), dtype=corners.dtype, device=corners.device)
    corners = corners.clamp(min=-_LONGEST_REACH * size, max=(1.0 + _LONGEST_REACH) * size)
    inside = corners.clamp(min=torch.zeros_like(size), max=size)
    long, short, turned = obb.xywhr[:, 2], obb.xywhr[:, 3], obb.xywhr[:, 4]
    degrees = torch.rad2deg(torch.where(long >= short, turned, turned + math.pi / 2)) % 180.0
    areas = (long * short).clamp(max=float(height * width))
    told = (obb.conf, obb.cls, areas, degrees)
    table = torch.cat((inside.amin(dim=1), inside.amax(dim=1), torch.stack(told, dim=1)), dim=1)
    for row, points in zip(table.tolist(), corners.tolist(), strict=True):
        x1, y1, x2, y2, confidence, index, area, angle = row
        one, two, three, four = ((x, y) for x, y in points)
        yield Detection(
            name(int(index)), confidence, (x1, y1, x2, y2), area, (one, two, three, four), angle
        )


def _classified(
    result: Any, name: Callable[[int], str], confidence: float
) -> tuple[tuple[Detection, ...], bool]:
    """The likeliest class as one detection of the whole picture, if it is sure enough."""
    numbers = result.probs.top5
    shares: list[float] = result.probs.data[numbers].tolist()
    if not all(map(math.isfinite, shares)):
        return (), False
    if not all(0.0 <= share <= 1.0 for share in shares):
        raise BundleError(
            "The model gives numbers for its classes that are no shares of 1.",
            hint="Export it with its softmax.",
            code=Code.INCOMPATIBLE,
        )
    if not shares or shares[0] < confidence:
        return (), True
    height, width = result.orig_shape
    top5 = tuple(zip(map(name, numbers), shares, strict=True))
    (label, share), whole = top5[0], (0.0, 0.0, float(width), float(height))
    return (Detection(label, share, whole, top5=top5),), True


def _is_finite(found: Detection) -> bool:
    points = sum(sum(point) for point in found.keypoints or ())
    corners = sum(sum(corner) for corner in found.polygon or ())
    area, angle = found.area_px or 0.0, found.angle_deg or 0.0
    return math.isfinite(sum(found.box) + found.confidence + area + angle + points + corners)
