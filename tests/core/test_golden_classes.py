"""Golden images of a classifier: a class that is everywhere in the picture."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_daemon.core.golden import Expectation, ExpectedBox, score
from edge_daemon.core.recipe import judge
from edge_daemon.core.values import Detection, Recipe, Rule, Verdict
from edge_daemon.core.verdicts import expected_verdict

RECIPE = Recipe(0.35, (Rule("dent", "dent", 0.35, at_most=0),))
WHOLE = (0.0, 0.0, 64.0, 48.0)


@pytest.mark.parametrize(("label", "found"), [("dent", 1), ("good", 0)])
def test_the_class_of_a_picture_counts_for_recall_and_precision(label: str, found: int) -> None:
    """The right class is found whatever the picture's size; another one is not."""
    shown = Expectation("all", (ExpectedBox("dent", None),))
    tally = score(shown, (Detection(label, 0.9, WHOLE),))
    assert (tally.expected, tally.found, tally.made) == (1, found, 1)


@pytest.mark.parametrize("size", [None, (64, 48)])
@pytest.mark.parametrize(("label", "verdict"), [("dent", Verdict.NG), ("good", Verdict.OK)])
def test_a_class_says_the_verdict(
    size: tuple[int, int] | None, label: str, verdict: Verdict
) -> None:
    """A picture of a rejected class must come out ng."""
    shown = Expectation("all", (ExpectedBox(label, None),))
    assert expected_verdict(shown, RECIPE, size) is verdict


@given(area=st.floats(0.0, 3000.0), least=st.floats(0.0, 3000.0))
def test_a_rule_judges_the_area_that_the_task_gives(area: float, least: float) -> None:
    """Of the mask or the oriented box, never of the upright box round it."""
    recipe = Recipe(0.35, (Rule("dent", "dent", 0.35, at_most=0, min_area_px=least),))
    found = Detection("dent", 0.9, WHOLE, area)
    assert (judge((found,), recipe) is Verdict.NG) is (area >= least)
