"""What the rule promises: a stop is never delayed, and nothing advances without its evidence."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_daemon.core.rollout.evidence import Evidence
from edge_daemon.core.rollout.plan import read_plan
from edge_daemon.core.rollout.reading import Reading, read
from edge_daemon.core.rollout.rule import (
    Advance,
    Cause,
    Decision,
    Hold,
    Situation,
    Stop,
    Wait,
    decide,
    slice_margin,
    stage_margin,
)
from edge_daemon.core.rollout.values import Outcome, Plan
from edge_daemon.core.values import Verdict
from tests.sim.rollout_pairs import pair

OK, NG = Verdict.OK, Verdict.NG
BOTH, NEITHER = Outcome.BOTH, Outcome.NEITHER
ONLY_INCUMBENT, ONLY_CANDIDATE = Outcome.ONLY_INCUMBENT, Outcome.ONLY_CANDIDATE

PLAN = read_plan(
    {
        "slices": {
            "low_light": {"brightness_below": 60, "critical": True, "min_defects": 30},
            "small": {"box_area_below": 400},
        },
        "stages": [
            {"shadow": 1.0, "until": {"parts": 500, "minutes": 30, "margin": 0.2}},
            {"share": 0.1, "until": {"parts": 500, "minutes": 60, "margin": 0.1}},
            {"compare": {"pairs": 20}},
            {"full": True},
        ],
    }
)
READY = Situation(0, parts=500, minutes=30.0, hours=1.0)

Seen = tuple[Outcome, "Verdict | None", int]
GOOD: list[Seen] = [(NEITHER, None, 600), (BOTH, None, 120)]


def gathered(*seen: Seen, slices: tuple[str, ...] = ("low_light",)) -> Evidence:
    evidence, number = Evidence(("low_light", "small")), 0
    for outcome, truth, times in seen:
        for _ in range(times):
            number += 1
            evidence.label(evidence.add(pair(outcome, number, *slices)), truth)
    return evidence


def reading(evidence: Evidence, plan: Plan = PLAN, stage: int = 0) -> Reading:
    return read(evidence, plan, stage_margin(plan, stage))


def decided(*seen: Seen, at: Situation = READY, plan: Plan = PLAN, **kwargs: Any) -> Decision:
    return decide(plan, at, reading(gathered(*seen, **kwargs), plan, at.stage))


# --------------------------------------------------------------------------- advance


def test_a_stage_that_has_all_it_needs_advances_without_a_single_label() -> None:
    decision = decided(*GOOD)
    assert isinstance(decision, Advance)
    assert decision.to == 1
    assert "points of recall" in decision.why


def test_each_thing_that_is_missing_is_waited_for_and_named() -> None:
    for at, word in [
        (replace(READY, parts=499), "499 of 500 parts"),
        (replace(READY, minutes=29.0), "29 of 30 minutes"),
    ]:
        decision = decided(*GOOD, at=at)
        assert isinstance(decision, Wait)
        assert len(decision.missing) == 1
        assert word in decision.why
    few = decided((NEITHER, None, 600), (BOTH, None, 29))
    assert isinstance(few, Wait)
    assert "low_light: 29 of 30 bad parts" in few.why
    elsewhere = decided(*GOOD, slices=())
    assert isinstance(elsewhere, Wait)
    assert "low_light: no part was judged by both" in elsewhere.why


def test_a_slice_that_is_not_critical_does_not_keep_a_rollout_waiting() -> None:
    assert reading(gathered(*GOOD)).by_name["small"].parts == 0
    assert isinstance(decided(*GOOD), Advance)


def test_parts_that_nobody_looked_at_count_as_lost() -> None:
    decision = decided(*GOOD, (ONLY_INCUMBENT, None, 25))
    assert isinstance(decision, Wait)
    assert "25 parts that only the incumbent rejects have no label" in decision.why
    labelled = decided(*GOOD, (ONLY_INCUMBENT, OK, 25))
    assert isinstance(labelled, Advance)


def test_low_coverage_of_a_critical_slice_is_no_evidence() -> None:
    evidence = gathered(*GOOD)
    for _ in range(200):
        evidence.lose(["low_light"])
    decision = decide(PLAN, READY, reading(evidence))
    assert isinstance(decision, Hold)
    assert "Only 78% of the 920 drawn parts could be compared" in decision.why


def test_a_coverage_of_few_parts_is_waited_for() -> None:
    """The first ones are an accident of the moment, and nobody is asked to look."""
    evidence = gathered((NEITHER, None, 30))
    for _ in range(20):
        evidence.lose()
    decision = decide(PLAN, READY, reading(evidence))
    assert isinstance(decision, Wait)
    assert "Both judged 60% of the parts" in decision.why


def test_the_stage_before_full_has_the_plans_own_margin_even_if_a_comparison_lies_between() -> None:
    assert stage_margin(PLAN, 0) == 0.2
    assert stage_margin(PLAN, 1) == PLAN.margin == 0.03
    assert stage_margin(PLAN, 2) == 0.03
    light = replace(PLAN.slices[0], margin=0.05)
    assert slice_margin(PLAN, 0, light) == 0.2
    assert slice_margin(PLAN, 1, light) == 0.05
    at = Situation(1, parts=500, minutes=60.0)
    assert isinstance(decided(*GOOD, at=at), Wait)
    assert isinstance(decided((NEITHER, None, 600), (BOTH, None, 400), at=at), Advance)


def test_a_comparison_waits_for_its_blocks() -> None:
    much: list[Seen] = [(NEITHER, None, 600), (BOTH, None, 400)]
    waits = decided(*much, at=Situation(2, compared=19))
    assert isinstance(waits, Wait)
    assert waits.missing == ("19 of 20 pairs of blocks were measured",)
    assert isinstance(decided(*much, at=Situation(2, compared=20)), Advance)


def test_a_comparison_that_comes_first_needs_no_evidence_of_pairs() -> None:
    plan = read_plan({"stages": [{"compare": {"pairs": 5}}, {"shadow": 1.0}, {"full": True}]})
    assert decided(at=Situation(0, compared=5), plan=plan) == Advance(
        "5 pairs of blocks were measured.", 1
    )


def test_after_the_last_stage_there_is_no_next_one() -> None:
    plan = read_plan({"stages": [{"shadow": 1.0, "until": {"margin": 0.2}}]})
    decision = decided(*GOOD, plan=plan)
    assert isinstance(decision, Advance)
    assert decision.to is None


def test_once_it_is_active_nothing_is_decided_but_a_stop() -> None:
    assert isinstance(decided(*GOOD, at=Situation(3)), Wait)
    assert isinstance(decided(*GOOD, at=Situation(3, guards=("The worker was lost.",))), Stop)


# --------------------------------------------------------------------------- stop


BAD: list[Seen] = [*GOOD, (ONLY_INCUMBENT, NG, 30)]


def test_labels_that_show_a_loss_in_one_named_slice_stop_the_rollout() -> None:
    decision = decided(*BAD)
    assert isinstance(decision, Stop)
    assert decision.cause is Cause.MISSED
    assert "misses 30 bad parts that the incumbent rejects" in decision.why
    slices_only = gathered(*GOOD, slices=("small",))
    number = 10_000
    for outcome, times in ((ONLY_INCUMBENT, 22), (ONLY_CANDIDATE, 20)):
        for _ in range(times):
            number += 1
            where = ("low_light",) if outcome is ONLY_INCUMBENT else ()
            slices_only.label(slices_only.add(pair(outcome, number, *where)), NG)
    decision = decide(PLAN, READY, reading(slices_only))
    assert isinstance(decision, Stop)
    assert "in low_light" in decision.why


def test_good_parts_that_are_rejected_beyond_the_margin_stop_it_too() -> None:
    decision = decided((NEITHER, None, 1000), (BOTH, None, 60), (ONLY_CANDIDATE, OK, 100))
    assert isinstance(decision, Stop)
    assert decision.cause is Cause.FALSE_REJECTS


def test_a_guard_stops_at_once_whatever_the_evidence_says() -> None:
    decision = decided(*GOOD, at=replace(READY, guards=("The candidate hung for 2 s.",)))
    assert decision == Stop("The candidate hung for 2 s.", Cause.GUARD)


def test_without_labels_nothing_is_condemned() -> None:
    """The incumbent's word alone, however strong: hold, and ask for labels."""
    for seen in ([(ONLY_INCUMBENT, None, 500)], [(ONLY_CANDIDATE, None, 500)]):
        decision = decided(*GOOD, *seen)
        assert isinstance(decision, Hold)
        assert decision.asks
        assert "500 parts that only the" in decision.why
    reference_only = replace(PLAN, truth=read_plan({"truth": ["reference"]}).truth)
    assert isinstance(decided(*BAD, plan=reference_only), Wait | Hold)


def test_one_sided_labels_hold_and_ask_for_the_others() -> None:
    decision = decided(*GOOD, (ONLY_INCUMBENT, NG, 30), (ONLY_CANDIDATE, None, 30))
    assert isinstance(decision, Hold)
    assert decision.asks
    assert "one-sided: 30 parts that only the candidate rejects have no label" in decision.why


# --------------------------------------------------------------------------- hold


def test_a_share_that_is_not_the_declared_one_holds() -> None:
    evidence = gathered(*GOOD)
    evidence.arms = {0.1: (1000, 200)}
    decision = decide(PLAN, READY, reading(evidence))
    assert isinstance(decision, Hold)
    assert "share of the parts is not the share of the plan" in decision.why
    evidence.arms = {0.1: (1000, 100)}
    assert isinstance(decide(PLAN, READY, reading(evidence)), Advance)
    evidence.misassigned = 1
    assert isinstance(decide(PLAN, READY, reading(evidence)), Hold)


def test_at_the_end_of_its_time_a_rollout_without_a_result_holds_or_stops_and_never_advances() -> (
    None
):
    late = replace(READY, hours=72.0, parts=10)
    held = decided(*GOOD, at=late)
    assert isinstance(held, Hold)
    assert held.why.startswith("After 72 h the rollout has no result. 10 of 500 parts")
    stopped = decided(*GOOD, at=late, plan=replace(PLAN, on_inconclusive="stop"))
    assert isinstance(stopped, Stop)
    assert stopped.cause is Cause.INCONCLUSIVE
    assert isinstance(decided(*GOOD, at=replace(READY, hours=72.0)), Advance)


def test_a_person_who_holds_freezes_advances_and_no_stop() -> None:
    assert isinstance(decided(*GOOD, at=replace(READY, held=True)), Hold)
    assert isinstance(decided(*BAD, at=replace(READY, held=True)), Stop)


# --------------------------------------------------------------------------- every combination

EVIDENCES = {
    "none": gathered(),
    "good": gathered(*GOOD),
    "bad": gathered(*BAD),
    "unlabelled": gathered(*GOOD, (ONLY_INCUMBENT, None, 300)),
    "one-sided": gathered(*GOOD, (ONLY_INCUMBENT, NG, 30), (ONLY_CANDIDATE, None, 60)),
    "false rejects": gathered(*GOOD, (ONLY_CANDIDATE, OK, 100)),
}


@pytest.mark.parametrize("name", EVIDENCES)
@pytest.mark.parametrize("on_inconclusive", ["hold", "stop"])
def test_in_every_combination_a_stop_is_never_overruled_and_nothing_advances_too_early(
    name: str, on_inconclusive: str
) -> None:
    plan = replace(PLAN, on_inconclusive=on_inconclusive)
    readings = [reading(EVIDENCES[name], plan, stage) for stage in range(4)]
    for stage, parts, minutes, hours, guard, doubt, held, share in itertools.product(
        range(4), (0, 10**4), (0.0, 999.0), (1.0, 99.0), (0, 1), (0, 1), (0, 1), (0, 1)
    ):
        seen = readings[stage]
        seen = replace(seen, log10_share=9.0 if share else -1.0)
        at = Situation(
            stage,
            parts,
            minutes,
            compared=parts,
            hours=hours,
            guards=("Broken.",) * guard,
            doubts=("Drift.",) * doubt,
            held=bool(held),
        )
        decision = decide(plan, at, seen)
        must_stop = bool(guard) or (name in ("bad", "false rejects"))
        if must_stop:
            assert isinstance(decision, Stop)
        elif isinstance(decision, Stop):
            assert decision.cause is Cause.INCONCLUSIVE
            assert on_inconclusive == "stop"
            assert hours > plan.at_most_h
        if isinstance(decision, Advance):
            assert name == "good"
            assert not guard
            assert not doubt
            assert not held
            assert not share
            assert parts
            assert minutes or stage == 2
        assert decision.why.endswith(".")
        assert not decision.why[0].islower()
        assert decide(plan, at, seen) == decision


pieces = st.tuples(st.sampled_from(Outcome), st.sampled_from([None, OK, NG]), st.integers(0, 60))


@settings(max_examples=60, deadline=None)
@given(st.lists(pieces, max_size=6), st.integers(0, 1), st.booleans())
def test_whatever_was_seen_an_advance_has_its_bounds(
    seen: list[Seen], stage: int, dark: bool
) -> None:
    where = ("low_light",) if dark else ()
    evidence = gathered(*seen, slices=where)
    at = Situation(stage, parts=10**4, minutes=999.0)
    now = reading(evidence, stage=stage)
    decision = decide(PLAN, at, now)
    if isinstance(decision, Advance):
        light = now.by_name["low_light"]
        assert now.overall.missed.bound < stage_margin(PLAN, stage)
        assert light.missed.bound < slice_margin(PLAN, stage, PLAN.slices[0])
        assert light.defects >= 30
    if not any(truth for _, truth, times in seen if times):
        assert not isinstance(decision, Stop)


def test_good_parts_that_may_be_rejected_keep_a_stage_waiting() -> None:
    decision = decided((NEITHER, None, 600), (BOTH, None, 120), (ONLY_CANDIDATE, None, 12))
    assert isinstance(decision, Wait)
    assert "more of the good parts may be rejected, 2.0 points are allowed" in decision.why
    assert "12 parts that only the candidate rejects have no label" in decision.why
    found = decided((NEITHER, None, 600), (BOTH, None, 120), (ONLY_CANDIDATE, NG, 12))
    assert isinstance(found, Advance)
