"""The parts of the drawn production line: their forms, their defects, and where a pose puts them.

Lengths are in reference pixels of a picture 480 pixels high. A part's own coordinates have their
origin at the middle of its foot, with y upward.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]
Colour = tuple[float, float, float]
"""Blue, green, red: 0 to 255."""

RIM: Final = 1.1  # of a scratch, to either side of its line


@dataclass(frozen=True)
class Mark:
    """A defect on its part: a scratch's line, or what a dent or a lid's middle is bounded by."""

    kind: str
    points: tuple[Point, ...]
    thickness: float = 0.0  # of a scratch

    @property
    def rim(self) -> float:
        """How far the mark reaches beyond its points."""
        return self.thickness / 2 + RIM if self.thickness else 0.0


@dataclass(frozen=True)
class Plan:
    """All that chance decides about one part."""

    scene: str
    shape: int
    colours: tuple[Colour, ...]  # of the four zones of a cast
    gain: float
    tilt: float  # radians
    scale: float
    dx: float
    dy: float
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Form:
    """A shape of bottle or can: its silhouette, and the part of it that defects may lie on."""

    outline: tuple[Point, ...]
    radius: float
    height: float
    top: float  # the half height of a can's lid; 0 for a bottle
    clear: tuple[float, float]  # lowest and highest y of a defect's middle

    @property
    def lid(self) -> Point:
        """The middle of a can's lid."""
        return (0.0, self.height - self.top)


def bottle_profile(radius: float, body: float, neck: float) -> tuple[list[float], list[float]]:
    """A bottle's heights, and the half width at each; `body` and `neck` are heights too."""
    ys, rs = [0.0, 5.0, body], [radius - 6, radius, radius]
    for step in range(1, 13):
        t = step / 12
        ys.append(body + 62 * t)
        rs.append(18 + (radius - 18) * 0.5 * (1 + math.cos(math.pi * t)))
    top = body + 62 + neck
    return [*ys, top, top + 0.5, top + 26, top + 28], [*rs, 18.0, 22.0, 22.0, 19.0]


def _bottle(radius: float, body: float, neck: float) -> Form:
    ys, rs = bottle_profile(radius, body, neck)
    right = list(zip(rs, ys, strict=True))
    outline = [*right, *((-x, y) for x, y in reversed(right))]
    return Form(tuple(outline), radius, ys[-1], 0.0, (34.0, body - 14.0))


def _can(radius: float, height: float) -> Form:
    top = 0.34 * radius
    turn = [math.pi * step / 24 for step in range(25)]
    foot = [(-radius * math.cos(a), top * (1 - math.sin(a))) for a in turn]
    head = [(0.94 * radius * math.cos(a), height - top + top * math.sin(a)) for a in turn]
    neck = height - top - 12.0
    outline = (*foot, (radius, neck), *head, (-radius, neck))
    return Form(outline, radius, height, top, (top + 30.0, height - 2 * top - 40.0))


BOTTLES: Final = (
    (50.0, 178.0, 38.0),
    (54.0, 190.0, 30.0),
    (57.0, 166.0, 48.0),
    (52.0, 202.0, 26.0),
)
_CANS: Final = ((68.0, 238.0), (72.0, 218.0), (64.0, 254.0))
FORMS: Final = {
    "bottle": tuple(_bottle(*each) for each in BOTTLES),
    "can": tuple(_can(*each) for each in _CANS),
}


def placed(points: Iterable[Point], plan: Plan, scale: float) -> NDArray[np.float64]:
    """A part's points as pixels right and down of its foot's middle."""
    c, s = math.cos(plan.tilt) * plan.scale * scale, math.sin(plan.tilt) * plan.scale * scale
    return np.array([(c * x + s * y, s * x - c * y) for x, y in points])


def bounds(points: NDArray[np.float64], grow: float = 0.0) -> tuple[float, float, float, float]:
    """The left, top, right and bottom of all points, each further out by `grow`."""
    (x1, y1), (x2, y2) = points.min(axis=0) - grow, points.max(axis=0) + grow
    return float(x1), float(y1), float(x2), float(y2)
