"""Evidence is counts: labels come in any order, are revised, and survive a restart exactly."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_daemon.core.rollout.evidence import (
    RULE_VERSION,
    Evidence,
    Place,
    read_evidence,
    read_place,
)
from edge_daemon.core.rollout.plan import OVERALL, read_plan
from edge_daemon.core.rollout.reading import Reading, read
from edge_daemon.core.rollout.values import Arm, Outcome
from edge_daemon.core.values import Verdict
from tests.sim.rollout_pairs import pair

PLAN = read_plan({"slices": {"dark": {"brightness_below": 60}, "small": {"box_area_below": 400}}})
NAMES = ("dark", "small")

outcomes = st.sampled_from(Outcome)
truths = st.sampled_from([None, Verdict.OK, Verdict.NG])
parts = st.tuples(outcomes, st.lists(st.sampled_from([*NAMES, "other"]), max_size=3), truths)


def restarted(evidence: Evidence) -> Evidence:
    return read_evidence(json.loads(json.dumps(evidence.as_mapping())))


def reading(evidence: Evidence) -> Reading:
    return read(evidence, PLAN, 0.05)


def fold(seen: list[tuple[Outcome, list[str], Verdict | None]]) -> tuple[Evidence, list[Place]]:
    """All pairs first, then their labels."""
    evidence = Evidence(NAMES)
    places = [
        evidence.add(pair(outcome, number, *slices))
        for number, (outcome, slices, _) in enumerate(seen)
    ]
    return evidence, [
        evidence.label(place, truth) for place, (_, _, truth) in zip(places, seen, strict=True)
    ]


@settings(deadline=None)
@given(st.lists(parts, max_size=30), st.randoms())
def test_labels_come_in_any_order_and_at_any_time(seen: Any, order: random.Random) -> None:
    expected, _ = fold(seen)
    evidence = Evidence(NAMES)
    waiting = []
    for number, (outcome, slices, truth) in enumerate(seen):
        waiting.append((evidence.add(pair(outcome, number, *slices)), truth))
        if order.random() < 0.5:
            evidence.label(*waiting.pop(order.randrange(len(waiting))))
    order.shuffle(waiting)
    for place, truth in waiting:
        evidence.label(place, truth)
    assert evidence.as_mapping() == expected.as_mapping()


@settings(deadline=None)
@given(st.lists(parts, max_size=20), st.lists(truths, min_size=20, max_size=20))
def test_a_later_label_replaces_the_former_one(seen: Any, first_words: Any) -> None:
    expected, _ = fold(seen)
    words = iter(first_words)
    evidence, places = fold([(outcome, slices, next(words)) for outcome, slices, _ in seen])
    for place, (_, _, truth) in zip(places, seen, strict=True):
        evidence.label(place, truth)
    assert evidence.as_mapping() == expected.as_mapping()


@settings(deadline=None)
@given(st.lists(parts, max_size=30), st.integers(0, 30))
def test_a_restart_in_between_changes_no_digit(seen: Any, restart_at: int) -> None:
    straight, places = fold(seen)
    evidence = Evidence(NAMES)
    for number, (outcome, slices, truth) in enumerate(seen):
        if number == restart_at:
            evidence = restarted(evidence)
        place = evidence.add(pair(outcome, number, *slices))
        kept = read_place(json.loads(json.dumps(place.as_mapping())))
        assert kept == place
        evidence.label(kept, truth)
    assert restarted(evidence).as_mapping() == straight.as_mapping()
    assert reading(restarted(evidence)) == reading(straight)
    assert [place.truth for place in places] == [truth for _, _, truth in seen]


def test_every_pair_counts_once_for_all_parts_and_for_each_slice_of_the_plan() -> None:
    evidence = Evidence(NAMES)
    place = evidence.add(pair(Outcome.ONLY_INCUMBENT, 1, "dark", "dark", "unheard_of"))
    assert place.blocks == ((OVERALL, 0), ("dark", 0))
    overall, dark, small = reading(evidence).slices
    assert overall.table[Outcome.ONLY_INCUMBENT] == dark.table[Outcome.ONLY_INCUMBENT] == 1
    assert small.parts == 0


def test_a_new_start_comes_after_200_rejected_parts_of_the_slice_itself() -> None:
    evidence = Evidence(NAMES)
    for part in range(199):
        evidence.add(pair(Outcome.BOTH, part, "dark"))
    for part in range(200, 700):
        evidence.add(pair(Outcome.NEITHER, part, "dark", "small"))
    assert evidence.add(pair(Outcome.BOTH, 700, "dark")).blocks == ((OVERALL, 0), ("dark", 0))
    after = evidence.add(pair(Outcome.BOTH, 701, "dark", "small"))
    assert after.blocks == ((OVERALL, 1), ("dark", 1), ("small", 0))


def test_the_size_is_bounded_whatever_the_rollout_lasts() -> None:
    evidence = Evidence()
    counts = evidence.slices[OVERALL]
    counts.rejected = 10**9
    evidence.add(pair(Outcome.BOTH, 1))
    assert len(counts.blocks) == 33
    assert len(json.dumps(evidence.as_mapping())) < 5000
    assert restarted(evidence).as_mapping() == evidence.as_mapping()


def test_a_part_that_was_to_be_judged_by_both_and_was_not_lowers_the_coverage() -> None:
    evidence = Evidence(NAMES)
    assert reading(evidence).overall.coverage is None
    for part in range(8):
        evidence.add(pair(Outcome.NEITHER, part, "dark"))
    evidence.lose(["dark"])
    evidence.lose()
    overall, dark, _ = reading(evidence).slices
    assert overall.coverage == 0.8
    assert dark.coverage == 8 / 9


# --------------------------------------------------------------------------- arms


def test_the_arms_of_20_000_parts_raise_no_alarm() -> None:
    evidence = Evidence()
    worst = -1.0
    for part in range(20_000):
        evidence.count_arms(0.1, 1, pair(Outcome.NEITHER, part).assigned.arm is Arm.CANDIDATE)
        if part % 500 == 0:
            worst = max(worst, reading(evidence).log10_share)
    assert evidence.arms[0.1][0] == 20_000
    assert worst < 3.0


# --------------------------------------------------------------------------- damage


@pytest.mark.parametrize(
    "damage",
    [
        {"rule": RULE_VERSION + 1},
        {"slices": {OVERALL: {"rejected": 1, "lost": 0, "blocks": [[1, 2]]}}},
        {"slices": {OVERALL: {"rejected": -1, "lost": 0, "blocks": []}}},
        {"slices": {OVERALL: {"rejected": 1.5, "lost": 0, "blocks": []}}},
        {"slices": {OVERALL: {"rejected": 0, "lost": 0, "blocks": [[0] * 12] * 40}}},
        {"slices": None},
        {"arms": {"a tenth": [1, 1]}},
        {"arms": {"0x1p-1": [1]}},
    ],
)
def test_evidence_that_is_damaged_is_refused(damage: Any) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_evidence({**Evidence().as_mapping(), **damage})


# --------------------------------------------------------------------------- what labels say


def shown(*seen: tuple[Outcome, Verdict | None, int]) -> Reading:
    evidence, number = Evidence(NAMES), 0
    for outcome, truth, times in seen:
        for _ in range(times):
            number += 1
            evidence.label(evidence.add(pair(outcome, number)), truth)
    return reading(evidence)


def test_a_part_without_a_label_counts_as_a_loss_in_the_bound_and_as_nothing_in_the_stop() -> None:
    seen = shown((Outcome.BOTH, None, 200), (Outcome.ONLY_INCUMBENT, None, 40))
    assert seen.overall.missed.log10_e == pytest.approx(0.0, abs=1e-9)
    assert seen.overall.missed.bound > 40 / 240
    assert seen.overall.missed.log10_reference > seen.overall.missed.limit
    labelled = shown((Outcome.BOTH, None, 200), (Outcome.ONLY_INCUMBENT, Verdict.OK, 40))
    assert labelled.overall.missed.bound < 0.05
    assert labelled.overall.missed.log10_reference < 0


def test_a_candidate_that_corrects_false_rejects_is_never_condemned_for_it() -> None:
    """The incumbent's word speaks against it, the labels do not."""
    seen = shown(
        (Outcome.NEITHER, None, 900),
        (Outcome.BOTH, None, 10),
        (Outcome.ONLY_INCUMBENT, Verdict.OK, 60),
        (Outcome.ONLY_INCUMBENT, None, 20),
    )
    assert seen.overall.missed.log10_reference > seen.overall.missed.limit
    assert seen.overall.missed.log10_e == pytest.approx(0.0, abs=1e-9)
    assert seen.overall.false_rejects.log10_e < 0
    assert seen.overall.false_rejects.bound < 0.02


def test_one_sided_labels_are_not_sure() -> None:
    """In shadow the parts that only the candidate rejects have left the line."""
    seen = shown((Outcome.ONLY_INCUMBENT, Verdict.NG, 30), (Outcome.ONLY_CANDIDATE, None, 30))
    assert seen.overall.missed.log10_e > seen.overall.missed.limit
    assert not seen.overall.missed.sure
    looked_at = shown(
        (Outcome.ONLY_INCUMBENT, Verdict.NG, 30), (Outcome.ONLY_CANDIDATE, Verdict.OK, 30)
    )
    assert looked_at.overall.missed.sure


def test_evidence_that_outweighs_every_unseen_part_is_sure_without_labels_for_them() -> None:
    seen = shown((Outcome.ONLY_INCUMBENT, Verdict.NG, 60), (Outcome.ONLY_CANDIDATE, None, 5))
    assert seen.overall.missed.sure
    assert seen.overall.missed.log10_e > seen.overall.missed.limit


def test_false_rejects_within_the_margin_are_no_reason_to_stop() -> None:
    within = shown((Outcome.NEITHER, None, 5000), (Outcome.ONLY_CANDIDATE, Verdict.OK, 50))
    assert within.overall.false_rejects.log10_e < 0
    beyond = shown((Outcome.NEITHER, None, 1000), (Outcome.ONLY_CANDIDATE, Verdict.OK, 100))
    assert beyond.overall.false_rejects.log10_e > beyond.overall.false_rejects.limit


def test_the_chance_of_a_false_stop_is_divided_among_all_tests_and_no_more() -> None:
    seen = shown((Outcome.BOTH, None, 1))
    spent = sum(10**-side.limit for one in seen.slices for side in (one.missed, one.false_rejects))
    assert spent == pytest.approx(PLAN.alpha_stop)


def test_labels_are_counted_and_what_is_missing_is_known() -> None:
    seen = shown(
        (Outcome.ONLY_INCUMBENT, None, 3),
        (Outcome.ONLY_CANDIDATE, None, 2),
        (Outcome.ONLY_CANDIDATE, Verdict.NG, 4),
        (Outcome.BOTH, Verdict.NG, 5),
    )
    assert seen.overall.labels == 4
    assert seen.overall.unlabelled == {Outcome.ONLY_INCUMBENT: 3, Outcome.ONLY_CANDIDATE: 2}


def test_without_the_incumbents_word_only_labels_are_units() -> None:
    evidence = Evidence()
    for part in range(100):
        evidence.add(pair(Outcome.BOTH, part))
        evidence.add(pair(Outcome.NEITHER, 1000 + part))
    strict = read(evidence, read_plan({"truth": ["verified"]}), 0.05).overall
    assert (strict.defects, strict.missed.bound, strict.false_rejects.bound) == (0, 1.0, 1.0)


def test_false_rejects_of_both_models_do_not_hide_a_loss() -> None:
    """Of 20 parts that both reject and that were looked at, 15 were good: so are 300 of 400."""
    plain = shown((Outcome.BOTH, None, 400), (Outcome.ONLY_INCUMBENT, Verdict.NG, 8))
    assert plain.overall.missed.bound < 0.06
    looked_at = shown(
        (Outcome.BOTH, None, 400),
        (Outcome.BOTH, Verdict.OK, 15),
        (Outcome.BOTH, Verdict.NG, 5),
        (Outcome.ONLY_INCUMBENT, Verdict.NG, 8),
    )
    assert looked_at.overall.defects == 100 + 5 + 8
    assert looked_at.overall.missed.bound > 8 / 113


def test_one_sided_labels_of_good_parts_are_not_sure_either() -> None:
    """Parts that only the incumbent rejects may all be false rejects that it alone makes."""
    good = (Outcome.NEITHER, None, 500)
    seen = shown(good, (Outcome.ONLY_CANDIDATE, Verdict.OK, 80), (Outcome.ONLY_INCUMBENT, None, 60))
    assert seen.overall.false_rejects.log10_e > seen.overall.false_rejects.limit
    assert not seen.overall.false_rejects.sure
    few = shown(good, (Outcome.ONLY_CANDIDATE, Verdict.OK, 80), (Outcome.ONLY_INCUMBENT, None, 2))
    assert few.overall.false_rejects.sure
