"""Zones hold what lies inside or on their border, and one covers another or does not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_daemon.core.zones import MOST_POINTS, WHOLE, Point, Zone, fault_of

BODY = Zone("body", ((0.1, 0.2), (0.9, 0.2), (0.9, 1.0), (0.1, 1.0)))
NOTCHED = Zone("notched", ((0.0, 0.0), (0.5, 0.5), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)))
shares = st.integers(0, 20).map(lambda n: n / 20)


@st.composite
def boxes(draw: st.DrawFn) -> Zone:
    left, right = sorted(draw(st.lists(shares, min_size=2, max_size=2, unique=True)))
    top, bottom = sorted(draw(st.lists(shares, min_size=2, max_size=2, unique=True)))
    points = ((left, top), (right, top), (right, bottom), (left, bottom))
    turn = draw(st.integers(0, 3))
    turned = (*points[turn:], *points[:turn])
    return Zone("box", turned[::-1] if draw(st.booleans()) else turned)


@pytest.mark.parametrize(
    ("point", "inside"),
    [
        ((0.5, 0.5), True),
        ((0.1, 0.2), True),
        ((0.9, 0.6), True),
        ((0.5, 0.2), True),
        ((0.0999, 0.5), False),
        ((0.5, 0.1999), False),
        ((0.5, 1.7), True),
    ],
)
def test_the_border_belongs_to_a_zone(point: Point, inside: bool) -> None:
    """And what lies outside of the picture counts as on its edge."""
    assert BODY.holds(*point) is inside


def test_a_notch_is_not_inside() -> None:
    """A zone need not be convex."""
    assert not NOTCHED.holds(0.5, 0.2)
    assert NOTCHED.holds(0.5, 0.5)
    assert NOTCHED.holds(0.1, 0.5)


@given(boxes(), shares, shares)
def test_a_box_holds_what_its_bounds_say(box: Zone, x: float, y: float) -> None:
    """Wherever it begins and whichever way round it goes."""
    xs, ys = zip(*box.points, strict=True)
    assert box.holds(x, y) is (min(xs) <= x <= max(xs) and min(ys) <= y <= max(ys))


@given(boxes(), boxes())
def test_a_box_covers_another_exactly_when_its_bounds_do(one: Zone, other: Zone) -> None:
    """Shared borders too."""
    (x, y), (u, v) = (tuple(zip(*zone.points, strict=True)) for zone in (one, other))
    within = min(x) <= min(u) and max(u) <= max(x) and min(y) <= min(v) and max(v) <= max(y)
    assert one.covers(other) is within


@settings(max_examples=400)
@given(boxes(), shares, shares)
def test_what_lies_in_a_covered_zone_lies_in_the_one_that_covers_it(
    box: Zone, across: float, down: float
) -> None:
    """With a border that is not straight: any point of a box, if the box is covered."""
    (left, *_, right), (top, *_, bottom) = (sorted(each) for each in zip(*box.points, strict=True))
    if NOTCHED.covers(box):
        assert NOTCHED.holds(left + across * (right - left), top + down * (bottom - top))


def test_a_box_over_a_notch_is_not_covered() -> None:
    """Though all of its corners are inside."""
    over = Zone("over", ((0.1, 0.3), (0.9, 0.3), (0.9, 0.9), (0.1, 0.9)))
    assert all(NOTCHED.holds(*point) for point in over.points)
    assert not NOTCHED.covers(over)
    assert WHOLE.covers(over)
    assert NOTCHED.covers(NOTCHED)


@pytest.mark.parametrize(
    ("points", "word"),
    [
        (((0.1, 0.1), (0.9, 0.9)), "3 to"),
        (((0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0)), "cross"),
        (((0.1, 0.1), (0.5, 0.5), (0.9, 0.9)), "area"),
        (((0.1, 0.1), (0.9, 0.1), (0.9, 0.9), (0.1, 0.1)), "twice"),
        (((0.0, 0.0), (1.0, 0.0), (0.5, 0.5), (0.5, 0.0), (0.0, 1.0)), "cross"),
        (tuple((n / 100, 0.5) for n in range(MOST_POINTS + 1)), "3 to"),
        (BODY.points, ""),
        (NOTCHED.points, ""),
    ],
)
def test_points_that_make_no_zone_are_refused(points: tuple[Point, ...], word: str) -> None:
    """Each with why."""
    fault = fault_of(points)
    assert (word in fault) if word else fault == ""
