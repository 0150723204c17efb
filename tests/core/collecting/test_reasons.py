"""Why a frame is worth a picture: from what one model says, or two."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from edge_daemon.core.collecting.reasons import Why, floor_of, holds_one_of, reasons_of
from edge_daemon.core.judged import Judged
from edge_daemon.core.recipe import broken_rules, verdict_of
from edge_daemon.core.rollout.opinions import opinion
from edge_daemon.core.values import (
    UNASSIGNED,
    Adjustable,
    BundleRef,
    Detection,
    Reason,
    Recipe,
    Rule,
    StoredBundle,
    Verdict,
)

RECIPE = Recipe.rejecting(0.4, "scratch")
OLD, NEW = StoredBundle(BundleRef("bottle", "1"), "a"), StoredBundle(BundleRef("bottle", "2"), "b")
BOX = (1.0, 1.0, 5.0, 5.0)


def seen(*found: tuple[str, float], faint: tuple[tuple[str, float], ...] = ()) -> Judged:
    """A frame that was judged by RECIPE."""
    detections = tuple(Detection(label, sure, BOX) for label, sure in found)
    causes = broken_rules(detections, RECIPE, (10, 10))
    return Judged(
        frame=1,
        captured_utc=0.0,
        captured_at=0.0,
        assignment=UNASSIGNED,
        verdict=verdict_of(causes, detections, RECIPE),
        model=OLD.ref,
        sha256=OLD.sha256,
        recipe=RECIPE,
        size=(10, 10),
        detections=detections,
        causes=causes,
        faint=tuple(Detection(label, sure, BOX) for label, sure in faint),
    )


def beside(judged: Judged, *found: tuple[str, float]) -> Judged:
    """The same, with what a second model says of it."""
    detections = tuple(Detection(label, sure, BOX) for label, sure in found)
    return replace(judged, shadow=opinion(NEW, RECIPE, detections, (10, 10), 1.0))


def test_a_good_part_is_worth_an_audit_alone() -> None:
    assert reasons_of(seen(("bottle", 0.9))) == {Why.AUDIT}


def test_a_rejected_part_and_a_near_miss() -> None:
    assert reasons_of(seen(("scratch", 0.5))) == {Why.AUDIT, Why.NG}
    near = seen(("bottle", 0.9), faint=(("scratch", 0.3),))
    assert near.verdict is Verdict.OK
    assert reasons_of(near) == {Why.AUDIT, Why.NEAR_THRESHOLD}


def test_what_no_rule_asks_for_is_no_near_miss() -> None:
    assert Why.NEAR_THRESHOLD not in reasons_of(seen(faint=(("label", 0.3),)))


def test_below_its_own_rule_is_near_where_the_engine_reports_more() -> None:
    """A rule that may be lowered makes the engine report all of it."""
    rules = (Rule("scratch", "scratch", 0.6, at_most=0),)
    recipe = Recipe(0.6, rules, adjustable=(Adjustable("scratch.confidence", 0.3, 0.8),))
    judged = replace(seen(("scratch", 0.45)), recipe=recipe, verdict=Verdict.OK, causes=())
    assert Why.NEAR_THRESHOLD in reasons_of(judged)
    assert Why.NEAR_THRESHOLD not in reasons_of(replace(judged, detections=()))


def test_two_models_disagree_by_their_verdicts() -> None:
    assert Why.DISAGREEMENT in reasons_of(beside(seen(("scratch", 0.9)), ("bottle", 0.9)))
    assert Why.DISAGREEMENT not in reasons_of(beside(seen(("scratch", 0.9)), ("scratch", 0.5)))


def test_nothing_is_found_where_a_part_should_be() -> None:
    assert Why.NOTHING_FOUND in reasons_of(seen(), is_expected=True)
    assert Why.NOTHING_FOUND not in reasons_of(seen(), is_expected=False)
    assert Why.NOTHING_FOUND not in reasons_of(seen(("bottle", 0.9)), is_expected=True)
    other = beside(seen(), ("bottle", 0.9))
    assert Why.NOTHING_FOUND not in reasons_of(other, is_expected=True), "one of two found it"


def test_a_frame_without_a_verdict_teaches_nothing() -> None:
    unseen = replace(seen(), verdict=Verdict.UNINSPECTED, reason=Reason.CHANGEOVER)
    assert reasons_of(unseen, is_expected=True, drifts=True) == set()


def test_an_alarm_is_a_reason() -> None:
    assert Why.DRIFT in reasons_of(seen(), drifts=True)


SURE = st.lists(st.tuples(st.sampled_from(["bottle", "scratch"]), st.floats(0.05, 0.95)))


@given(SURE, SURE, st.one_of(st.none(), SURE), st.booleans(), st.sets(st.sampled_from(list(Why))))
def test_the_lane_asks_for_some_reasons_only(
    found: list[tuple[str, float]],
    faint: list[tuple[str, float]],
    beside_it: list[tuple[str, float]] | None,
    drifts: bool,
    wanted: set[Why],
) -> None:
    judged = seen(*found, faint=tuple(faint))
    if beside_it is not None:
        judged = beside(judged, *beside_it)
    told = reasons_of(judged, drifts=drifts)
    assert holds_one_of(judged, wanted, drifts=drifts) == bool(told & wanted)
    unseen = replace(judged, verdict=Verdict.UNINSPECTED)
    assert not holds_one_of(unseen, wanted, drifts=drifts)


@given(
    st.floats(0.05, 0.95),
    st.one_of(st.none(), st.floats(0.01, 1.0)),
    st.lists(st.floats(0.05, 0.95), max_size=3),
)
def test_no_floor_lies_above_what_any_rule_asks_for(
    confidence: float, asked: float | None, rules: list[float]
) -> None:
    """So that the floor changes no verdict."""
    made = tuple(Rule(str(n), "x", each, at_most=0) for n, each in enumerate(rules))
    recipe = Recipe(confidence, made, part="bottle")
    assert floor_of(recipe, asked) <= recipe.lowest_confidence
