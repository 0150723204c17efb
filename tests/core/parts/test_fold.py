"""The frames of one part become its verdict: no evidence is not ok, and two models are none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge_daemon.core.parts.fold import FrameOfPart, fold, unjudged
from edge_daemon.core.parts.values import Fold, PartReason, PartRules
from edge_daemon.core.values import BundleRef, Reason, Recipe, Verdict

ANY = PartRules()
MAJORITY = PartRules(verdict=Fold.MAJORITY)
TWO = PartRules(verdict=2)
JUDGE = {
    "model": BundleRef("bottle", "1.0.0"),
    "sha256": "ab",
    "recipe": Recipe(),
    "product": "BTL-500",
}
SEEN = {
    "o": FrameOfPart(Verdict.OK, **JUDGE),  # type: ignore[arg-type]
    "n": FrameOfPart(Verdict.NG, ("scratch",), **JUDGE),  # type: ignore[arg-type]
    "e": FrameOfPart(Verdict.EMPTY, **JUDGE),  # type: ignore[arg-type]
    "u": FrameOfPart(Verdict.UNINSPECTED, reason=Reason.BAD_PICTURE),
}


def views(letters: str) -> list[FrameOfPart]:
    return [SEEN[letter] for letter in letters]


@pytest.mark.parametrize(
    ("frames", "rules", "verdict"),
    [
        ("ooo", ANY, Verdict.OK),
        ("oon", ANY, Verdict.NG),
        ("ee", ANY, Verdict.EMPTY),
        ("eo", ANY, Verdict.OK),
        ("uo", ANY, Verdict.OK),
        ("oon", MAJORITY, Verdict.OK),
        ("onn", MAJORITY, Verdict.NG),
        ("on", MAJORITY, Verdict.NG),
        ("een", MAJORITY, Verdict.NG),
        ("e", MAJORITY, Verdict.EMPTY),
        ("oon", TWO, Verdict.OK),
        ("nno", TWO, Verdict.NG),
    ],
)
def test_frames_become_one_verdict_by_the_rule(
    frames: str, rules: PartRules, verdict: Verdict
) -> None:
    """One ng frame, most of them, or so many; a tie goes against the part."""
    assert fold(views(frames), rules).verdict is verdict


@pytest.mark.parametrize("rules", [ANY, MAJORITY, TWO])
def test_the_order_of_the_frames_changes_no_verdict(rules: PartRules) -> None:
    """Which side of a part the camera saw first is chance."""
    for frames in ("oneu", "nnoo", "eeno"):
        assert fold(views(frames), rules).verdict is fold(views(frames[::-1]), rules).verdict


def test_a_part_without_a_frame_is_not_ok() -> None:
    """Nobody has looked at it."""
    folded = fold([], ANY)
    assert (folded.verdict, folded.reason) == (Verdict.UNINSPECTED, PartReason.NO_FRAME)
    assert folded.model is None


def test_a_part_whose_frames_show_nothing_says_why() -> None:
    """The first reason that is known."""
    assert fold(views("uu"), ANY).reason is PartReason.BAD_PICTURE


def test_too_few_frames_are_no_evidence() -> None:
    """However clear they are: `frames.min` asks for more."""
    rules = replace(ANY, min_frames=3)
    assert fold(views("nn"), rules).verdict is Verdict.UNINSPECTED
    assert fold(views("nnu"), rules).reason is PartReason.BAD_PICTURE
    assert fold(views("nno"), rules).verdict is Verdict.NG


@pytest.mark.parametrize(
    "other",
    [
        {"model": BundleRef("bottle", "2.0.0")},
        {"sha256": "cd"},
        {"recipe": Recipe(0.9)},
        {"product": "CAN-330"},
    ],
)
def test_two_judges_are_no_judge(other: dict[str, object]) -> None:
    """A cutover, a tuned recipe or another product within a part: nobody vouches for all of it."""
    changed = replace(SEEN["o"], **other)  # type: ignore[arg-type]
    folded = fold([SEEN["o"], changed], ANY)
    assert (folded.verdict, folded.reason) == (Verdict.UNINSPECTED, PartReason.CHANGEOVER)


def test_a_frame_that_nobody_judged_is_no_second_judge() -> None:
    """It has no model at all."""
    assert fold(views("ouo"), ANY).model == JUDGE["model"]


def test_causes_stand_once_in_the_order_in_which_they_were_met() -> None:
    """As many frames show the same scratch."""
    dent = replace(SEEN["n"], causes=("dent", "scratch"))
    assert fold([SEEN["n"], dent, SEEN["n"]], ANY).causes == ("scratch", "dent")


def test_a_part_that_passes_has_no_causes() -> None:
    """One frame of three was ng, and the majority decides."""
    assert fold(views("oon"), MAJORITY).causes == ()


def test_a_part_with_one_frame_on_trial_is_on_trial() -> None:
    """The trial began within it."""
    assert not fold(views("oo"), ANY).trial
    assert fold([SEEN["o"], replace(SEEN["o"], trial=True)], ANY).trial


def test_what_is_told_of_a_part_that_nobody_judged() -> None:
    """A reason, and nobody's name."""
    late = unjudged(PartReason.LATE)
    assert (late.verdict, late.reason, late.model, late.sha256) == (
        Verdict.UNINSPECTED,
        PartReason.LATE,
        None,
        None,
    )
