"""What the rule promises: a stop is never delayed, and nothing advances without its evidence."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_daemon.core.events import Decision
from edge_daemon.core.rollout.evidence import Evidence
from edge_daemon.core.rollout.margins import margin_of, stage_margin
from edge_daemon.core.rollout.plan import OVERALL, read_plan
from edge_daemon.core.rollout.reading import Reading, read
from edge_daemon.core.rollout.rule import RuleResult, Situation, decide
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


def decided(*seen: Seen, at: Situation = READY, plan: Plan = PLAN, **kwargs: Any) -> RuleResult:
    return decide(plan, at, reading(gathered(*seen, **kwargs), plan, at.stage))


# --------------------------------------------------------------------------- advance


def test_a_stage_that_has_all_it_needs_advances_without_a_single_label() -> None:
    found = decided(*GOOD)
    assert found.decision is Decision.ADVANCE
    assert "points of recall" in found.why


def test_each_thing_that_is_missing_is_waited_for_and_named() -> None:
    for at, word in [
        (replace(READY, parts=499), "499 of 500 parts"),
        (replace(READY, minutes=29.0), "29 of 30 minutes"),
    ]:
        found = decided(*GOOD, at=at)
        assert found.decision is Decision.WAIT
        assert len(found.missing) == 1
        assert word in found.why
    few = decided((NEITHER, None, 600), (BOTH, None, 29))
    assert few.decision is Decision.WAIT
    assert "low_light: 29 of 30 bad parts" in few.why
    elsewhere = decided(*GOOD, slices=())
    assert elsewhere.decision is Decision.WAIT
    assert "low_light: no part was judged by both" in elsewhere.why


def test_a_slice_that_is_not_critical_does_not_keep_a_rollout_waiting() -> None:
    assert reading(gathered(*GOOD)).by_name["small"].parts == 0
    assert decided(*GOOD).decision is Decision.ADVANCE


def test_parts_that_nobody_looked_at_count_as_lost() -> None:
    found = decided(*GOOD, (ONLY_INCUMBENT, None, 25))
    assert found.decision is Decision.WAIT
    assert "25 parts that only the incumbent rejects have no label" in found.why
    labelled = decided(*GOOD, (ONLY_INCUMBENT, OK, 25))
    assert labelled.decision is Decision.ADVANCE


def test_low_coverage_of_a_critical_slice_is_no_evidence() -> None:
    evidence = gathered(*GOOD)
    for _ in range(200):
        evidence.lose(["low_light"])
    found = decide(PLAN, READY, reading(evidence))
    assert found.decision is Decision.HOLD
    assert "Only 78% of the 920 drawn parts could be compared" in found.why


def test_a_coverage_of_few_parts_is_waited_for() -> None:
    """The first ones are an accident of the moment, and nobody is asked to look."""
    evidence = gathered((NEITHER, None, 30))
    for _ in range(20):
        evidence.lose()
    found = decide(PLAN, READY, reading(evidence))
    assert found.decision is Decision.WAIT
    assert "Both judged 60% of the parts" in found.why


def test_the_stage_before_full_has_the_plans_own_margin_even_if_a_comparison_lies_between() -> None:
    assert stage_margin(PLAN, 0) == 0.2
    assert stage_margin(PLAN, 1) == PLAN.margin == 0.03
    assert stage_margin(PLAN, 2) == 0.03
    plan = replace(PLAN, slices=(replace(PLAN.slices[0], margin=0.05), PLAN.slices[1]))
    assert [margin_of(plan, stage, "low_light") for stage in (0, 1)] == [0.2, 0.05]
    assert [margin_of(plan, stage, "small") for stage in (0, 1)] == [0.2, 0.03]
    assert [margin_of(plan, stage, OVERALL) for stage in (0, 1)] == [0.2, 0.03]
    at = Situation(1, parts=500, minutes=60.0)
    assert decided(*GOOD, at=at).decision is Decision.WAIT
    assert decided((NEITHER, None, 600), (BOTH, None, 400), at=at).decision is Decision.ADVANCE


def test_a_comparison_waits_for_its_blocks() -> None:
    much: list[Seen] = [(NEITHER, None, 600), (BOTH, None, 400)]
    waits = decided(*much, at=Situation(2, compared=19))
    assert waits.decision is Decision.WAIT
    assert waits.missing == ("19 of 20 pairs of blocks were measured",)
    assert decided(*much, at=Situation(2, compared=20)).decision is Decision.ADVANCE


def test_a_comparison_that_comes_first_needs_no_evidence_of_pairs() -> None:
    plan = read_plan({"stages": [{"compare": {"pairs": 5}}, {"shadow": 1.0}, {"full": True}]})
    assert decided(at=Situation(0, compared=5), plan=plan) == RuleResult(
        Decision.ADVANCE, "5 pairs of blocks were measured."
    )


def test_once_it_is_active_nothing_is_decided_but_a_stop() -> None:
    assert decided(*GOOD, at=Situation(3)).decision is Decision.WAIT
    assert decided(*BAD, at=Situation(3)).decision is Decision.STOP


# --------------------------------------------------------------------------- stop


BAD: list[Seen] = [*GOOD, (ONLY_INCUMBENT, NG, 30)]


def test_labels_that_show_a_loss_in_one_named_slice_stop_the_rollout() -> None:
    found = decided(*BAD)
    assert found.decision is Decision.STOP
    assert "misses 30 bad parts that the incumbent rejects" in found.why
    slices_only = gathered(*GOOD, slices=("small",))
    number = 10_000
    for outcome, times in ((ONLY_INCUMBENT, 22), (ONLY_CANDIDATE, 20)):
        for _ in range(times):
            number += 1
            where = ("low_light",) if outcome is ONLY_INCUMBENT else ()
            slices_only.label(slices_only.add(pair(outcome, number, *where)), NG)
    found = decide(PLAN, READY, reading(slices_only))
    assert found.decision is Decision.STOP
    assert "in low_light" in found.why


def test_good_parts_that_are_rejected_beyond_the_margin_stop_it_too() -> None:
    found = decided((NEITHER, None, 1000), (BOTH, None, 60), (ONLY_CANDIDATE, OK, 100))
    assert found.decision is Decision.STOP
    assert "rejects 100 good parts that the incumbent passes" in found.why


def test_without_labels_nothing_is_condemned() -> None:
    """The incumbent's word alone, however strong: hold, and ask for labels."""
    for seen in ([(ONLY_INCUMBENT, None, 500)], [(ONLY_CANDIDATE, None, 500)]):
        found = decided(*GOOD, *seen)
        assert found.decision is Decision.HOLD
        assert "500 parts that only the" in found.why
    reference_only = replace(PLAN, truth=read_plan({"truth": ["reference"]}).truth)
    assert decided(*BAD, plan=reference_only).decision in (Decision.WAIT, Decision.HOLD)


def test_one_sided_labels_hold_and_ask_for_the_others() -> None:
    found = decided(*GOOD, (ONLY_INCUMBENT, NG, 30), (ONLY_CANDIDATE, None, 30))
    assert found.decision is Decision.HOLD
    assert "one-sided: 30 parts that only the candidate rejects have no label" in found.why


# --------------------------------------------------------------------------- hold


def test_a_share_that_is_not_the_declared_one_holds() -> None:
    evidence = gathered(*GOOD)
    evidence.arms = {0.1: (1000, 200)}
    found = decide(PLAN, READY, reading(evidence))
    assert found.decision is Decision.HOLD
    assert "share of the parts is not the share of the plan" in found.why
    evidence.arms = {0.1: (1000, 100)}
    assert decide(PLAN, READY, reading(evidence)).decision is Decision.ADVANCE
    evidence.misassigned = 1
    assert decide(PLAN, READY, reading(evidence)).decision is Decision.HOLD


def test_at_the_end_of_its_time_a_rollout_without_a_result_holds_or_stops_and_never_advances() -> (
    None
):
    late = replace(READY, hours=72.0, parts=10)
    held = decided(*GOOD, at=late)
    assert held.decision is Decision.HOLD
    assert held.why.startswith("After 72 h the rollout has no result. 10 of 500 parts")
    stopped = decided(*GOOD, at=late, plan=replace(PLAN, on_inconclusive="stop"))
    assert stopped.decision is Decision.STOP
    assert stopped.why == held.why
    assert decided(*GOOD, at=replace(READY, hours=72.0)).decision is Decision.ADVANCE


def test_a_person_who_holds_freezes_advances_and_no_stop() -> None:
    assert decided(*GOOD, at=replace(READY, held=True)).decision is Decision.HOLD
    assert decided(*BAD, at=replace(READY, held=True)).decision is Decision.STOP


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
    for stage, parts, minutes, hours, held, share in itertools.product(
        range(4), (0, 10**4), (0.0, 999.0), (1.0, 99.0), (0, 1), (0, 1)
    ):
        seen = readings[stage]
        seen = replace(seen, log10_share=9.0 if share else -1.0)
        at = Situation(stage, parts, minutes, compared=parts, hours=hours, held=bool(held))
        found = decide(plan, at, seen)
        if name in ("bad", "false rejects"):
            assert found.decision is Decision.STOP
        elif found.decision is Decision.STOP:
            assert "has no result" in found.why
            assert on_inconclusive == "stop"
            assert hours > plan.at_most_h
        if found.decision is Decision.ADVANCE:
            assert name == "good"
            assert not held
            assert not share
            assert parts
            assert minutes or stage == 2
        assert found.why.endswith(".")
        assert not found.why[0].islower()
        assert decide(plan, at, seen) == found


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
    found = decide(PLAN, at, now)
    if found.decision is Decision.ADVANCE:
        light = now.by_name["low_light"]
        assert now.overall.missed.bound < stage_margin(PLAN, stage)
        assert light.missed.bound < margin_of(PLAN, stage, PLAN.slices[0].name)
        assert light.defects >= 30
    if not any(truth for _, truth, times in seen if times):
        assert found.decision is not Decision.STOP


def test_good_parts_that_may_be_rejected_keep_a_stage_waiting() -> None:
    found = decided((NEITHER, None, 600), (BOTH, None, 120), (ONLY_CANDIDATE, None, 12))
    assert found.decision is Decision.WAIT
    assert "more of the good parts may be rejected, 2.0 points are allowed" in found.why
    assert "12 parts that only the candidate rejects have no label" in found.why
    found = decided((NEITHER, None, 600), (BOTH, None, 120), (ONLY_CANDIDATE, NG, 12))
    assert found.decision is Decision.ADVANCE
