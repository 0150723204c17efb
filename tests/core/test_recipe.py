"""The recipe turns detections into a verdict, and in doubt takes the part out."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_daemon.core.recipe import (
    broken_rules,
    can_reject,
    has_part_in_view,
    judge,
    kept_rules,
    weakened_rules,
)
from edge_daemon.core.values import Box, Detection, Recipe, Rule, Verdict

RECIPE = Recipe.rejecting(0.35, "scratch")
BOX: Box = (0, 0, 1, 1)


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
    assert judge([Detection(label, confidence, BOX)], RECIPE) is verdict


def test_one_defect_among_many_good_detections_is_enough() -> None:
    """The verdict does not depend on where in the list the defect stands."""
    good = [Detection("bottle", 0.9, BOX)] * 5
    assert judge([*good, Detection("scratch", 0.5, BOX)], RECIPE) is Verdict.NG


def test_nothing_found_is_ok() -> None:
    """A frame without detections is ok where nothing is required."""
    assert judge([], RECIPE) is Verdict.OK


CAPS = Recipe(0.35, (Rule("caps", "cap", 0.35, at_least=2, at_most=3),))


@pytest.mark.parametrize(
    ("count", "verdict"),
    [(0, Verdict.NG), (1, Verdict.NG), (2, Verdict.OK), (3, Verdict.OK), (4, Verdict.NG)],
)
def test_a_count_outside_its_bounds_is_ng(count: int, verdict: Verdict) -> None:
    """Too few is as wrong as too many."""
    assert judge([Detection("cap", 0.9, BOX)] * count, CAPS) is verdict


def test_doubt_counts_against_the_part_both_ways() -> None:
    """A confidence that is not a number is no cap where caps must be, and one too many else."""
    doubtful = Detection("cap", math.nan, BOX)
    sure = Detection("cap", 0.9, BOX)
    assert judge([sure, doubtful], CAPS) is Verdict.NG
    assert judge([sure, sure, sure, doubtful], CAPS) is Verdict.NG


def test_only_areas_within_bounds_count() -> None:
    """In square pixels of the box."""
    recipe = Recipe(0.2, (Rule("spot", "spot", 0.2, at_most=0, min_area_px=60, max_area_px=100),))
    for box, verdict in (
        ((0.0, 0.0, 5.0, 11.0), Verdict.OK),
        ((0.0, 0.0, 6.0, 10.0), Verdict.NG),
        ((0.0, 0.0, 10.0, 10.0), Verdict.NG),
        ((0.0, 0.0, 11.0, 10.0), Verdict.OK),
    ):
        assert judge([Detection("spot", 0.5, box)], recipe) is verdict


def test_causes_are_the_broken_rules_in_the_order_of_the_recipe() -> None:
    """However the detections come."""
    recipe = Recipe(0.2, (*Recipe.rejecting(0.2, "scratch", "dent").rules, *CAPS.rules))
    found = [Detection("dent", 0.5, BOX), Detection("scratch", 0.5, BOX)]
    assert broken_rules(found, recipe) == ("scratch", "dent", "caps")


LABELS = ("bottle", "cap", "scratch")
detections = st.lists(
    st.builds(
        Detection,
        st.sampled_from(LABELS),
        st.floats(0, 1) | st.just(math.nan),
        st.sampled_from([(0.0, 0.0, 2.0, 2.0), (0.0, 0.0, 9.0, 9.0)]),
    ),
    max_size=6,
)
rules = st.builds(
    Rule,
    st.uuids().map(str),
    st.sampled_from(LABELS),
    st.floats(0, 1),
    st.integers(0, 2),
    st.none() | st.integers(2, 3),
    st.sampled_from([0.0, 10.0]),
)
recipes = st.lists(rules, max_size=4).map(lambda found: Recipe(0.3, tuple(found)))


@given(detections, recipes, st.randoms())
def test_no_order_changes_a_verdict(found: list[Detection], recipe: Recipe, chance: object) -> None:
    """Neither that of the detections nor that of the rules."""
    shuffled, turned = list(found), list(recipe.rules)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    chance.shuffle(turned)  # type: ignore[attr-defined]
    other = Recipe(recipe.confidence, tuple(turned))
    assert set(broken_rules(shuffled, other)) == set(broken_rules(found, recipe))


@given(detections, recipes, rules)
def test_one_rule_more_never_turns_ng_into_ok(
    found: list[Detection], recipe: Recipe, rule: Rule
) -> None:
    """Rules only take parts out."""
    stricter = Recipe(recipe.confidence, (*recipe.rules, rule))
    assert set(broken_rules(found, recipe)) <= set(broken_rules(found, stricter))


@given(detections, recipes, recipes)
def test_what_a_kept_rule_rejected_is_still_rejected(
    found: list[Detection], old: Recipe, new: Recipe
) -> None:
    """With the same weights: the new rule breaks wherever the old one did."""
    for was, now in kept_rules(new, old, same_weights=True):
        if broken_rules(found, Recipe(0.3, (was,))):
            assert broken_rules(found, Recipe(0.3, (now,)))


@given(recipes)
def test_a_recipe_is_not_weaker_than_itself(recipe: Recipe) -> None:
    """Nor is one with a rule more."""
    if all(rule.confidence < 1.0 for rule in recipe.rules):
        assert weakened_rules(recipe, recipe, same_weights=True) == ()


OLD = Recipe(0.35, (*Recipe.rejecting(0.35, "scratch", "dent").rules, *CAPS.rules))

WEAKER = {
    "nothing is rejected any more": Recipe(0.35, CAPS.rules),
    "one class less": Recipe(0.35, (*Recipe.rejecting(0.35, "scratch").rules, *CAPS.rules)),
    "the part is rejected instead": Recipe(
        0.35, (*Recipe.rejecting(0.35, "bottle").rules, *CAPS.rules)
    ),
    "no rule at all": Recipe(),
    "a confidence that nothing reaches": Recipe(
        1.0, (*Recipe.rejecting(1.0, "scratch", "dent").rules, *CAPS.rules)
    ),
    "one defect may be there": Recipe(
        0.35,
        (Rule("s", "scratch", 0.35, at_most=1), *Recipe.rejecting(0.35, "dent").rules, *CAPS.rules),
    ),
    "a rule turned round": Recipe(
        0.35,
        (
            Rule("s", "scratch", 0.35, at_least=1),
            *Recipe.rejecting(0.35, "dent").rules,
            *CAPS.rules,
        ),
    ),
    "only large defects count": Recipe(
        0.35,
        (
            Rule("s", "scratch", 0.35, at_most=0, min_area_px=1e6),
            *Recipe.rejecting(0.35, "dent").rules,
            *CAPS.rules,
        ),
    ),
    "only small defects count": Recipe(
        0.35,
        (
            Rule("s", "scratch", 0.35, at_most=0, max_area_px=4),
            *Recipe.rejecting(0.35, "dent").rules,
            *CAPS.rules,
        ),
    ),
    "fewer caps will do": Recipe(
        0.35, (*OLD.rules[:2], Rule("caps", "cap", 0.35, at_least=1, at_most=3))
    ),
    "more caps will do": Recipe(
        0.35, (*OLD.rules[:2], Rule("caps", "cap", 0.35, at_least=2, at_most=9))
    ),
    "no cap is needed": Recipe(0.35, (*OLD.rules[:2], Rule("caps", "cap", 0.35, at_most=3))),
    "caps are not counted": Recipe(0.35, OLD.rules[:2]),
}


@pytest.mark.parametrize("weaker", WEAKER.values(), ids=WEAKER.keys())
def test_what_lets_more_pass_is_weaker(weaker: Recipe) -> None:
    """Each by the rule that was given up, in words."""
    given_up = weakened_rules(weaker, OLD)
    assert given_up
    assert all(words for _, words in given_up)


@pytest.mark.parametrize(
    "as_strict",
    [
        OLD,
        Recipe(0.2, (*Recipe.rejecting(0.2, "scratch", "dent").rules, *CAPS.rules)),
        Recipe(0.9, (*Recipe.rejecting(0.9, "scratch", "dent").rules, *CAPS.rules)),
        Recipe(0.35, (*OLD.rules, Rule("tape", "tape", 0.35, at_most=0))),
        Recipe(0.35, tuple(replace(rule, id=f"my-{rule.id}") for rule in OLD.rules)),
    ],
)
def test_what_rejects_as_much_is_not_weaker(as_strict: Recipe) -> None:
    """Another confidence alone says nothing: another network has another scale."""
    assert weakened_rules(as_strict, OLD) == ()


def test_with_the_same_weights_a_raised_confidence_is_weaker() -> None:
    """Whatever was found before is found with the same confidence now, and no longer counts."""
    raised = Recipe.rejecting(0.6, "scratch")
    ((rule, words),) = weakened_rules(raised, RECIPE, same_weights=True)
    assert rule.id == "scratch"
    assert "0.6" in words
    assert "0.35" in words


@pytest.mark.parametrize(
    ("recipe", "can"),
    [
        (Recipe(), False),
        (RECIPE, True),
        (CAPS, True),
        (Recipe.rejecting(1.0, "scratch"), False),
        (Recipe(0.3, (Rule("a", "a", 1.0, at_least=1),)), True),
    ],
)
def test_a_recipe_that_can_never_say_ng_is_known(recipe: Recipe, can: bool) -> None:
    """No rule, or none that any detection could break."""
    assert can_reject(recipe) is can


def test_a_part_is_in_view_where_something_is_found_that_no_rule_forbids() -> None:
    """A defect alone does not tell that there is a part."""
    assert has_part_in_view([Detection("bottle", 0.9, BOX)], RECIPE)
    assert not has_part_in_view([Detection("bottle", 0.1, BOX)], RECIPE)
    assert not has_part_in_view([Detection("scratch", 0.9, BOX)], RECIPE)
    assert not has_part_in_view([], RECIPE)
