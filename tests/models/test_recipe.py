"""The `recipe` of a model.yaml: what it means, and what it may not say, by its line and key."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from edge_daemon.core.values import Adjustable, Recipe
from edge_daemon.errors import BundleError, Code
from edge_daemon.models.document import parse_document
from edge_daemon.models.recipe import MAX_RULES, MAX_ZONES, read_recipe

CLASSES = ("bottle", "scratch", "cap")
BODY = [[0.1, 0.2], [0.9, 0.2], [0.9, 1.0], [0.1, 1.0]]
RULE = {"class": "scratch", "count": {"max": 0}}


def read(**recipe: Any) -> Recipe:
    table = parse_document(json.dumps(recipe).encode(), "model.yaml")  # JSON is YAML
    return read_recipe(table, CLASSES)


def complaint(**recipe: Any) -> str:
    with pytest.raises(BundleError) as caught:
        read(**recipe)
    assert caught.value.code is Code.INVALID_BUNDLE
    assert caught.value.message.startswith("model.yaml:")
    return caught.value.message


def test_a_recipe_that_says_little_has_its_usual_numbers() -> None:
    """Nothing is rejected, and a quarter is the least confidence."""
    recipe = read(reject=[])
    assert (recipe.confidence, recipe.rules, recipe.part) == (0.25, (), None)


def test_reject_is_a_short_word_for_rules() -> None:
    """None of the class may be there, from the recipe's own confidence on."""
    short = read(confidence=0.4, reject=["scratch"])
    rule = {"id": "scratch", "class": "scratch", "confidence": 0.4, "count": {"max": 0}}
    assert short.rules == read(confidence=0.4, rules=[rule]).rules


def test_a_rule_says_no_more_than_it_must() -> None:
    """Its class is its name, the recipe's confidence its own, and any size counts."""
    (rule,) = read(confidence=0.4, rules=[RULE]).rules
    assert (rule.id, rule.label, rule.confidence) == ("scratch", "scratch", 0.4)
    assert (rule.min_area_px, rule.max_area_px, rule.zone) == (0.0, math.inf, None)


def test_a_rule_is_read_whole() -> None:
    """Count, size, confidence and place."""
    recipe = read(
        part="bottle",
        zones={"body": BODY},
        rules=[
            {
                "id": "caps",
                "class": "cap",
                "confidence": 0.6,
                "area_px": {"min": 60, "max": 900},
                "zone": "body",
                "count": {"min": 6, "max": 6},
            }
        ],
    )
    (rule,) = recipe.rules
    assert (rule.id, rule.at_least, rule.at_most) == ("caps", 6, 6)
    assert (rule.min_area_px, rule.max_area_px) == (60.0, 900.0)
    assert rule.zone == recipe.zones[0]
    assert recipe.part == "bottle"


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ({"reject": ["dent"]}, "names 'dent', which is not one of the classes"),
        ({"part": "can"}, "is 'can', which is not one of the classes"),
        ({"part": "scratch", "reject": ["scratch"]}, "every part would be ng"),
        ({"confidence": 1.5}, "from 0 to 1"),
        ({"colour": "red"}, "is not known here"),
        ({"rules": [{**RULE, "class": "dent"}]}, "which is not one of the classes"),
        ({"rules": [{"class": "cap"}]}, "must say min, max or both"),
        ({"rules": [{"class": "cap", "count": {}}]}, "must say min, max or both"),
        ({"rules": [{"class": "cap", "count": {"min": 3, "max": 2}}]}, "no frame could hold it"),
        ({"rules": [{"class": "cap", "count": {"min": 0}}]}, "must say min, max or both"),
        ({"rules": [{**RULE, "area_px": {"min": 9, "max": 3}}]}, "nothing could lie between"),
        ({"rules": [{**RULE, "zone": "neck"}]}, "is not one of the zones (none)"),
        ({"rules": [RULE, RULE]}, "uses an id twice"),
        ({"reject": ["scratch"], "rules": [RULE]}, "uses an id twice"),
        ({"rules": [{**RULE, "size": 3}]}, "is not known here"),
        ({"zones": {"body": [[0, 0], [1, 1]]}}, "zones.body"),
        ({"zones": {"body": [[0, 0], [1, 1], [2, 0]]}}, "from 0 to 1"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_key(recipe: dict[str, Any], said: str) -> None:
    """Before any weights are read, and in words that say why."""
    assert said in complaint(**recipe)


def test_a_complaint_names_the_line() -> None:
    """So that an editor leads there."""
    text = b"confidence: 0.4\nreject:\n  - scratch\npart: can\n"
    with pytest.raises(BundleError) as caught:
        read_recipe(parse_document(text, "model.yaml"), CLASSES)
    assert caught.value.message.startswith("model.yaml:4: part ")


def test_rules_and_zones_have_a_bound() -> None:
    """A stranger's file costs no frame's time."""
    many = [{**RULE, "id": str(number)} for number in range(MAX_RULES + 1)]
    assert f"at most {MAX_RULES}" in complaint(rules=many)
    zones = {str(number): BODY for number in range(MAX_ZONES + 1)}
    assert f"at most {MAX_ZONES}" in complaint(zones=zones)


def test_a_number_may_be_made_adjustable_within_bounds() -> None:
    """Round the value that the recipe has itself."""
    recipe = read(
        rules=[{**RULE, "confidence": 0.4}], adjustable={"scratch.confidence": [0.3, 0.6]}
    )
    assert recipe.adjustable == (Adjustable("scratch.confidence", 0.3, 0.6),)


@pytest.mark.parametrize(
    ("adjustable", "said"),
    [
        ({"dent.confidence": [0.1, 0.9]}, "is no number of a rule"),
        ({"scratch.zone": [0, 1]}, "is no number of a rule"),
        ({"scratch.area_px.max": [0, 100]}, "is no number of a rule"),  # the rule has none
        ({"scratch.confidence": [0.5, 0.9]}, "round the recipe's own 0.4"),
        ({"scratch.confidence": [0.6, 0.3]}, "round the recipe's own 0.4"),
        ({"scratch.confidence": [0.3, 1.2]}, "from 0 to 1"),
        ({"scratch.confidence": [0.3]}, "list of 2 numbers"),
        ({"scratch.count.max": [0, 1.5]}, "two whole numbers"),
    ],
)
def test_what_may_be_tuned_is_a_number_that_is_there(adjustable: dict[str, Any], said: str) -> None:
    """Nobody can tune a rule away that the gate has not seen."""
    rules = [{**RULE, "confidence": 0.4}]
    assert said in complaint(rules=rules, adjustable=adjustable)
