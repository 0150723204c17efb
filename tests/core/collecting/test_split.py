"""Neither a part nor a moment is on both sides of a split."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from edge_daemon.core.collecting.split import TEST, TRAIN, VAL, Placed, split

PICTURES = st.lists(
    st.builds(
        Placed,
        st.lists(st.integers(0, 40), max_size=2, unique=True).map(tuple),
        st.floats(0.0, 1e5),
    ),
    max_size=80,
)


@given(PICTURES)
def test_a_part_lies_in_one_split(pictures: list[Placed]) -> None:
    """Also where a picture shows several."""
    of_part = defaultdict(set)
    for picture, name in zip(pictures, split(pictures), strict=True):
        for part in picture.parts:
            of_part[part].add(name)
    assert all(len(names) == 1 for names in of_part.values())


@given(st.integers(3, 300))
def test_what_came_last_is_the_test(count: int) -> None:
    """And about eight of ten train, whatever the number."""
    names = split([Placed((number,), float(number)) for number in range(count)])
    tests = names.count(TEST)
    assert set(names[-tests:]) == {TEST}
    assert {TRAIN, VAL, TEST} == set(names)
    if count >= 40:
        assert 0.75 <= names.count(TRAIN) / count <= 0.85


def test_small_sets() -> None:
    assert split([]) == []
    assert split([Placed((1,), 0.0)]) == [TRAIN]
    assert sorted(split([Placed((1,), 0.0), Placed((2,), 1.0)])) == [TRAIN, VAL]
    assert split([Placed((1,), 0.0), Placed((1,), 1.0)]) == [TRAIN, TRAIN]


def test_neighbours_in_time_stay_together() -> None:
    """A hundred parts a minute apart: there are few borders between splits."""
    names = split([Placed((number,), 60.0 * number) for number in range(100)])
    borders = sum(a != b for a, b in pairwise(names))
    assert borders <= 5
