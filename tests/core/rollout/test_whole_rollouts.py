"""Whole rollouts by the real plan, evidence and rule, on lines whose truth is known."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from edge_daemon.core.events import Decision
from edge_daemon.core.rollout.evidence import Evidence, Place, read_evidence
from edge_daemon.core.rollout.margins import stage_margin
from edge_daemon.core.rollout.plan import read_plan
from edge_daemon.core.rollout.reading import Reading, read
from edge_daemon.core.rollout.rule import RuleResult, Situation, decide
from edge_daemon.core.rollout.values import Mode, Outcome
from edge_daemon.core.values import Verdict
from tests.sim.rollout_pairs import pair

PLAN = read_plan(
    {
        "margin": 0.1,
        "slices": {"low_light": {"brightness_below": 60, "critical": True, "min_defects": 30}},
        "stages": [
            {"shadow": 1.0, "until": {"parts": 500, "minutes": 1, "margin": 0.2}},
            {"share": 0.1, "until": {"parts": 500, "minutes": 1, "margin": 0.1}},
            {"full": True},
        ],
    }
)
PARTS_A_MINUTE = 120
LABEL_AFTER = 40  # parts until the operator has said what a disagreement is


@dataclass(frozen=True)
class Line:
    """One part in ten is bad, one in four comes in low light; chances of a model's mistakes."""

    blind: float = 0.0  # the candidate misses this share of the bad parts in low light
    missed: float = 0.01
    rejected: float = 0.005

    def parts(self, seed: int) -> Iterator[tuple[bool, bool, Outcome]]:
        """Bad or not, dark or not, and who rejects it."""
        luck = random.Random(seed)
        while True:
            is_bad, is_dark = luck.random() < 0.1, luck.random() < 0.25
            says = [
                luck.random() >= self.missed if is_bad else luck.random() < self.rejected
                for _ in range(2)
            ]
            if is_bad and is_dark and luck.random() < self.blind:
                says[1] = False
            yield is_bad, is_dark, OUTCOMES[says[0], says[1]]


OUTCOMES = {
    (True, True): Outcome.BOTH,
    (False, False): Outcome.NEITHER,
    (True, False): Outcome.ONLY_INCUMBENT,
    (False, True): Outcome.ONLY_CANDIDATE,
}


@dataclass
class Ended:
    said: RuleResult
    reading: Reading
    parts: int
    dark_defects: int
    stages: list[int]
    kinds: Counter[Decision]


def run(
    line: Line, seed: int, *, labels: bool = True, restart_every: int = 0, most: int = 12_000
) -> Ended:
    """Until it is full or stopped, or `most` parts have passed; it is decided each 10 parts."""
    evidence, stage, began, dark = Evidence(["low_light"]), 0, 0, 0
    waiting: list[tuple[int, Place, Verdict]] = []
    stages, kinds = [0], Counter[Decision]()
    for part, (is_bad, is_dark, outcome) in enumerate(line.parts(seed), 1):
        dark += is_bad and is_dark
        share = PLAN.stages[stage].share if PLAN.stages[stage].mode is Mode.SHARE else 0.0
        place = evidence.add(pair(outcome, part, *["low_light"] * is_dark, share=share))
        if outcome in (Outcome.ONLY_INCUMBENT, Outcome.ONLY_CANDIDATE) and labels:
            waiting.append((part + LABEL_AFTER, place, Verdict.NG if is_bad else Verdict.OK))
        while waiting and waiting[0][0] <= part:
            _, known, truth = waiting.pop(0)
            evidence.label(known, truth)
        if restart_every and part % restart_every == 0:
            evidence = read_evidence(json.loads(json.dumps(evidence.as_mapping())))
        if part % 10:
            continue
        seen = read(evidence, PLAN, stage_margin(PLAN, stage))
        since = part - began
        said = decide(PLAN, Situation(stage, since, since / PARTS_A_MINUTE), seen)
        kinds[said.decision] += 1
        if said.decision is Decision.ADVANCE:
            stage, began = stage + 1, part
            stages.append(stage)
        is_over = said.decision is Decision.STOP or PLAN.stages[stage].mode is Mode.FULL
        if is_over or part >= most:
            return Ended(said, seen, part, dark, stages, kinds)
    raise AssertionError


def test_a_candidate_that_is_blind_in_low_light_is_stopped_in_the_shadow() -> None:
    runs = [run(Line(blind=0.5), seed) for seed in range(11)]
    for ended in runs:
        assert ended.said.decision is Decision.STOP
        assert "misses" in ended.said.why
        assert ended.stages == [0]
    assert sorted(ended.dark_defects for ended in runs)[5] < 45


def test_an_equal_candidate_walks_through_all_stages_by_itself() -> None:
    for seed in range(3):
        ended = run(Line(), seed)
        assert ended.stages == [0, 1, 2]
        assert ended.kinds[Decision.STOP] == 0


def test_a_restart_each_hundred_parts_changes_no_decision() -> None:
    straight, restarted = run(Line(), 3), run(Line(), 3, restart_every=100)
    assert (restarted.parts, restarted.said) == (straight.parts, straight.said)
    assert restarted.reading == straight.reading


def test_a_blind_candidate_that_nobody_labels_is_neither_promoted_nor_condemned() -> None:
    ended = run(Line(blind=0.5), 1, labels=False, most=4000)
    assert ended.stages == [0]
    assert set(ended.kinds) <= {Decision.WAIT, Decision.HOLD}
    assert ended.said.decision is Decision.HOLD
    assert "without labels nobody knows" in ended.said.why
