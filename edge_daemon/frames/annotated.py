"""A picture of a part as people look at it: boxes, masks' corners, zones, verdict and causes."""

from __future__ import annotations

import math

import cv2

from edge_daemon.core.judged import Judged
from edge_daemon.core.recipe import counted
from edge_daemon.core.values import Detection, Verdict
from edge_daemon.frames.images import Colour, outline
from edge_daemon.host.memory import Pixels

_BAD: Colour = (60, 60, 230)
_GOOD: Colour = (80, 200, 80)
_ZONE: Colour = (230, 190, 60)
_PAPER: Colour = (40, 40, 40)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_USUAL_HEIGHT = 720
"""Lines and letters are drawn for a picture of this height, and grow with it."""


def annotated(judged: Judged, pixels: Pixels) -> Pixels:
    """A copy of the frame with all that its verdict rests on; what does not count is left out."""
    picture: Pixels = pixels.copy()
    scale = max(0.4, picture.shape[0] / _USUAL_HEIGHT)
    thick = max(1, round(2 * scale))
    recipe = judged.recipe
    height, width = picture.shape[:2]
    for zone in recipe.zones if recipe is not None else ():
        outline(picture, [(x * width, y * height) for x, y in zone.points], _ZONE, 1)
    broken = set(judged.causes)
    bad = {rule.label for rule in recipe.rules if rule.id in broken} if recipe else set()
    found = counted(judged.detections, recipe) if recipe else judged.detections
    for each in sorted(found, key=lambda one: one.label in bad):  # what is bad lies on top
        _mark(picture, each, _BAD if each.label in bad else _GOOD, scale, thick)
    colour = _GOOD if judged.verdict is Verdict.OK else _BAD
    reason = [judged.reason.value] if judged.reason else []
    words = ": ".join([judged.verdict.value, *filter(None, [", ".join([*judged.causes, *reason])])])
    _write(picture, words, (round(8 * scale), round(36 * scale)), colour, 1.2 * scale)
    return picture


def _mark(picture: Pixels, found: Detection, colour: Colour, scale: float, thick: int) -> None:
    if not all(map(math.isfinite, found.box)):
        return  # nowhere
    x1, y1, x2, y2 = (round(value) for value in found.box)
    if found.polygon is not None:
        outline(picture, found.polygon, colour, thick)
    else:
        cv2.rectangle(picture, (x1, y1), (x2, y2), colour, thick)
    for x, y, _ in found.keypoints or ():
        cv2.circle(picture, (round(x), round(y)), thick + 1, colour, -1)
    words = f"{found.label} {found.confidence:.2f}"
    _write(
        picture, words, (max(0, x1), max(round(14 * scale), y1 - thick - 2)), colour, 0.6 * scale
    )


def _write(picture: Pixels, words: str, at: tuple[int, int], colour: Colour, size: float) -> None:
    """On dark paper: readable on every ground."""
    thick = max(1, round(size))
    (width, height), below = cv2.getTextSize(words, _FONT, size, thick)
    x, y = at
    cv2.rectangle(picture, (x - 2, y - height - 2), (x + width + 2, y + below), _PAPER, -1)
    cv2.putText(picture, words, at, _FONT, size, colour, thick, cv2.LINE_AA)
