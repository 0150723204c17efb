"""A replay: the same limits give the same decisions, others tell what would have been."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_daemon.core.events import Decision
from edge_daemon.core.rollout.plan import read_plan
from edge_daemon.core.rollout.progress import Progress
from edge_daemon.core.rollout.replay import Limits, Replayed, RuleSnapshot, read_look, replay
from edge_daemon.core.rollout.values import Mode, Outcome, Plan
from edge_daemon.core.values import Verdict
from tests.sim.rollout_pairs import pair

PLAN = read_plan(
    {
        "margin": 0.2,
        "false_reject_margin": 0.2,
        "slices": {"dark": {"brightness_below": 60}},
        "stages": [
            {"shadow": 1.0, "until": {"parts": 60, "margin": 0.4}},
            {"share": 0.2, "until": {"parts": 60, "margin": 0.3}},
            {"full": True},
        ],
    }
)


def run(
    seed: int, *, lost: float, plan: Plan = PLAN, most: int = 200, by_hand: int = 0
) -> list[RuleSnapshot]:
    """A rollout as the evaluator leads it: ten parts, a decision, a look at it, and so on.

    `lost`: of the bad parts those that only the incumbent finds. `by_hand`: the look after which a
    person advances it.
    """
    luck, progress, looks = random.Random(seed), Progress(plan, 0.0), []
    progress.enter(0, 0.0, 0.0)
    number = 0
    for turn in range(1, most):
        for _ in range(10):
            number += 1
            is_bad = luck.random() < 0.4
            outcome = Outcome.BOTH if is_bad else Outcome.NEITHER
            if is_bad and luck.random() < lost:
                outcome = Outcome.ONLY_INCUMBENT
            place = progress.add(pair(outcome, number, *["dark"] * (luck.random() < 0.3)))
            if outcome is Outcome.ONLY_INCUMBENT and luck.random() < 0.7:
                progress.evidence.label(place, Verdict.NG)
        progress.running_s += 10.0
        said = progress.decide(progress.reading(), turn * 10.0, held=luck.random() < 0.05)
        looks.append(progress.snapshot(turn * 10.0))
        advances = said.decision is Decision.ADVANCE or turn == by_hand
        if said.decision is Decision.STOP:
            break
        if advances and luck.random() < 0.8:  # an order may come in between
            if plan.stages[progress.stage + 1].mode is Mode.FULL:
                break
            progress.enter(progress.stage + 1, 0.2, turn * 10.0)
    return [read_look(json.loads(json.dumps(look.as_mapping()))) for look in looks]


def decisions(found: list[Replayed]) -> list[tuple[float, int, Decision]]:
    return [(each.utc, each.stage, each.decision) for each in found]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    lost=st.sampled_from([0.0, 0.02, 0.2, 0.9]),
    by_hand=st.integers(0, 15),
)
def test_the_same_limits_give_the_same_decisions(seed: int, lost: float, by_hand: int) -> None:
    """Also where a person advanced it, an order kept it back, or somebody held it."""
    looks = run(seed, lost=lost, by_hand=by_hand, most=60)
    found = list(replay(PLAN, looks))
    recorded = [(look.utc, look.situation.stage, look.decision) for look in looks]
    assert decisions(found) == recorded
    assert all(each.is_same for each in found)


def test_a_larger_chance_of_a_false_stop_stops_earlier() -> None:
    looks = run(1, lost=0.2)
    assert looks[-1].decision is Decision.STOP
    eager = list(replay(Limits(alpha_stop=0.1).of(PLAN), looks))
    assert eager[-1].decision is Decision.STOP
    assert eager[-1].utc < looks[-1].utc
    wary = list(replay(Limits(alpha_stop=1e-9).of(PLAN), looks))
    assert wary[-1].decision is not Decision.STOP
    assert len(wary) == len(looks), "the record ends before its evidence is so strong"


def test_a_narrower_margin_advances_later_or_not_at_all() -> None:
    """The parts and minutes of its own stage count, not those of the stage on record."""
    looks = run(2, lost=0.0)
    assert looks[-1].decision is Decision.ADVANCE
    wide = list(replay(Limits(margin=0.9).of(PLAN), looks))
    narrow = list(replay(Limits(margin=0.001).of(PLAN), looks))
    assert wide[-1].decision is Decision.ADVANCE
    assert wide[-1].utc <= looks[-1].utc
    assert narrow[-1].decision is Decision.WAIT
    strict = replace(
        PLAN,
        stages=(
            replace(PLAN.stages[0], until=replace(PLAN.stages[0].until, parts=120)),
            *PLAN.stages[1:],
        ),
    )
    later = [each for each in replay(strict, looks) if each.decision is Decision.ADVANCE]
    first = next(look for look in looks if look.decision is Decision.ADVANCE)
    assert later[0].stage == 0
    assert later[0].utc > first.utc
    if len(later) > 1:
        assert later[1].utc >= later[0].utc + 60.0, "sixty parts more, ten in ten seconds"


@pytest.mark.parametrize("broken", [{}, {"utc": 1.0}, {"situation": {"stage": "x", "odd": 1}}])
def test_what_is_no_look_is_refused(broken: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="no look"):
        read_look(broken)


def test_a_look_of_an_earlier_version_is_read() -> None:
    """It had fields that nobody filled."""
    look = run(3, lost=0.0, most=3)[0]
    plain = look.as_mapping()
    before = {**plain["situation"], "guards": [], "doubts": []}
    assert read_look({**plain, "situation": before}) == look


def test_evidence_of_another_rule_is_refused() -> None:
    look = run(3, lost=0.0, most=3)[0]
    old = replace(look, evidence={**look.evidence, "rule": 0})
    with pytest.raises(ValueError, match="rule 0"):
        list(replay(PLAN, [old]))
