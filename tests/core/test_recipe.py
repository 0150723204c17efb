"""The recipe turns detections into a verdict, and in doubt takes the part out."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_daemon.core.recipe import (
    broken_rules,
    can_reject,
    digest,
    fault_of_tuning,
    has_part_in_view,
    judge,
    kept_rules,
    tuned,
    weakened_part,
    weakened_rules,
)
from edge_daemon.core.values import Adjustable, Box, Detection, Recipe, Rule, Verdict
from edge_daemon.core.zones import WHOLE, Zone

RECIPE = Recipe.rejecting(0.35, "scratch")
BOX: Box = (0, 0, 1, 1)
SIZE = (20, 10)
LEFT = Zone("left", ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)))
LEFTMOST = Zone("leftmost", ((0.0, 0.0), (0.2, 0.0), (0.2, 1.0), (0.0, 1.0)))


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
        st.sampled_from([(0.0, 0.0, 2.0, 2.0), (0.0, 0.0, 9.0, 9.0), (11.0, 0.0, 30.0, 3.0)]),
        st.sampled_from([None, 2.0, 50.0]),
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
    st.just(math.inf),
    st.sampled_from([None, WHOLE, LEFT, LEFTMOST]),
)
recipes = st.builds(
    lambda found, part: Recipe(0.3, tuple(found), part),
    st.lists(rules, max_size=4),
    st.sampled_from([None, "bottle"]),
)


@given(detections, recipes, st.randoms())
def test_no_order_changes_a_verdict(found: list[Detection], recipe: Recipe, chance: object) -> None:
    """Neither that of the detections nor that of the rules."""
    shuffled, turned = list(found), list(recipe.rules)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    chance.shuffle(turned)  # type: ignore[attr-defined]
    other = replace(recipe, rules=tuple(turned))
    assert set(broken_rules(shuffled, other, SIZE)) == set(broken_rules(found, recipe, SIZE))
    assert judge(shuffled, other, SIZE) is judge(found, recipe, SIZE)


@given(detections, recipes, rules)
def test_one_rule_more_never_turns_ng_into_ok(
    found: list[Detection], recipe: Recipe, rule: Rule
) -> None:
    """Rules only take parts out."""
    stricter = replace(recipe, rules=(*recipe.rules, rule))
    before, after = (judge(found, each, SIZE) for each in (recipe, stricter))
    assert set(broken_rules(found, recipe, SIZE)) <= set(broken_rules(found, stricter, SIZE))
    assert after is before or (before, after) == (Verdict.OK, Verdict.NG)


@given(detections, recipes)
def test_the_zone_of_the_whole_picture_is_no_zone(found: list[Detection], recipe: Recipe) -> None:
    """Also for what reaches out of the picture."""
    everywhere = replace(recipe, rules=tuple(replace(r, zone=None) for r in recipe.rules))
    whole = replace(recipe, rules=tuple(replace(r, zone=WHOLE) for r in recipe.rules))
    assert broken_rules(found, whole, SIZE) == broken_rules(found, everywhere, SIZE)
    assert weakened_rules(whole, everywhere) == weakened_rules(everywhere, everywhere)


@given(detections, recipes)
def test_a_place_that_is_not_known_never_makes_a_part_good(
    found: list[Detection], recipe: Recipe
) -> None:
    """Without the size of the picture a zone takes the part out."""
    assert set(broken_rules(found, recipe, SIZE)) <= set(broken_rules(found, recipe))


@settings(max_examples=500)  # few pairs of recipes share a rule
@given(detections, recipes, recipes)
def test_what_a_kept_rule_rejected_is_still_rejected(
    found: list[Detection], old: Recipe, new: Recipe
) -> None:
    """With the same weights: the new rule breaks wherever the old one did."""
    for was, now in kept_rules(new, old, same_weights=True):
        if broken_rules(found, Recipe(0.3, (was,)), SIZE):
            assert broken_rules(found, Recipe(0.3, (now,)), SIZE)


@given(recipes)
def test_a_recipe_is_not_weaker_than_itself(recipe: Recipe) -> None:
    """Nor is one with a rule more."""
    if all(rule.confidence < 1.0 for rule in recipe.rules):
        assert weakened_rules(recipe, recipe, same_weights=True) == ()


OLD = Recipe(0.35, (*Recipe.rejecting(0.35, "scratch", "dent").rules, *CAPS.rules))
IN_LEFT = Recipe(
    0.35,
    (
        Rule("s", "scratch", 0.35, at_most=0, zone=LEFT),
        Rule("l", "label", 0.35, at_least=1, zone=LEFT),
    ),
)

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
    skipped = weakened_rules(weaker, OLD)
    assert skipped
    assert all(words for _, words in skipped)


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


# --------------------------------------------------------------------------- zones


def test_a_detection_counts_where_its_centre_lies() -> None:
    """Not where its edges reach."""
    recipe = Recipe(0.3, (Rule("s", "scratch", 0.3, at_most=0, zone=LEFT),))
    across = Detection("scratch", 0.9, (0.0, 0.0, 20.0, 4.0))
    beyond = Detection("scratch", 0.9, (0.0, 0.0, 20.1, 4.0))
    assert judge([across], recipe, SIZE) is Verdict.NG
    assert judge([beyond], recipe, SIZE) is Verdict.OK


@pytest.mark.parametrize(
    ("scratch", "label", "skipped"),
    [
        (LEFT, LEFT, 0),
        (None, LEFT, 0),
        (LEFTMOST, LEFT, 1),
        (LEFT, LEFTMOST, 0),
        (LEFT, None, 1),
        (None, None, 1),
        (LEFTMOST, None, 2),
        (replace(LEFT, name="other name"), LEFT, 0),
    ],
)
def test_a_zone_that_lets_more_pass_is_weaker(
    scratch: Zone | None, label: Zone | None, skipped: int
) -> None:
    """A smaller one for defects, a larger one for what must be there."""
    first, second = IN_LEFT.rules
    rules = (replace(first, zone=scratch), replace(second, zone=label))
    found = weakened_rules(Recipe(0.35, rules), IN_LEFT)
    assert len(found) == skipped
    assert all("zone" in words for _, words in found)


# --------------------------------------------------------------------------- masks


def test_the_area_is_that_of_the_mask_where_there_is_one() -> None:
    """A thin scratch has a large box and a small mask."""
    recipe = Recipe(0.3, (Rule("s", "scratch", 0.3, at_most=0, min_area_px=60),))
    box: Box = (0.0, 0.0, 10.0, 10.0)
    for area, verdict in ((None, Verdict.NG), (59.0, Verdict.OK), (60.0, Verdict.NG)):
        assert judge([Detection("scratch", 0.9, box, area)], recipe) is verdict
    assert judge([Detection("scratch", 0.9, box, math.nan)], recipe) is Verdict.NG


# --------------------------------------------------------------------------- parts


BOTTLES = replace(OLD, part="bottle")


def test_without_a_part_in_view_nothing_is_judged() -> None:
    """Neither a defect nor what is missing; and nothing is ever called ok."""
    scratch, bottle = (Detection(label, 0.9, BOX) for label in ("scratch", "bottle"))
    faint = replace(bottle, confidence=0.3)
    assert judge([], BOTTLES) is Verdict.EMPTY
    assert judge([scratch, faint], BOTTLES) is Verdict.EMPTY
    assert broken_rules([scratch, faint], BOTTLES) == ()
    assert judge([bottle, scratch], BOTTLES) is Verdict.NG
    assert judge([bottle], replace(BOTTLES, rules=OLD.rules[:2])) is Verdict.OK
    assert has_part_in_view([bottle, scratch], BOTTLES)
    assert not has_part_in_view([Detection("cap", 0.9, BOX)], BOTTLES)


def test_the_engine_tells_parts_and_all_that_tuning_may_ask_for() -> None:
    """Whatever the rules' own confidences are."""
    rules = (Rule("s", "scratch", 0.6, at_most=0),)
    assert Recipe(0.3, rules).lowest_confidence == 0.6
    assert Recipe(0.3, rules, "bottle").lowest_confidence == 0.3
    low = (Adjustable("s.confidence", 0.2, 0.7), Adjustable("s.count.max", 0, 1))
    assert Recipe(0.3, rules, adjustable=low).lowest_confidence == 0.2


@pytest.mark.parametrize(
    ("new", "old", "same_weights", "word"),
    [
        (OLD, OLD, True, ""),
        (BOTTLES, BOTTLES, True, ""),
        (BOTTLES, OLD, False, "every frame"),
        (replace(OLD, part="cap"), BOTTLES, False, "frames with bottle"),
        (OLD, BOTTLES, False, "would come out ok"),
        (
            Recipe(0.35, (*OLD.rules, Rule("b", "bottle", 0.35, at_least=1))),
            BOTTLES,
            False,
            "",
        ),
        (replace(BOTTLES, confidence=0.5), BOTTLES, True, "0.5"),
        (replace(BOTTLES, confidence=0.5), BOTTLES, False, ""),
        (replace(BOTTLES, confidence=1.0), BOTTLES, False, "from 1 on"),
        (replace(BOTTLES, confidence=0.2), BOTTLES, True, ""),
    ],
)
def test_frames_that_are_judged_no_more_are_weaker(
    new: Recipe, old: Recipe, same_weights: bool, word: str
) -> None:
    """And so are frames that passed for empty and would pass for good."""
    words = weakened_part(new, old, same_weights=same_weights)
    assert (word in words) if word else words == ""


def test_a_part_that_is_never_found_is_never_ng() -> None:
    """Its recipe says so before it is used."""
    assert not can_reject(replace(BOTTLES, confidence=1.0))
    assert can_reject(BOTTLES)


# --------------------------------------------------------------------------- tuning


SCREWS = Recipe(
    0.3,
    (
        Rule("scratch", "scratch", 0.4, at_most=0, min_area_px=60),
        Rule("caps", "cap", 0.3, 4, 6),
    ),
    adjustable=(
        Adjustable("scratch.confidence", 0.3, 0.6),
        Adjustable("scratch.area_px.min", 0, 100),
        Adjustable("caps.count.min", 2, 8),
        Adjustable("caps.count.max", 2, 8),
    ),
)
numbers = st.sampled_from([-1.0, 0.0, 0.3, 0.45, 0.6, 0.61, 2, 4.5, 5, 8, 9, 100, math.nan])
names = st.sampled_from([*(each.name for each in SCREWS.adjustable), "caps.confidence", "x"])


@given(st.dictionaries(names, numbers, max_size=4))
def test_nothing_is_tuned_outside_of_its_bounds(changes: dict[str, float]) -> None:
    """What is let through lies within them, and leaves rules that a part could hold."""
    bounds = {each.name: each for each in SCREWS.adjustable}
    if fault_of_tuning(SCREWS, changes):
        return
    assert all(bounds[name].low <= value <= bounds[name].high for name, value in changes.items())
    scratch, caps = tuned(SCREWS, changes).rules
    assert scratch.confidence == changes.get("scratch.confidence", 0.4)
    assert caps.at_most is not None
    assert caps.at_least <= caps.at_most


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"scratch.confidence": 0.61}, "0.3 to 0.6"),
        ({"scratch.confidence": math.nan}, "nan"),
        ({"dent.confidence": 0.4}, "not adjustable"),
        ({"caps.count.min": 4.5}, "whole number"),
        ({"caps.count.min": 8}, "at most 6"),
        ({"caps.count.min": 8, "caps.count.max": 8}, ""),
        ({}, ""),
    ],
)
def test_a_tuning_that_is_refused_says_why(changes: dict[str, float], word: str) -> None:
    """With what would be taken."""
    fault = fault_of_tuning(SCREWS, changes)
    assert (word in fault) if word else fault == ""


def test_the_digest_of_a_recipe_is_that_of_what_judges() -> None:
    """Tuning changes it; how far it may go, and what a zone is called, do not."""
    plain = digest(SCREWS)
    assert digest(replace(SCREWS, adjustable=())) == plain
    assert digest(tuned(SCREWS, {})) == plain
    assert digest(tuned(SCREWS, {"scratch.confidence": 0.45})) != plain
    assert digest(replace(SCREWS, part="bottle")) != plain
    assert digest(replace(SCREWS, rules=SCREWS.rules[::-1])) != plain
    other = replace(LEFT, name="other")
    renamed = replace(IN_LEFT, rules=tuple(replace(r, zone=other) for r in IN_LEFT.rules))
    assert digest(renamed) == digest(IN_LEFT)
    assert digest(Recipe.rejecting(0.35, "scratch")) == digest(RECIPE)
