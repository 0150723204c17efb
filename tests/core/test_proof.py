"""A spot proof: which images it looks at, and what counts as the same."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from edge_daemon.core.golden import Expectation, ExpectedBox
from edge_daemon.core.proof import changed, difference, spot_check, spots
from edge_daemon.core.values import Detection, Recipe, Rule, Verdict
from edge_daemon.core.verdicts import expected_verdict

RECIPE = Recipe(0.35, tuple(Rule(each, each, 0.35, at_most=0) for each in ("scratch", "dent")))
BOX = (10.0, 10.0, 30.0, 40.0)
SCRATCH = Detection("scratch", 0.8, BOX)
BOTTLE = Detection("bottle", 0.9, (0.0, 0.0, 60.0, 90.0))
SIZE = (64, 96)


def shows(part: str, *labels: str) -> Expectation:
    return Expectation(part, boxes=tuple(ExpectedBox(label, BOX) for label in labels))


IMAGES = [
    (shows("normal", "bottle", "scratch"), SIZE),
    (shows("normal", "bottle", "scratch"), SIZE),
    (shows("normal", "bottle"), SIZE),
    (shows("normal", "bottle"), SIZE),
    (shows("dark", "bottle", "scratch"), SIZE),
    (Expectation("dark", verdict=Verdict.NG), SIZE),
    (Expectation("count", count=3), SIZE),
]


@pytest.mark.parametrize("start", range(len(IMAGES)))
def test_every_slice_and_every_expected_verdict_is_looked_at(start: int) -> None:
    """Wherever one begins; and fewer than all."""
    chosen = spots(IMAGES, RECIPE, start)
    assert {IMAGES[n][0].slice for n in chosen} == {"normal", "dark", "count"}
    verdicts = {expected_verdict(IMAGES[n][0], RECIPE, SIZE) for n in chosen}
    assert verdicts == {Verdict.OK, Verdict.NG, None}
    assert len(chosen) < len(IMAGES)


@pytest.mark.parametrize("start", range(8))
def test_one_image_shows_its_slice_and_its_verdict(start: int) -> None:
    """Frames may wait for the proof: two images are enough for two slices and two verdicts."""
    labels = (("bottle",), ("bottle", "scratch"))
    images = [(shows(part, *each), SIZE) for part in ("normal", "dark") for each in labels] * 2
    chosen = [images[n][0] for n in spots(images, RECIPE, start)]
    assert len(chosen) == 2
    assert {each.slice for each in chosen} == {"normal", "dark"}
    assert {expected_verdict(each, RECIPE, SIZE) for each in chosen} == {Verdict.OK, Verdict.NG}


def test_another_load_looks_at_other_images() -> None:
    """In the end at all of them."""
    looked = {n for start in range(len(IMAGES)) for n in spots(IMAGES, RECIPE, start)}
    assert looked == set(range(len(IMAGES)))


def test_without_images_there_is_nothing_to_look_at() -> None:
    """No evidence is no pass."""
    assert spots([], RECIPE) == ()
    assert not spot_check([], 0, 0).passed


def test_the_last_digits_may_differ() -> None:
    """Sums in another order, and detections of like confidence in another order."""
    moved = replace(SCRATCH, confidence=0.8049, box=(10.4, 9.6, 30.2, 40.9))
    assert difference((SCRATCH, BOTTLE), (BOTTLE, moved), RECIPE, SIZE) == ""


@pytest.mark.parametrize(
    ("found", "word"),
    [
        ((BOTTLE,), "verdict"),
        ((BOTTLE, replace(SCRATCH, label="dent")), "verdict"),
        ((BOTTLE, SCRATCH, SCRATCH), "3 detections and 2"),
        ((BOTTLE, replace(SCRATCH, confidence=0.82)), "no scratch"),
        ((BOTTLE, replace(SCRATCH, confidence=float("nan"))), "no scratch"),
        ((BOTTLE, replace(SCRATCH, box=(12.0, 10.0, 30.0, 40.0))), "no scratch"),
        ((BOTTLE, replace(SCRATCH, box=(float("nan"), 10.0, 30.0, 40.0))), "no scratch"),
        ((BOTTLE, replace(SCRATCH, area_px=500.0)), "no scratch"),
        ((replace(BOTTLE, label="can"), SCRATCH), "no bottle"),
    ],
)
def test_whatever_else_differs_is_a_deviation(found: tuple[Detection, ...], word: str) -> None:
    """The verdict and the labels exactly; boxes and confidences within a little."""
    assert word in difference((BOTTLE, SCRATCH), found, RECIPE, SIZE)


def test_one_detection_cannot_stand_for_two() -> None:
    """Each on record needs one of its own."""
    other = replace(BOTTLE, box=(200.0, 0.0, 260.0, 90.0))
    assert "no bottle" in difference((BOTTLE, other), (BOTTLE, BOTTLE), RECIPE, (300, 96))


def test_the_order_of_detections_never_matters() -> None:
    """By chance, with a seed."""
    draw = random.Random(5)
    found = [
        Detection(draw.choice(("bottle", "scratch")), draw.random(), (x, x, x + 5.0, x + 9.0))
        for x in (float(draw.randrange(500)) for _ in range(40))
    ]
    shuffled = draw.sample(found, len(found))
    assert difference(tuple(found), tuple(shuffled), RECIPE, (600, 600)) == ""


def test_a_mask_has_the_area_on_record() -> None:
    """Within two hundredths."""
    mask = replace(SCRATCH, area_px=1000.0)
    near, far = replace(mask, area_px=1015.0), replace(mask, area_px=1100.0)
    assert difference((mask,), (near,), RECIPE, SIZE) == ""
    assert difference((mask,), (far,), RECIPE, SIZE)


def test_the_check_names_the_image() -> None:
    """And how it was seen."""
    check = spot_check([("golden/3.jpg", "no scratch where one is on record")], 2, 9)
    assert not check.passed
    assert "golden/3.jpg" in check.note


def test_a_condition_that_is_new_or_lost_has_changed() -> None:
    """As one that has another value."""
    assert changed({"torch": "2", "gpu": ""}, {"torch": "2", "gpu": ""}) == ()
    assert changed({"torch": "2", "old": ""}, {"torch": "3", "new": ""}) == ("new", "old", "torch")
