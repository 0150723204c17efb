"""The matcher pairs as many expected boxes as can be paired, whatever the order."""

from __future__ import annotations

import math
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from edge_daemon.core.golden import Expectation, ExpectedBox, found_boxes, iou, score, score_class
from edge_daemon.core.values import Box, Detection

SIDES = st.integers(0, 12)
BOXES = st.tuples(SIDES, SIDES, st.integers(1, 8), st.integers(1, 8)).map(
    lambda b: (float(b[0]), float(b[1]), float(b[0] + b[2]), float(b[1] + b[3]))
)
LABELS = st.sampled_from(["a", "b"])
EXPECTED = st.lists(st.builds(ExpectedBox, LABELS, BOXES), max_size=4)
DETECTED = st.lists(st.builds(Detection, LABELS, st.floats(0, 1), BOXES), max_size=4)


@given(BOXES, BOXES)
def test_iou_is_a_symmetric_share(a: Box, b: Box) -> None:
    """IoU is the same both ways, within 0..1, and 1 exactly for a box with itself."""
    assert iou(a, b) == iou(b, a)
    assert 0.0 <= iou(a, b) <= 1.0
    assert iou(a, a) == 1.0


def test_a_box_that_is_not_a_number_overlaps_nothing() -> None:
    """NaN in any corner never matches."""
    whole = (0.0, 0.0, 10.0, 10.0)
    for corner in range(4):
        broken = list(whole)
        broken[corner] = math.nan
        assert not iou(tuple(broken), whole) >= 0.5  # type: ignore[arg-type]
        assert found_boxes([ExpectedBox("a", whole)], [Detection("a", 1.0, tuple(broken))]) == 0  # type: ignore[arg-type]


@given(EXPECTED, DETECTED)
def test_the_matching_is_the_largest_there_is(
    expected: list[ExpectedBox], detected: list[Detection]
) -> None:
    """No assignment of detections to expected boxes pairs more of them (tried out in full)."""
    assert found_boxes(expected, detected) == _by_trying(expected, detected)


@given(EXPECTED, DETECTED, st.randoms(use_true_random=False))
def test_the_order_of_boxes_means_nothing(
    expected: list[ExpectedBox], detected: list[Detection], chance: object
) -> None:
    """Shuffling either list leaves the score as it was."""
    before = found_boxes(expected, detected)
    chance.shuffle(expected)  # type: ignore[attr-defined]
    chance.shuffle(detected)  # type: ignore[attr-defined]
    assert found_boxes(expected, detected) == before


@given(EXPECTED, DETECTED, st.builds(Detection, LABELS, st.floats(0, 1), BOXES))
def test_another_detection_never_unfinds_a_box(
    expected: list[ExpectedBox], detected: list[Detection], another: Detection
) -> None:
    """Recall never falls by one more detection, and rises by one box at most."""
    before, after = found_boxes(expected, detected), found_boxes(expected, [*detected, another])
    assert before <= after <= before + 1


@given(EXPECTED, DETECTED)
def test_the_classes_add_up_to_the_whole(
    expected: list[ExpectedBox], detected: list[Detection]
) -> None:
    """An image's tally is the sum of its classes' tallies: no pair crosses classes."""
    if not expected:
        return
    expectation = Expectation("all", tuple(expected))
    whole = score(expectation, detected)
    parts = score_class("a", expectation, detected) + score_class("b", expectation, detected)
    assert (parts.expected, parts.found, parts.made) == (whole.expected, whole.found, whole.made)


def test_a_chain_of_doubts_is_matched_to_its_end() -> None:
    """A chain in which the last box makes all the others move is matched, not given up."""
    places = [(i * 2.0, 0.0, i * 2.0 + 6.0, 4.0) for i in range(400)]
    expected = [ExpectedBox("a", place) for place in (*places[1:], places[0])]
    detected = [Detection("a", 0.9, place) for place in places]
    assert found_boxes(expected, detected) == 400


def test_a_count_is_right_only_when_exact() -> None:
    """One too many is as wrong as one too few; an empty list of boxes expects none."""
    five = Expectation("all", None, 5)
    some = [Detection("a", 0.9, (0, 0, 1, 1))] * 6
    assert [score(five, some[:n]).right for n in (4, 5, 6)] == [0, 1, 0]
    assert score(Expectation("all", ()), []).right == 1
    assert score(Expectation("all", ()), some[:1]).right == 0


def _by_trying(expected: list[ExpectedBox], detected: list[Detection]) -> int:
    """The largest matching by trying every assignment; None places stand for 'not found'."""
    places = [*range(len(detected)), *[None] * len(expected)]
    return max(
        (
            sum(
                place is not None
                and detected[place].label == wanted.label
                and iou(wanted.box, detected[place].box) >= 0.5
                for wanted, place in zip(expected, chosen, strict=True)
            )
            for chosen in permutations(places, len(expected))
        ),
        default=0,
    )
