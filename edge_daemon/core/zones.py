"""Zones: named polygons of the picture, as shares of its width and height.

A point on the border lies in the zone. Shares that differ by less than `NEAR` are the same, so
that borders drawn twice agree whatever the rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

Point = tuple[float, float]
"""Shares of width and height, 0..1; the origin is the top left corner."""

MOST_POINTS = 64

NEAR = 1e-9


@dataclass(frozen=True)
class Zone:
    """A polygon whose sides do not cross each other; the last point is joined to the first."""

    name: str
    points: tuple[Point, ...]

    def holds(self, x: float, y: float) -> bool:
        """Whether the point lies inside or on the border; shares outside of 0..1 are moved in."""
        x, y = min(max(x, 0.0), 1.0), min(max(y, 0.0), 1.0)
        inside = False
        x1, y1 = self.points[-1]
        for x2, y2 in self.points:
            cross = (x2 - x1) * (y - y1) - (y2 - y1) * (x - x1)
            if -NEAR <= cross <= NEAR and _is_between(x1, y1, x2, y2, x, y):
                return True
            if (y1 > y) is not (y2 > y) and (cross > 0) is (y2 > y1):
                inside = not inside
            x1, y1 = x2, y2
        return inside

    def covers(self, other: Zone) -> bool:
        """Whether every point of the other zone lies in this one."""
        return all(
            self.holds(*point)
            for side in _sides(other.points)
            for point in _between_cuts(side, self.points)
        )


def fault_of(points: Sequence[Point]) -> str:
    """Why these points are no zone, to follow its name; empty where they are one."""
    if not 3 <= len(points) <= MOST_POINTS:
        return f"must have 3 to {MOST_POINTS} points"
    if len(set(points)) < len(points):
        return "has a point twice; the last one is joined to the first by itself"
    sides = _sides(points)
    for (i, one), (j, other) in combinations(enumerate(sides), 2):
        neighbours = j == i + 1 or (i == 0 and j == len(sides) - 1)
        if not neighbours and _touch(one, other):
            return "has sides that cross or touch each other"
    if abs(_doubled_area(points)) <= NEAR:
        return "has no area"
    return ""


WHOLE = Zone("", ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)))
"""The whole picture: what a rule without a zone looks at."""

_Side = tuple[Point, Point]


def _sides(points: Sequence[Point]) -> list[_Side]:
    return list(zip(points, (*points[1:], points[0]), strict=True))


def _doubled_area(points: Sequence[Point]) -> float:
    return sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in _sides(points))


def _is_between(x1: float, y1: float, x2: float, y2: float, x: float, y: float) -> bool:
    """Whether a point on the line through both ends lies between them."""
    return (
        min(x1, x2) - NEAR <= x <= max(x1, x2) + NEAR
        and min(y1, y2) - NEAR <= y <= max(y1, y2) + NEAR
    )


def _turn(a: Point, b: Point, c: Point) -> int:
    """Which way a, b, c turn: 1, -1, or 0 for a straight line."""
    cross = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    return (cross > NEAR) - (cross < -NEAR)


def _touch(one: _Side, other: _Side) -> bool:
    (a, b), (c, d) = one, other
    turns = _turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b)
    if turns[0] != turns[1] and turns[2] != turns[3]:
        return True
    on_line = ((a, b, c), (a, b, d), (c, d, a), (c, d, b))
    return any(
        turn == 0 and _is_between(*start, *end, *point)
        for turn, (start, end, point) in zip(turns, on_line, strict=True)
    )


def _between_cuts(side: _Side, points: Sequence[Point]) -> list[Point]:
    """A side's start, and a point of each of its pieces between the polygon's sides.

    A piece meets the polygon's border nowhere inside, so that all of it is in or out.
    """
    (x1, y1), (x2, y2) = side
    cuts = {0.0, 1.0}
    for one, other in _sides(points):
        cuts.update(_cuts(side, one, other))
    places = sorted(cuts)
    middles = [(low + high) / 2 for low, high in pairwise(places)]
    return [(x1 + t * (x2 - x1), y1 + t * (y2 - y1)) for t in (*places, *middles)]


def _cuts(side: _Side, a: Point, b: Point) -> list[float]:
    """Where a side meets the line from a to b, and where it passes their ends, as shares of it."""
    (x1, y1), (x2, y2) = side
    dx, dy = x2 - x1, y2 - y1
    ex, ey = b[0] - a[0], b[1] - a[1]
    across = dx * ey - dy * ex
    if abs(across) > NEAR * NEAR:
        found = [((a[0] - x1) * ey - (a[1] - y1) * ex) / across]
    else:  # parallel: only ends on this very side matter
        length = dx * dx + dy * dy
        found = [((x - x1) * dx + (y - y1) * dy) / length for x, y in (a, b)]
    return [t for t in found if 0.0 < t < 1.0]
