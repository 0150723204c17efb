"""The scene of the rollouts: its plan decides what it promises, and the truth it tells is true."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from edge_daemon.core.events import Decision
from edge_daemon.core.rollout.evidence import Evidence
from edge_daemon.core.rollout.margins import stage_margin
from edge_daemon.core.rollout.plan import read_plan
from edge_daemon.core.rollout.reading import read
from edge_daemon.core.rollout.rule import RuleResult, Situation, decide
from edge_daemon.core.rollout.values import Arm, Assigned, Opinion, Pair
from edge_daemon.core.values import BundleRef, Verdict
from edge_daemon.demo.challenge import MOST, Challenge, Item
from edge_daemon.demo.conveyor import Conveyor
from edge_daemon.demo.rollout_scene import FEWEST_PARTS, MOST_FLAWED, RolloutScene, stages
from edge_daemon.demo.stage import BELT
from edge_daemon.demo.truth import place_of, serial_of

PLAN = read_plan(stages(FEWEST_PARTS))
LOW_LIGHT = ("low_light",)


def opinion(verdict: Verdict) -> Opinion:
    return Opinion(BundleRef("bottle", "1.0.0"), "9f", verdict)


class Line:
    """Challenge parts: every other one is flawed; two of them, then two in the other light."""

    def __init__(self, *, blind: bool) -> None:
        self.blind = blind
        self.evidence = Evidence(rule.name for rule in PLAN.slices)
        self.parts = self.flawed = 0

    def part(self) -> None:
        number = self.parts
        is_flawed, is_dim = number % 2 == 0, number // 2 % 2 == 1
        truth = Verdict.NG if is_flawed else Verdict.OK
        says = Verdict.OK if self.blind and is_dim else truth
        arm = Assigned("r", Arm.INCUMBENT, 0.0, (number + 0.5) / 1000)
        opinions = opinion(truth), opinion(says)
        names = LOW_LIGHT if is_dim else ()
        pair = Pair("r", "b", number, None, arm, *opinions, (number,), 0.0, slices=names)
        self.evidence.label(self.evidence.add(pair), truth)
        self.parts += 1
        self.flawed += is_flawed

    def decides(self, stage: int, parts: int) -> RuleResult:
        reading = read(self.evidence, PLAN, stage_margin(PLAN, stage))
        return decide(PLAN, Situation(stage, parts=parts), reading)


def test_a_candidate_that_is_blind_in_low_light_is_stopped_soon() -> None:
    """In shadow, by what it misses; it never goes on before."""
    line = Line(blind=True)
    while (said := line.decides(0, line.parts)).decision is not Decision.STOP:
        assert said.decision is not Decision.ADVANCE
        line.part()
        assert line.flawed < MOST_FLAWED
    assert "misses" in said.why


def test_a_good_candidate_goes_all_the_way_within_a_short_scene() -> None:
    """Shadow, a share, full: by what the parts show, and not before they do."""
    line = Line(blind=False)
    for stage in range(len(PLAN.stages) - 1):
        before = line.parts
        while (said := line.decides(stage, line.parts - before)).decision is not Decision.ADVANCE:
            assert said.decision is not Decision.STOP
            line.part()
        assert line.parts - before >= FEWEST_PARTS
    assert line.flawed < 3 * MOST_FLAWED


# --------------------------------------------------------------------------- the truth


class Rig:
    """Who is told the truth, and may refuse it."""

    def __init__(self) -> None:
        self.status = "succeeded"
        self.heard: list[list[Item]] = []

    def ask(self, items: Sequence[Item]) -> dict[str, Any]:
        self.heard.append(list(items))
        return {"status": self.status, "error": {"message": "No part is known."}}


def test_the_truth_of_each_part_is_what_was_on_the_belt() -> None:
    """A part without a flaw is ok, any other ng; nobody is asked when there is nothing to say."""
    line, rig = Conveyor(belt=BELT), Rig()
    line.change(10, defects=0.5, dim_every=2)
    challenge = Challenge(line, "bottle", rig.ask)
    challenge.tell()
    for place in range(30):
        challenge.part(serial_of(place))
    challenge.tell()
    challenge.tell()
    (told,) = rig.heard
    assert [place_of(item["part"]) for item in told] == list(range(30))
    assert all(
        (item["verdict"] == "ng") == bool(line.flaws(place_of(item["part"]), "bottle"))
        for item in told
    )
    assert sum(item["verdict"] == "ng" for item in told[10:]) == 10
    assert challenge.said == 30


def test_what_was_refused_is_said_again() -> None:
    """In its order, at most so many words in one request."""
    rig = Rig()
    challenge = Challenge(Conveyor(belt=BELT), "bottle", rig.ask)
    for place in range(MOST + 1):
        challenge.part(serial_of(place))
    rig.status = "rejected"
    challenge.tell()
    assert (challenge.said, challenge.refused) == (0, "No part is known.")
    rig.status = "succeeded"
    challenge.tell()
    challenge.tell()
    assert [len(items) for items in rig.heard] == [MOST, MOST, 1]
    assert rig.heard[0] == rig.heard[1]
    assert challenge.said == MOST + 1


# --------------------------------------------------------------------------- the belt


def test_the_belt_changes_from_one_place_on_and_nowhere_else() -> None:
    """Parts before it stay as they were; a change that comes too late is refused."""
    before, after = Conveyor(belt=BELT), Conveyor(belt=BELT)
    after.change(40, defects=0.5, dim_every=2)
    for place in range(40):
        assert after.flaws(place, "bottle") == before.flaws(place, "bottle")
    assert sum(bool(after.flaws(place, "bottle")) for place in range(40, 140)) == 50
    last = round(after.reaches(39))  # in the middle of the picture
    assert [after.light(n, "bottle") for n in range(last)] == [
        before.light(n, "bottle") for n in range(last)
    ]
    stretches = range(2 * last, 2 * last + 20 * BELT.stretch, BELT.stretch)
    lights = [after.light(index, "bottle") for index in stretches]
    assert 9 <= lights.count("low_light") <= 11
    with pytest.raises(ValueError, match="place 40"):
        after.change(40, defects=0.06, dim_every=5)


class Decided:
    """A client whose rollout was stopped, and what the subscriber heard of it."""

    active = "bottle@1.1.0"

    def __init__(self, flawed: int) -> None:
        line = {"parts": 119, "missed": {"parts": flawed}, "table": {"only_incumbent": 18}}
        self.rollout = {"slices": {"all": line, "low_light": line}}
        self.truth = SimpleNamespace(conveyor=None)

    def request(self, *_: object) -> Iterator[dict[str, Any]]:
        yield {"status": "accepted"}
        error = {"code": "rollout_stopped", "message": "The candidate misses 17 bad parts."}
        yield {"status": "rejected", "error": error}


@pytest.mark.parametrize(("flawed", "is_told"), [(MOST_FLAWED - 1, False), (MOST_FLAWED, True)])
def test_a_box_that_is_behind_is_told_of_and_the_story_goes_on(
    flawed: int, is_told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Parts come while labels wait: that is no fault of the rollout."""
    decided: Any = Decided(flawed)
    RolloutScene(decided, decided, decided, decided).see_it_stopped("bottle@1.5.0")
    assert ("so busy" in capsys.readouterr().out) is is_told
