"""The recipe turns detections into a verdict, and in doubt takes the part out."""

from __future__ import annotations

import math

import pytest

from edge_daemon.core.recipe import judge
from edge_daemon.core.values import Detection, Recipe, Verdict

RECIPE = Recipe(0.35, frozenset({"scratch"}))


@pytest.mark.parametrize(
    ("label", "confidence", "verdict"),
    [
        ("scratch", 0.35, Verdict.NG),
        ("scratch", 0.9, Verdict.NG),
        ("scratch", 0.3499, Verdict.OK),
        ("bottle", 0.99, Verdict.OK),
        ("scratch", math.nan, Verdict.NG),
    ],
)
def test_a_rejected_class_at_or_above_the_confidence_is_ng(
    label: str, confidence: float, verdict: Verdict
) -> None:
    """Only a rejected class that reaches the confidence makes a frame ng; NaN reaches it."""
    assert judge([Detection(label, confidence, (0, 0, 1, 1))], RECIPE) is verdict


def test_one_defect_among_many_good_detections_is_enough() -> None:
    """The verdict does not depend on where in the list the defect stands."""
    good = [Detection("bottle", 0.9, (0, 0, 1, 1))] * 5
    assert judge([*good, Detection("scratch", 0.5, (0, 0, 1, 1))], RECIPE) is Verdict.NG


def test_nothing_found_is_ok() -> None:
    """A frame without detections is ok."""
    assert judge([], RECIPE) is Verdict.OK
