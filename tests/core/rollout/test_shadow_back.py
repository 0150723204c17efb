"""After a rollout: the same counts, the question swapped."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_daemon.core.events import Decision
from edge_daemon.core.rollout.evidence import Evidence
from edge_daemon.core.rollout.plan import as_mapping, read_plan, recorded_plan
from edge_daemon.core.rollout.reading import read
from edge_daemon.core.rollout.rule import RuleResult, Situation
from edge_daemon.core.rollout.shadow_back import (
    back_plan,
    decide_back,
    mirrored,
    read_back,
    told_table,
)
from edge_daemon.core.rollout.values import Mode, Outcome
from edge_daemon.core.values import Verdict
from edge_daemon.errors import PlanError
from tests.sim.rollout_pairs import pair

WHOLE = read_plan(
    {
        "slices": {"dark": {"brightness_below": 60}},
        "stages": [{"shadow": 1.0}, {"full": True, "shadow_back_h": 24, "on_alarm": "rollback"}],
    }
)
PLAN = back_plan(WHOLE)
LONE = Outcome.ONLY_CANDIDATE
"""Who looks on rejects it, and the model that judges passes it."""


def evidence(*found: tuple[Outcome, int, Verdict | None], slices: tuple[str, ...] = ()) -> Evidence:
    made, number = Evidence(["dark"]), 0
    for outcome, count, truth in found:
        for _ in range(count):
            number += 1
            place = made.add(pair(outcome, number, *slices, share=0.0))
            if truth is not None:
                made.label(place, truth)
    return made


def decide(made: Evidence, hours: float = 1.0) -> RuleResult:
    return decide_back(PLAN, Situation(0, hours=hours), read_back(made, PLAN))


def test_the_plan_of_it_is_one_stage_in_which_nothing_of_it_counts() -> None:
    [stage] = PLAN.stages
    assert (stage.mode, stage.is_back, stage.on_alarm) == (Mode.SHADOW, True, "rollback")
    assert PLAN.at_most_h == 24.0
    assert (PLAN.slices, PLAN.alpha_stop) == (WHOLE.slices, WHOLE.alpha_stop)
    assert as_mapping(PLAN)["stages"][0]["shadow_back_h"] == 24.0
    with pytest.raises(PlanError):
        read_plan(as_mapping(PLAN))  # nobody asks for it as such


def test_nobody_raises_an_alarm_where_nothing_looks_back() -> None:
    with pytest.raises(PlanError, match="needs shadow_back_h"):
        read_plan({"stages": [{"shadow": 1.0}, {"full": True, "on_alarm": "rollback"}]})


def test_verified_misses_of_the_model_that_judges_raise_the_alarm() -> None:
    """As soon as the same labels would have stopped it in its rollout."""
    made = evidence((LONE, 40, Verdict.NG), (Outcome.BOTH, 100, None))
    found = decide(made)
    assert found.decision is Decision.STOP
    assert "misses 40 bad parts that the version before rejects" in found.why
    assert decide(made, hours=25.0).decision is Decision.STOP, "it stays when the time is over"


def test_what_it_rejects_better_is_no_alarm() -> None:
    """It was made active because it finds more."""
    made = evidence((Outcome.ONLY_INCUMBENT, 200, Verdict.NG), (LONE, 3, Verdict.OK))
    assert decide(made).decision is Decision.WAIT


def test_without_labels_it_asks_and_never_acts() -> None:
    found = decide(evidence((LONE, 200, None)))
    assert found.decision is Decision.HOLD
    assert "200 of them have no label" in found.why


def test_the_time_ends_it_with_what_was_seen() -> None:
    made = evidence((Outcome.NEITHER, 900, None), (LONE, 2, Verdict.OK))
    found = decide(made, hours=24.0)
    assert found.decision is Decision.ADVANCE
    assert "902 parts were seen by both; 2 were rejected by the version before alone" in found.why
    assert "1.0 of 24 h" in decide(made).why


def test_a_loss_in_one_slice_names_it() -> None:
    found = decide(evidence((LONE, 40, Verdict.NG), slices=("dark",)))
    assert found.decision is Decision.STOP


parts = st.lists(
    st.tuples(
        st.sampled_from(list(Outcome)),
        st.integers(0, 60),
        st.sampled_from([None, Verdict.OK, Verdict.NG]),
    ),
    max_size=8,
)


@given(parts)
def test_swapped_twice_is_as_it_was(found: list[tuple[Outcome, int, Verdict | None]]) -> None:
    made = evidence(*found)
    twice = mirrored(mirrored(made))
    assert twice.as_mapping()["slices"] == made.as_mapping()["slices"]
    table = read(made, PLAN, PLAN.margin).overall.table
    assert told_table(read_back(made, PLAN).overall.table) == table


@given(parts)
def test_it_is_the_reading_of_a_rollout_in_which_the_roles_were_so(
    found: list[tuple[Outcome, int, Verdict | None]],
) -> None:
    """The same parts, told with the model that judges as candidate."""
    other = {LONE: Outcome.ONLY_INCUMBENT, Outcome.ONLY_INCUMBENT: LONE}
    swapped = evidence(*((other.get(each, each), n, truth) for each, n, truth in found))
    assert read_back(evidence(*found), PLAN) == replace(read(swapped, PLAN, PLAN.margin))


def test_the_journal_has_its_plan_and_nobody_can_ask_for_it() -> None:
    """What was written is read again; as a request it is refused."""
    full = {"full": True, "shadow_back_h": 24, "on_alarm": "rollback"}
    plan = back_plan(read_plan({"stages": [{"shadow": 1.0}, full]}))
    written = as_mapping(plan)
    assert recorded_plan(written) == plan
    assert recorded_plan(as_mapping(read_plan({}))) == read_plan({})
    with pytest.raises(PlanError):
        read_plan(written)


@pytest.mark.parametrize("stages", [[], [7], "shadow"])
def test_a_plan_on_record_that_is_damaged_is_refused(stages: object) -> None:
    with pytest.raises(PlanError):
        recorded_plan({**as_mapping(PLAN), "stages": stages})
