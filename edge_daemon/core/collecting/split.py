"""Which pictures train and which test: by part and by time, never by frame.

Two pictures of one part, or of one minute, are nearly the same. If one trains and the other tests,
the test says nothing. So the pictures are cut into stretches of time, a part lies in one of them,
and a stretch is in one split as a whole. What came last is the test: a model meets what comes
later.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise

TRAIN, VAL, TEST = "train", "val", "test"
SPLITS = (TRAIN, VAL, TEST)

_STRETCHES = 20
_TEST_SHARE = _VAL_SHARE = 0.1
_FEWEST_FOR_TEST = 3


@dataclass(frozen=True)
class Placed:
    """One picture: the parts that it shows, and its time."""

    parts: tuple[Hashable, ...]
    utc: float


def split(pictures: Sequence[Placed]) -> list[str]:
    """The split of each picture, in their order; eight tenths train."""
    groups = _groups(pictures)
    stretches = _stretches(groups)
    names = _names(len(stretches))
    found = [TRAIN] * len(pictures)
    for stretch, name in zip(stretches, names, strict=True):
        for index in stretch:
            found[index] = name
    return found


def _groups(pictures: Sequence[Placed]) -> list[list[int]]:
    """Pictures that share a part, directly or through others; by their first time."""
    first: dict[Hashable, int] = {}
    root = list(range(len(pictures)))

    def find(index: int) -> int:
        while root[index] != index:
            root[index] = root[root[index]]
            index = root[index]
        return index

    for index, each in enumerate(pictures):
        for part in each.parts:
            root[find(index)] = find(first.setdefault(part, index))
    groups: dict[int, list[int]] = {}
    for index in sorted(range(len(pictures)), key=lambda index: pictures[index].utc):
        groups.setdefault(find(index), []).append(index)
    return list(groups.values())


def _stretches(groups: Sequence[Sequence[int]]) -> list[list[int]]:
    """Consecutive groups together, of about the same number."""
    count = min(_STRETCHES, len(groups))
    edges = [round(number * len(groups) / count) for number in range(count + 1)] if count else []
    return [
        [index for group in groups[low:high] for index in group] for low, high in pairwise(edges)
    ]


def _names(count: int) -> list[str]:
    """The last ones test, some of the others, evenly spread, validate."""
    names = [TRAIN] * count
    tests = max(1, round(_TEST_SHARE * count)) if count >= _FEWEST_FOR_TEST else 0
    for index in range(count - tests, count):
        names[index] = TEST
    left = count - tests
    vals = max(1, round(_VAL_SHARE * count)) if left > 1 else 0
    for number in range(vals):
        names[(2 * number + 1) * left // (2 * vals)] = VAL
    return names
