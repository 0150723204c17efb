"""Rollouts in a whole daemon at a real broker, as its clients see them.

Two stations serve all the tests: on one a part is what a trigger opens, on the other each frame.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from edge_daemon.cli.journal import Records
from edge_daemon.core.rollout.blocks import FEWEST_LOOKS, read_block
from edge_daemon.core.rollout.compare import arm_of
from tests.sim.mosquitto import new_mosquitto
from tests.sim.rollout_line import OLD, RUNS, RolloutLine
from tests.sim.web_ear import WebEar

pytestmark = pytest.mark.broker

GOOD, BLIND = "bottle@2.0.0", "bottle@3.0.0"
KEYS = {
    *("rollout", "model", "reference", "stage", "share", "coverage", "parts", "table"),
    *("slices", "labels", "decision", "why"),
}
LASTS = {"until": {"parts": 100_000}}


def camera(fps: int) -> dict[str, Any]:
    """So slow that the candidate finds its gaps on a busy machine."""
    return {"source": f"conveyor:?size=160x120&fps={fps}", "buffer_frames": 256}


@pytest.fixture(scope="module")
def by_trigger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RolloutLine]:
    folder = tmp_path_factory.mktemp("trigger")
    with (
        new_mosquitto() as broker,
        RolloutLine(folder, broker, triggers=True, camera=camera(30)) as line,
    ):
        yield line


@pytest.fixture(scope="module")
def web() -> Iterator[WebEar]:
    with WebEar().listening() as ear:
        yield ear


@pytest.fixture(scope="module")
def by_frame(tmp_path_factory: pytest.TempPathFactory, web: WebEar) -> Iterator[RolloutLine]:
    folder = tmp_path_factory.mktemp("frame")
    token = folder / "token"
    token.write_text("s3cret\n")
    bounds = {"notify": [{"webhook": web.url, "token_file": str(token)}]}
    drift = {"learn": 200}
    with (
        new_mosquitto() as broker,
        RolloutLine(folder, broker, rollouts=bounds, drift=drift, camera=camera(20)) as line,
    ):
        yield line
    kept = json.loads((line.settings.state_folder / "drift.json").read_text())
    assert {each[0] for each in kept} >= {"brightness", "contrast", "ng", "confidence"}


@pytest.fixture
def line(request: pytest.FixtureRequest) -> Iterator[RolloutLine]:
    """The station that the test names, as it was in the beginning."""
    found: RolloutLine = request.getfixturevalue(getattr(request, "param", "by_frame"))
    found.inspector.labels_all = False
    yield found
    found.reset()


both = pytest.mark.parametrize("line", ["by_trigger", "by_frame"], indirect=True)


@both
def test_a_good_candidate_walks_to_full_by_itself(line: RolloutLine) -> None:
    """Shadow, a share, full; the labels say that what it rejects besides is truly bad."""
    line.inspector.labels_all = True
    share = {"share": 0.5, "either": "none", "until": {"parts": 15}}
    asked = line.roll(GOOD, RUNS, share, {"full": True})
    outcome = line.outcome(asked)
    assert (outcome["status"], outcome.get("error")) == ("succeeded", None)
    assert line.entered(asked) == ["shadow", "share 0.5", "full"]
    rollout = line.rollout_of(asked)
    line.until_event("rollout_completed", rollout=rollout)
    assert line.events(rollout)[0] == "requested"
    told = [each for each in line.events(rollout) if each not in ("requested", "label_wanted")]
    assert told == ["rollout_started", *["stage_entered"] * 3, "rollout_completed"]
    line.until_judged_by(GOOD)
    line.ear.until(lambda: line.state.get("rollout") is None)
    said = [state for state in line.inspector.states if state.get("rollout") == rollout]
    assert all(state.keys() >= KEYS for state in said)
    counts = [sum(state["table"].values()) for state in said]
    assert counts == sorted(counts)
    assert counts[-1] == said[-1]["parts"] > 0
    assert said[-1]["labels"]["have"] > 0
    assert line.audit(rollout, {0.0, 0.5}) > 10


@both
def test_labels_stop_a_candidate_that_misses_defects(line: RolloutLine) -> None:
    """Rejected with its evidence; its digest is not tried again before somebody says so."""
    line.inspector.labels_all = True
    asked = line.roll(BLIND, {"share": 0.3, **LASTS}, {"full": True})
    outcome = line.outcome(asked)
    assert outcome["status"] == "rejected"
    error = outcome["error"]
    assert error["code"] == "rollout_stopped"
    assert "misses" in error["message"]
    failed = {check["name"] for check in error["checks"] if not check["passed"]}
    assert "evidence.all.missed" in failed
    rollout = line.rollout_of(asked)
    line.until_event("rollout_stopped", rollout=rollout)
    line.audit(rollout, {0.0, 0.3})
    again = line.outcome(line.roll(BLIND, RUNS))
    assert (again["status"], again["error"]["code"]) == ("rejected", "quarantined")
    line.until_judged_by(OLD)


def test_without_labels_a_doubt_is_told_and_nothing_is_stopped(line: RolloutLine) -> None:
    strict = {"margin": 0.03, "false_reject_margin": 0.02}
    asked = line.roll("bottle@7.0.0", {"shadow": 1.0, **LASTS}, **strict)
    rollout = line.rollout_of(asked)
    line.until_event("label_wanted")
    line.until_event("rollout_held", rollout=rollout)
    line.ear.until(lambda: line.state["decision"] == "hold" and "no label" in line.state["why"])
    line.ask("abort", rollout=rollout, reason="enough seen")
    outcome = line.outcome(asked)
    assert outcome["status"] == "superseded"


@pytest.mark.parametrize(
    ("model", "guard"),
    [("bottle@4.0.0", "raised"), ("bottle@5.0.0", "hung"), ("bottle@6.0.0", "lost")],
)
def test_a_candidate_that_fails_in_its_share_costs_no_frame(
    line: RolloutLine, model: str, guard: str
) -> None:
    """The frame is the reference's, the share is 0 from then on, and the digest is quarantined."""
    asked = line.roll(model, {"share": 1.0, "either": "none", **LASTS}, {"full": True})
    outcome = line.outcome(asked)
    assert (outcome["status"], outcome["error"]["code"]) == ("rejected", "rollout_stopped")
    assert guard in str(outcome["error"]["checks"])
    rollout = line.rollout_of(asked)
    assert line.audit(rollout, {0.0, 1.0}) > 0, "it judged before it failed"
    line.until_judged_by(OLD)
    assert line.ear.books.missing == line.ear.books.doubled == 0
    assert not [r for r in line.inspector.results if r["model"] is None and r["frame"] > 30]


def test_advance_hold_and_abort_are_obeyed(line: RolloutLine) -> None:
    """A hold freezes what the evidence would do; a person may go on all the same."""
    line.inspector.labels_all = True
    line.ask("hold", reason="audit")
    asked = line.roll(GOOD, {"shadow": 1.0, "until": {"parts": 10}}, {"share": 0.2, **LASTS})
    rollout = line.rollout_of(asked)
    line.until_stage("shadow")
    line.ear.until(lambda: line.state["stage_parts"] > 30)
    assert line.state["stage"] == "shadow"
    assert line.ask("advance", by="kim")["status"] == "succeeded"
    line.until_stage("share 0.2")
    assert line.state["share"] == 0.2
    assert line.ask("advance", by="kim")["error"]["code"] == "precondition_failed"
    assert line.ask("abort", rollout="another")["error"]["code"] == "precondition_failed"
    assert line.ask("abort", rollout=rollout, by="kim")["status"] == "succeeded"
    assert line.outcome(asked)["status"] == "superseded"
    line.ear.until(lambda: line.state.get("rollout") is None)


def test_an_order_in_between_takes_the_line_and_gives_it_back(line: RolloutLine) -> None:
    asked = line.roll(GOOD, {"share": 0.5, **LASTS}, {"full": True})
    rollout = line.rollout_of(asked)
    line.until_stage("share 0.5")
    line.order("CAN", "WO-1")
    line.until_judged_by("can@1.0.0")
    line.ear.until(lambda: line.state.get("suspended") is True)
    assert line.state["share"] == 0
    line.order("BTL", "WO-2")
    line.until_judged_by(OLD)
    line.ear.until(lambda: line.state.get("share") == 0.5)
    assert line.ask("abort")["status"] == "succeeded"
    assert line.outcome(asked)["status"] == "superseded"
    line.audit(rollout, {0.0, 0.5})


def test_a_swap_of_the_name_ends_it(line: RolloutLine) -> None:
    asked = line.roll(GOOD, {"shadow": 1.0, **LASTS})
    line.until_stage("shadow")
    assert line.ask("swap", model=GOOD)["status"] == "succeeded"
    assert line.outcome(asked)["status"] == "superseded"
    line.until_event("rollout_stopped", rollout=line.rollout_of(asked))


def test_a_webhook_hears_each_event_while_the_line_runs(line: RolloutLine, web: WebEar) -> None:
    """One that fails at first is told again, in the same order and with the same ids."""
    before = len(web.heard)
    web.answers.append(503)
    asked = line.roll("bottle@7.0.0", {"shadow": 1.0, **LASTS}, notify=[{"webhook": web.url}])
    rollout = line.rollout_of(asked)
    line.until_event("label_wanted", rollout=rollout)
    line.ask("abort", rollout=rollout)
    web.until(before + 5)
    told = web.heard[before:]
    assert told[0] == told[1], "the one that was not taken came again"
    assert {each["rollout"] for each in told} == {rollout}
    assert told[0]["root"] == "edge/line3-cam1"
    names = [each["type"] for each in told[1:]]
    assert names[:2] == ["rollout_started", "stage_entered"]
    assert set(names[2:]) >= {"label_wanted"}
    assert web.headers[-1]["Authorization"] == "Bearer s3cret"
    assert line.ear.books.missing == line.ear.books.doubled == 0


@pytest.mark.parametrize(
    ("stages", "more", "word"),
    [
        ([{"shadow": 1.0}], {"notify": [{"webhook": "https://a.example/"}]}, "a.example"),
    ],
    ids=["an address that the settings do not name"],
)
def test_what_is_not_done_is_refused_and_not_left_out(
    line: RolloutLine, stages: list[dict[str, Any]], more: dict[str, Any], word: str
) -> None:
    error = line.outcome(line.roll(GOOD, *stages, **more))["error"]
    assert error["code"] == "invalid_plan"
    assert word in error["message"]
    assert error["hint"]


def test_a_candidate_that_is_too_slow_for_the_line_is_told(line: RolloutLine) -> None:
    """It is held with its figure, and costs the line no frame."""
    asked = line.roll("bottle@8.0.0", {"shadow": 1.0, **LASTS}, {"full": True})
    rollout = line.rollout_of(asked)
    held = line.until_event("rollout_held", rollout=rollout)
    assert "drawn parts could be compared" in held["message"]
    assert line.state["stage"] == "shadow"
    assert line.state["coverage"] < 0.8
    assert line.ask("abort", rollout=rollout)["status"] == "succeeded"
    assert line.ear.books.missing == line.ear.books.doubled == 0


def test_the_version_before_sees_what_the_new_one_misses(line: RolloutLine) -> None:
    """A person makes a blind model active; labels then bring the station back to the one before,
    which never judged a frame meanwhile.
    """
    full = {"full": True, "shadow_back_h": 24, "on_alarm": "rollback"}
    blind = "bottle@7.0.0"
    asked = line.roll(blind, {"shadow": 1.0, **LASTS}, full)
    rollout = line.rollout_of(asked)
    line.until_stage("shadow")
    assert line.ask("advance", by="kim", reason="it must be good")["status"] == "succeeded"
    assert line.outcome(asked)["status"] == "succeeded"
    back = f"{rollout}-back"
    state = line.until_stage("shadow_back")
    assert (state["rollout"], state["model"], state["reference"]) == (back, OLD, blind)
    line.inspector.labels_all = True
    line.until_event("quarantined", model=blind)
    line.until_judged_by(OLD)
    last = [each for each in line.inspector.states if each.get("rollout") == back][-1]
    assert last["table"]["only_candidate"] > 0
    assert last["table"]["only_incumbent"] == 0
    assert {each["model"] for each in line.judged(back) if each["model"]} == {blind}
    line.audit(back, {0.0})
    assert "misses" in line.until_event("rollout_stopped", rollout=back)["message"]


def test_both_are_compared_in_turns_and_each_part_is_the_incumbents(line: RolloutLine) -> None:
    """Two pairs of blocks of a second; an order in between costs one block. Then it goes on."""
    blocks = {"rotate_s": 1.0, "burn_in_s": 0.2, "pairs": 2}
    asked = line.roll(GOOD, {"compare": blocks}, {"shadow": 1.0, **LASTS})
    rollout = line.rollout_of(asked)
    line.until_stage("compare")
    line.order("CAN", "WO-3")
    line.until_judged_by("can@1.0.0")
    line.order("BTL", "WO-4")
    line.until_judged_by(OLD)
    line.until_stage("shadow")
    kept = Records(line.settings).rollouts(rollout)["progress"]
    measured = [read_block(each) for each in kept["blocks"]["0"]]
    assert [block.arm for block in measured] == [arm_of(rollout, n) for n in range(4)]
    assert all(block.looks >= FEWEST_LOOKS for block in measured)
    assert all(block.values["latency_p50_ms"] > 0.0 for block in measured)
    assert line.audit(rollout, {0.0}) == 0, "no verdict was the candidate's"
    report = Records(line.settings).rollout_report({"report": True, "rollout": rollout})
    [stage] = report["compare"]
    assert (stage["pairs"], stage["order"]) == (2, [block.arm.value for block in measured])
    asked_for = {"verify": report["sha256"]}
    assert Records(line.settings).rollout_report(asked_for)["row"] > report["audit"]["seq"]
    assert line.ask("abort", rollout=rollout)["status"] == "succeeded"
    assert line.outcome(asked)["status"] == "superseded"
    assert line.ear.books.missing == line.ear.books.doubled == 0
