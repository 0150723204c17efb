"""Verdicts are proven, not only boxes: what lets bad parts pass is refused, or accepted aloud."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge_daemon.core.gate import Evidence, Limits, Report, WarmUp, assess
from edge_daemon.core.golden import Expectation, ExpectedBox, Golden
from edge_daemon.core.values import Box, Check, Detection, Recipe, Rule, Verdict
from edge_daemon.core.verdicts import (
    ACCEPTABLE,
    MIN_REJECTED,
    Missed,
    Picture,
    Reference,
    VerdictLimits,
    accept,
    blind_check,
    expected_verdict,
    golden_checks,
    is_acceptable,
    missed_check,
    recipe_check,
)
from edge_daemon.core.zones import Zone
from tests.core.test_gate import same

BOX: Box = (10.0, 10.0, 40.0, 40.0)
RECIPE = Recipe.rejecting(0.35, "scratch", "dent")
SCRATCH, DENT, BOTTLE = (Detection(label, 0.9, BOX) for label in ("scratch", "dent", "bottle"))


def shows(*labels: str, part: str = "normal") -> Expectation:
    return Expectation(part, tuple(ExpectedBox(label, BOX) for label in labels))


def said(verdict: Verdict, *causes: str) -> Expectation:
    return Expectation("normal", verdict=verdict, causes=causes)


def judged(expectation: Expectation, *found: Detection, digest: str | None = None) -> Golden:
    return Golden(expectation, found, sha256=digest)


def check(checks: tuple[Check, ...], name: str) -> Check:
    return next(each for each in checks if each.name == name)


@pytest.mark.parametrize(
    ("expectation", "verdict"),
    [
        (shows("bottle", "scratch"), Verdict.NG),
        (shows("bottle"), Verdict.OK),
        (shows(), Verdict.OK),
        (Expectation("normal", None, 0), Verdict.OK),
        (Expectation("normal", None, 6), None),
        (said(Verdict.NG, "scratch"), Verdict.NG),
        (Expectation("normal", None, 6, Verdict.OK), Verdict.OK),
    ],
)
def test_a_golden_image_has_the_verdict_of_its_boxes_or_the_one_that_was_said(
    expectation: Expectation, verdict: Verdict | None
) -> None:
    """A count of objects says nothing of their classes."""
    assert expected_verdict(expectation, RECIPE) is verdict


def test_an_ng_image_that_comes_out_ok_is_an_escape() -> None:
    """By slice: one bad slice is not outweighed by good ones."""
    images = [
        *[judged(shows("scratch"), SCRATCH)] * 9,
        judged(shows("dent", part="low_light")),
        judged(shows("dent", part="low_light"), DENT),
    ]
    escape = check(golden_checks(images, RECIPE, VerdictLimits(), None), "golden.escape")
    assert not escape.passed
    assert escape.measured == 0.5
    assert "low_light 1 of 2" in escape.note
    assert check(
        golden_checks(images, RECIPE, VerdictLimits(max_escape=0.5), None), "golden.escape"
    ).passed


def test_ng_for_another_cause_than_was_said_is_an_escape() -> None:
    """Right by accident is not right."""
    images = [judged(said(Verdict.NG, "scratch"), DENT)]
    assert not check(golden_checks(images, RECIPE, VerdictLimits(), None), "golden.escape").passed
    images = [judged(said(Verdict.NG), DENT)]
    assert check(golden_checks(images, RECIPE, VerdictLimits(), None), "golden.escape").passed


def test_good_parts_that_come_out_ng_are_false_rejects() -> None:
    """A tenth of them by default."""
    good = [judged(shows("bottle"), BOTTLE)] * 9
    limits = VerdictLimits()
    few = golden_checks([*good, judged(shows("bottle"), SCRATCH)], RECIPE, limits, None)
    many = golden_checks([*good, *[judged(shows(), DENT)] * 2], RECIPE, limits, None)
    assert check(few, "golden.false_reject").passed
    assert not check(many, "golden.false_reject").passed


def test_without_a_defect_nothing_is_proven_and_that_is_said() -> None:
    """It passes where nobody asks, and is no pass where the bundle does."""
    images = [judged(shows("bottle"), BOTTLE)]
    unasked = check(golden_checks(images, RECIPE, VerdictLimits(), None), "golden.escape")
    assert (unasked.passed, unasked.measured) == (True, None)
    assert "no golden image shows a defect" in unasked.note
    limits = VerdictLimits(asked=("max_escape",))
    assert not check(golden_checks(images, RECIPE, limits, None), "golden.escape").passed
    assert not check(golden_checks([], RECIPE, limits, None), "golden.escape").passed
    assert golden_checks([], RECIPE, VerdictLimits(), None) == ()


BOTTLES = replace(RECIPE, part="bottle")


@pytest.mark.parametrize(
    ("expectation", "verdict"),
    [
        (shows("bottle", "scratch"), Verdict.NG),
        (shows("scratch"), Verdict.NG),
        (shows("bottle"), Verdict.OK),
        (shows(), Verdict.EMPTY),
        (shows("cap"), Verdict.EMPTY),
        (said(Verdict.EMPTY), Verdict.EMPTY),
    ],
)
def test_an_image_without_a_part_is_expected_to_be_empty(
    expectation: Expectation, verdict: Verdict
) -> None:
    """A defect that a person boxed is on a part, boxed or not."""
    assert expected_verdict(expectation, BOTTLES) is verdict
    caps = replace(BOTTLES, rules=(*BOTTLES.rules, Rule("caps", "cap", 0.3, at_least=1)))
    asks_for_more = Verdict.NG if verdict is Verdict.OK else verdict
    assert expected_verdict(expectation, caps) is asks_for_more


def test_a_defect_that_comes_out_empty_is_an_escape() -> None:
    """Nothing was judged, and so nothing was taken out."""
    limits = VerdictLimits()
    unseen = [judged(shows("bottle", "scratch"), SCRATCH)]
    assert not check(golden_checks(unseen, BOTTLES, limits, None), "golden.escape").passed
    seen = [judged(shows("bottle", "scratch"), SCRATCH, BOTTLE)]
    assert check(golden_checks(seen, BOTTLES, limits, None), "golden.escape").passed


def test_a_part_where_there_is_none_is_wrong_both_ways() -> None:
    """Said to be empty: ok is an escape, ng a false reject."""
    limits = VerdictLimits()
    proof = judged(shows("bottle", "scratch"), SCRATCH, BOTTLE)
    for found, failed in (
        ((), set()),
        ((BOTTLE,), {"golden.escape"}),
        ((BOTTLE, DENT), {"golden.false_reject"}),
    ):
        images = [proof, judged(said(Verdict.EMPTY), *found)]
        checks = golden_checks(images, BOTTLES, limits, None)
        assert {each.name for each in checks if not each.passed} == failed


def test_where_a_golden_image_shows_its_defect_decides_by_its_own_size() -> None:
    """A zone is a share of each picture."""
    left = Zone("left", ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)))
    recipe = Recipe(0.35, (Rule("scratch", "scratch", 0.35, at_most=0, zone=left),))
    assert expected_verdict(shows("scratch"), recipe, (100, 100)) is Verdict.NG
    assert expected_verdict(shows("scratch"), recipe, (45, 45)) is Verdict.OK
    image = Golden(shows("scratch"), (SCRATCH,), sha256="d1", size=(45, 45))
    before = Reference("bottle@1.1.0", recipe, golden=(("d1", shows("scratch")),))
    assert all(each.passed for each in golden_checks([image], recipe, VerdictLimits(), before))


REFERENCE = Reference(
    "bottle@1.1.0", RECIPE, golden=(("d1", shows("bottle", "scratch")), ("d2", shows("dent")))
)
PROOF = [
    judged(shows("bottle", "scratch"), BOTTLE, SCRATCH, digest="d1"),
    judged(shows("dent"), DENT, digest="d2"),
]


@pytest.mark.parametrize(
    ("images", "word"),
    [
        ([], "dent, scratch"),
        ([judged(shows("bottle"), BOTTLE)], "dent, scratch"),
        ([judged(shows("scratch"), SCRATCH)], "dent"),
        ([*PROOF[:1], judged(shows("bottle"), DENT, digest="d2")], "not here"),
        ([*PROOF[:1], judged(said(Verdict.OK), digest="d2")], "not here"),
    ],
)
def test_golden_images_must_prove_what_those_of_the_version_before_do(
    images: list[Golden], word: str
) -> None:
    """A defect that no image shows, and a picture that was ng and is called good now."""
    escape = check(golden_checks(images, RECIPE, VerdictLimits(), REFERENCE), "golden.escape")
    assert not escape.passed
    assert word in escape.note


def test_other_images_of_the_same_defects_prove_as_much() -> None:
    """Every version may bring pictures of its own; ng of unsaid causes may be any."""
    for images in (
        PROOF,
        [judged(shows("scratch", "dent"), SCRATCH, DENT)],
        [judged(said(Verdict.NG), DENT)],
    ):
        assert check(
            golden_checks(images, RECIPE, VerdictLimits(), REFERENCE), "golden.escape"
        ).passed


def test_a_rule_that_is_given_up_is_weighed_once() -> None:
    """`recipe.weaker` names it; no other check asks for what the recipe no longer promises."""
    softer = Recipe.rejecting(0.35, "scratch")
    assert not recipe_check(softer, REFERENCE).passed
    images = [judged(shows("scratch"), SCRATCH), judged(shows("dent"), DENT, digest="d2")]
    assert check(golden_checks(images, softer, VerdictLimits(), REFERENCE), "golden.escape").passed
    assert REFERENCE.kept(softer).reject == {"scratch"}
    assert REFERENCE.kept(Recipe()).rules == ()


def test_a_recipe_that_can_never_say_ng_says_so() -> None:
    """It passes as the first of its name and after another one; never after one that could."""
    never = Recipe()
    first = recipe_check(never, None)
    assert first.passed
    assert "never say ng" in first.note
    assert recipe_check(never, Reference("a@1", Recipe())).passed
    assert not recipe_check(never, REFERENCE).passed


def test_a_recipe_that_leaves_more_unjudged_is_weaker() -> None:
    """The check says that, apart from what the rules let pass."""
    weaker = recipe_check(BOTTLES, REFERENCE)
    assert (weaker.passed, weaker.measured) == (False, 1)
    assert "only frames with bottle are" in weaker.note
    assert recipe_check(BOTTLES, Reference("bottle@1.1.0", BOTTLES)).passed


def test_frames_that_would_pass_now_are_counted_from_twenty_on() -> None:
    """Fewer prove nothing, and that is said."""
    limits = VerdictLimits()
    assert missed_check(None, limits) == ()
    (few,) = missed_check(Missed(MIN_REJECTED - 1, MIN_REJECTED - 1), limits)
    assert few.passed
    assert "19 recent frames" in few.note
    assert not missed_check(Missed(3, 0), VerdictLimits(asked=("max_missed",)))[0].passed
    assert missed_check(Missed(20, 4), limits)[0].passed
    assert not missed_check(Missed(20, 5), limits)[0].passed


def test_a_recipe_that_requires_something_must_reject_pictures_of_nothing() -> None:
    """Black, white and noise; a recipe that requires nothing is not asked."""
    needs = Recipe(0.3, (Rule("label", "label", 0.3, at_least=1),))
    nothing = [Picture("black", ()), Picture("noise", ())]
    dreamer = [Picture("black", ()), Picture("noise", (Detection("label", 0.9, BOX),))]
    assert blind_check(nothing, RECIPE) == ()
    assert blind_check(nothing, needs)[0].passed
    assert not blind_check([], needs)[0].passed
    (blind,) = blind_check(dreamer, needs)
    assert not blind.passed
    assert "noise" in blind.note


def test_a_recipe_with_a_part_must_not_pass_pictures_of_nothing() -> None:
    """Empty is as it should be; a part that is dreamt is not, though one that is ng passes."""
    for dreamt, passed in (((), True), ((BOTTLE,), False), ((BOTTLE, DENT), True)):
        pictures = [Picture("black", ()), Picture("white", ()), Picture("noise", dreamt)]
        assert blind_check(pictures, BOTTLES)[0].passed is passed


# --------------------------------------------------------------------------- acceptance


def report(candidate: Recipe, golden: list[Golden], *names: str, nan: bool = False) -> Report:
    evidence = Evidence(
        compatibility=same(),
        warm_ups=(WarmUp(64, 64, (), not nan),),
        recipe=candidate,
        reference=REFERENCE,
        golden=tuple(golden),
    )
    checks = assess(evidence, Limits(min_recall=0.0, min_precision=0.0)).checks
    return Report(accept(checks, names, "accepted by kim: line 3 packs seconds"))


def test_what_was_accepted_by_name_refuses_nothing_and_stays_on_record() -> None:
    """The check still says that it failed, and by whose word it counts for nothing."""
    softer = Recipe.rejecting(0.35, "scratch")
    images = [judged(shows("scratch"), SCRATCH)]
    assert not report(softer, images).passed
    taken = report(softer, images, "recipe.weaker")
    assert taken.passed
    (weaker,) = (each for each in taken.checks if not each.passed)
    assert (weaker.name, weaker.accepted) == ("recipe.weaker", True)
    assert "kim" in weaker.note


def test_only_what_was_named_is_accepted() -> None:
    """Another check that fails refuses all the same."""
    softer = Recipe.rejecting(0.35, "scratch")
    images = [judged(shows("scratch"))]
    refused = report(softer, images, "recipe.weaker")
    assert [each.name for each in refused.failed] == ["golden.escape"]
    assert is_acceptable(refused.checks)


def test_inference_that_is_wrong_is_accepted_by_nobody() -> None:
    """Numbers that are none; compatibility, digests and memory likewise are no matter of taste."""
    refused = report(RECIPE, PROOF, *ACCEPTABLE, "warm_up", nan=True)
    assert [each.name for each in refused.failed] == ["warm_up"]
    assert not is_acceptable(refused.checks)
    assert not is_acceptable(())
    assert not {"warm_up", "golden.recall", "signature", "integrity"} & set(ACCEPTABLE)


WEAKENED: dict[str, tuple[Recipe, list[Golden]]] = {
    "reject is empty": (Recipe(0.35), PROOF),
    "one class less": (Recipe.rejecting(0.35, "scratch"), PROOF),
    "the other class less": (Recipe.rejecting(0.35, "dent"), PROOF),
    "only the part is rejected": (Recipe.rejecting(0.35, "bottle"), PROOF),
    "classes swapped": (Recipe.rejecting(0.35, "bottle", "cap"), PROOF),
    "confidence 1.0": (Recipe.rejecting(1.0, "scratch", "dent"), PROOF),
    "confidence 1.0 in one rule": (
        Recipe(0.35, (replace(RECIPE.rules[0], confidence=1.0), RECIPE.rules[1])),
        PROOF,
    ),
    "one defect may be there": (
        Recipe(0.35, (replace(RECIPE.rules[0], at_most=1), RECIPE.rules[1])),
        PROOF,
    ),
    "any number of defects": (
        Recipe(0.35, (replace(RECIPE.rules[0], at_most=1000), RECIPE.rules[1])),
        PROOF,
    ),
    "a rule turned round": (
        Recipe(0.35, (replace(RECIPE.rules[0], at_most=None, at_least=1), RECIPE.rules[1])),
        PROOF,
    ),
    "both rules turned round": (
        Recipe(0.35, tuple(replace(r, at_most=None, at_least=1) for r in RECIPE.rules)),
        PROOF,
    ),
    "only huge defects": (
        Recipe(0.35, tuple(replace(r, min_area_px=1e9) for r in RECIPE.rules)),
        PROOF,
    ),
    "only tiny defects": (
        Recipe(0.35, tuple(replace(r, max_area_px=0.0) for r in RECIPE.rules)),
        PROOF,
    ),
    "a threshold above what it finds": (Recipe.rejecting(0.95, "scratch", "dent"), PROOF),
    "no golden images": (RECIPE, []),
    "golden images without a defect": (RECIPE, [judged(shows("bottle"), BOTTLE)] * 5),
    "golden images of one defect": (RECIPE, PROOF[:1]),
    "golden images of nothing": (RECIPE, [judged(shows())]),
    "golden images that are only counted": (
        RECIPE,
        [judged(Expectation("normal", None, 1), SCRATCH)],
    ),
    "a defect called good": (
        RECIPE,
        [PROOF[0], judged(said(Verdict.OK), digest="d2")],
    ),
    "a defect without its box": (RECIPE, [PROOF[0], judged(shows(), DENT, digest="d2")]),
    "a blind model": (RECIPE, [judged(i.expectation, digest=i.sha256) for i in PROOF]),
    "a model blind for dents": (RECIPE, [PROOF[0], judged(shows("dent"), digest="d2")]),
    "a model blind in low light": (
        RECIPE,
        [*PROOF, judged(shows("dent", part="low_light"))],
    ),
    "a model that rejects all": (RECIPE, [*PROOF, *[judged(shows("bottle"), SCRATCH)] * 3]),
}


@pytest.mark.parametrize(("recipe", "images"), WEAKENED.values(), ids=WEAKENED.keys())
def test_weakened_and_blind_bundles_are_refused_though_every_box_check_passes(
    recipe: Recipe, images: list[Golden]
) -> None:
    """Limits on boxes are off here: verdicts alone refuse each of them, and can be accepted."""
    refused = report(recipe, images)
    assert not refused.passed
    assert is_acceptable(refused.checks)
    assert report(recipe, images, *(each.name for each in refused.failed)).passed


def test_an_equal_or_stricter_version_passes_without_a_word() -> None:
    """The same recipe, and one that rejects more."""
    stricter = Recipe.rejecting(0.35, "scratch", "dent", "tape")
    for recipe in (RECIPE, stricter, Recipe.rejecting(0.5, "scratch", "dent")):
        assert report(recipe, PROOF).passed
