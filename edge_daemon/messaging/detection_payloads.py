"""What a model found, as a result names it: a box and, depending on the model's task, more."""

from __future__ import annotations

import msgspec

from edge_daemon.core.values import Detection
from edge_daemon.messaging.field_types import Box


class ClassLine(msgspec.Struct, frozen=True, rename={"label": "class"}):
    """One class of a whole picture, and how sure the model is of it."""

    label: str
    confidence: float


class DetectionLine(msgspec.Struct, frozen=True, rename={"label": "class"}):
    """One box: x1, y1, x2, y2 in pixels of the captured frame, and the area of its mask.

    An oriented box has its corners, and the angle of its longer side, clockwise from the
    horizontal; a key point is x, y and confidence; a classifier tells its five likeliest classes.
    """

    label: str
    confidence: float
    box: Box
    area_px: float | msgspec.UnsetType = msgspec.UNSET
    polygon: list[tuple[float, float]] | msgspec.UnsetType = msgspec.UNSET
    angle_deg: float | msgspec.UnsetType = msgspec.UNSET
    keypoints: list[tuple[float, float, float]] | msgspec.UnsetType = msgspec.UNSET
    top5: list[ClassLine] | msgspec.UnsetType = msgspec.UNSET

    @classmethod
    def of(cls, found: Detection) -> DetectionLine:
        """Pixels to a tenth, shares to four places."""
        x1, y1, x2, y2 = found.box
        unset = msgspec.UNSET
        corners, points, classes = found.polygon, found.keypoints, found.top5
        return cls(
            found.label,
            round(found.confidence, 4),
            (round(x1, 1), round(y1, 1), round(x2, 1), round(y2, 1)),
            unset if found.area_px is None else round(found.area_px, 1),
            unset if corners is None else [(round(x, 1), round(y, 1)) for x, y in corners],
            unset if found.angle_deg is None else round(found.angle_deg, 1),
            unset
            if points is None
            else [(round(x, 1), round(y, 1), round(share, 4)) for x, y, share in points],
            unset if classes is None else [ClassLine(name, round(s, 4)) for name, s in classes],
        )
