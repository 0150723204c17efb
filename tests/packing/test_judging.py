"""Verdicts on labelled pictures, counted by hand and by `judging`."""

from __future__ import annotations

from pathlib import Path

from edge_daemon.core.golden import ExpectedBox
from edge_daemon.core.values import Box, Detection, Recipe, Verdict
from edge_daemon.packing.judging import (
    EXTRA,
    MISSED,
    Score,
    Seen,
    confusion,
    score,
    score_classes,
    sweep,
    wrong,
)
from edge_daemon.packing.labels import Labelled

RECIPE = Recipe.rejecting(0.5, "scratch")
HERE: Box = (10.0, 10.0, 50.0, 50.0)
THERE: Box = (100.0, 10.0, 150.0, 50.0)


def seen(
    labelled: tuple[ExpectedBox, ...] | None,
    *found: Detection,
    verdict: Verdict | None = None,
) -> Seen:
    return Seen(Labelled(Path("a.png"), "all", labelled, verdict), found)


def scratch(confidence: float, box: Box = HERE) -> Detection:
    return Detection("scratch", confidence, box)


LABEL = (ExpectedBox("scratch", HERE),)
PICTURES = (
    seen(LABEL, scratch(0.9)),  # right
    seen(LABEL, scratch(0.3)),  # escapes below 0.5
    seen((), scratch(0.6)),  # rejected though it is good
    seen((), scratch(0.2)),  # right
    seen(None, scratch(0.7), verdict=Verdict.NG),  # right, by a person
    seen(None, scratch(0.7)),  # nobody said
)


def test_verdicts_are_counted_against_what_the_labels_say() -> None:
    """An escape is a labelled ng that came out ok; a false reject the other way round."""
    assert score(PICTURES, RECIPE) == Score(ng=3, escaped=1, ok=2, rejected=1, unlabelled=1)
    assert wrong(PICTURES, RECIPE) == (PICTURES[1], PICTURES[2])


def test_an_ng_picture_that_comes_out_empty_has_escaped() -> None:
    """The part was not found, and so nothing was judged; an empty one counts with the good ones."""
    recipe = Recipe(0.5, RECIPE.rules, "bottle")
    bottle = Detection("bottle", 0.9, THERE)
    pictures = (
        seen(LABEL, scratch(0.9)),
        seen(LABEL, scratch(0.9), bottle),
        seen(None, verdict=Verdict.EMPTY),
    )
    assert score(pictures, recipe) == Score(ng=2, escaped=1, ok=1)


def test_a_share_without_pictures_is_none() -> None:
    """No evidence is no zero."""
    assert score(PICTURES[2:4], RECIPE).escapes is None
    assert score(PICTURES[:2], RECIPE).false_rejects is None


def test_a_sweep_moves_one_threshold_and_leaves_the_truth_alone() -> None:
    """Each step is what a recipe with that threshold would have done."""
    points = dict(sweep(PICTURES, RECIPE)["scratch"])
    assert (points[0.05].escaped, points[0.05].rejected) == (0, 2)
    assert (points[0.25].escaped, points[0.25].rejected) == (0, 1)
    assert (points[0.5].escaped, points[0.5].rejected) == (1, 1)
    assert (points[0.95].escaped, points[0.95].rejected) == (3, 0)


def test_boxes_are_paired_once_and_what_is_left_is_missed_or_extra() -> None:
    """Another class on the same spot is a confusion, not a miss and an extra."""
    pictures = (
        seen((*LABEL, ExpectedBox("dent", THERE)), scratch(0.9), scratch(0.8), scratch(0.7, THERE)),
        seen((ExpectedBox("bottle", HERE),)),
    )
    assert confusion(pictures, RECIPE) == {
        ("scratch", "scratch"): 1,
        (EXTRA, "scratch"): 1,
        ("dent", "scratch"): 1,
        ("bottle", MISSED): 1,
    }
    by_class = {each.label: each for each in score_classes(pictures, RECIPE, ("scratch", "bottle"))}
    assert (by_class["scratch"].expected, by_class["scratch"].found) == (1, 1)
    assert by_class["scratch"].made == 3
    assert (by_class["bottle"].expected, by_class["bottle"].found) == (1, 0)
