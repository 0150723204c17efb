"""The evaluator of rollouts on a real journal: pairs and labels in, evidence kept, decisions out.

The test takes the evaluator's turns itself, so that nothing depends on time.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_daemon.cli.replay import replayed
from edge_daemon.control import rollout_evaluator, rollout_recorder, rollout_reports
from edge_daemon.control.arrivals import Noticed
from edge_daemon.control.rollout_evaluator import DECIDE_S, TURN_S, RolloutEvaluator
from edge_daemon.control.rollout_reports import rollout_looks, told_rollouts
from edge_daemon.control.rollout_view import ended_state
from edge_daemon.core.events import Decision, RolloutDecided
from edge_daemon.core.rollout.draw import assign, draw
from edge_daemon.core.rollout.progress import Progress, read_progress
from edge_daemon.core.rollout.replay import Limits
from edge_daemon.core.rollout.rule import RuleResult
from edge_daemon.core.rollout.values import Opinion, Pair
from edge_daemon.core.values import BundleRef, Verdict
from edge_daemon.errors import SenderError
from edge_daemon.host.journal import Entry
from edge_daemon.host.journal_parts import PartRow, PartsEntry
from edge_daemon.messaging.answer import Answer
from edge_daemon.messaging.messages import Incoming
from edge_daemon.messaging.payloads import encode
from edge_daemon.slots.frame_control import ShadowTally
from tests.sim.station import Plan, Station

B1, B2 = "bottle@1.0.0", "bottle@2.0.0"
STAGES = [{"shadow": 1.0, "until": {"parts": 10}}, {"share": 0.1}, {"full": True}]


class Rig:
    """A station with a rollout in its first stage, and its evaluator."""

    def __init__(self, station: Station, **plan: Any) -> None:
        self.station = station
        self.put = station.evaluator_puts
        self.evaluator: RolloutEvaluator = station.rollouts
        self.shadowed = ShadowTally()
        station.shadowed = lambda: self.shadowed
        station.send("rollout", model=B2, plan={"stages": STAGES, **plan})
        station.until(lambda: bool(station.splits))
        rollout = station.driver.state.durable.rollout
        assert rollout is not None
        self.rollout = rollout

    def turn(self) -> None:
        with self.station.busy():  # the driver's steps so far are told
            pass
        self.station.clock.advance(DECIDE_S)
        self.station.evaluate()

    def parts(self, *numbers: int, verdict: str = "ng") -> None:
        """Parts that the station told of."""
        rows = tuple(
            PartRow(
                self.station.boot,
                number,
                self.station.clock.now().utc,
                f"SN-{number}",
                None,
                verdict,
                json.dumps({"frames": [10 * number, 10 * number + 1]}).encode(),
            )
            for number in numbers
        )
        self.station.journal.commit(Entry(parts=PartsEntry(rows, b"{}", 10_000, 0.0)))

    def pairs(self, first: int, count: int, incumbent: str, candidate: str) -> None:
        """So many parts more that both judged."""
        for number in range(first, first + count):
            self.evaluator.recorder.pair(self.pair(number, incumbent, candidate))

    def pair(self, number: int, incumbent: str, candidate: str) -> Pair:
        assigned = assign(self.rollout.id, self.station.boot, f"SN-{number}", 0.0)
        said = [
            Opinion(BundleRef.parse(ref), ref, Verdict(verdict))
            for ref, verdict in ((B1, incumbent), (B2, candidate))
        ]
        now = self.station.clock.now().utc
        name = f"SN-{number}"
        boot = self.station.boot
        return Pair(self.rollout.id, boot, number, name, assigned, *said, (10 * number,), now)

    def say(self, **document: Any) -> list[dict[str, Any]]:
        """Feedback, with all of its answers."""
        answers: list[Answer] = []
        document.setdefault("id", uuid.uuid4().hex)
        body = json.dumps(document).encode()
        now = self.station.clock.now()
        self.evaluator.feedback(Incoming("request/feedback", body, now, reply=answers.append))
        self.turn()
        return [json.loads(answer.body) for answer in answers]

    @property
    def state(self) -> dict[str, Any]:
        """As it stands on `rollout/state`."""
        read: dict[str, Any] = json.loads(self.station.rollout_states[-1])
        return read

    def decisions(self) -> list[RolloutDecided]:
        return [each for each in self.put if isinstance(each, RolloutDecided)]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Station(tmp_path) as station:
        yield Rig(station.run())


def test_pairs_are_counted_kept_and_shown(rig: Rig) -> None:
    """What both pass is only counted; what one rejects can be looked at later."""
    rig.pairs(1, 20, "ok", "ok")
    rig.pairs(21, 3, "ng", "ok")
    rig.pairs(24, 2, "ng", "ng")
    rig.turn()
    counts = {"both": 2, "neither": 20, "only_incumbent": 3, "only_candidate": 0}
    assert (rig.state["parts"], rig.state["table"]) == (25, counts)
    assert rig.state["labels"] == {"have": 0, "missing": 3}
    assert (rig.state["model"], rig.state["reference"], rig.state["stage"]) == (B2, B1, "shadow")
    kept = rig.station.journal.rollouts.pairs(rig.rollout.id, 100)
    assert [pair.outcome for pair in kept] == ["only_incumbent"] * 3 + ["both"] * 2
    assert any(isinstance(each, Noticed) for each in rig.put), "labels are wanted"
    assert rig.decisions()[-1].decision is Decision.WAIT


def test_the_figures_say_what_they_are_measured_against_and_outlive_the_rollout(
    rig: Rig,
) -> None:
    """Margin of the stage beside each bound; the journal alone shows an ended one the same way."""
    rig.pairs(1, 6, "ok", "ok")
    rig.pairs(7, 2, "ng", "ng")
    rig.turn()
    said = rig.state
    assert (said["stage_number"], said["stage_parts"]) == (1, 8)
    sides = said["slices"]["all"]
    assert sides["needed"]
    assert (sides["missed"]["margin"], sides["false_rejects"]["margin"]) == (0.03, 0.02)
    rig.station.send("abort", reason="another lot")
    rig.station.until(lambda: rig.station.driver.state.durable.rollout is None)
    rig.turn()
    assert rig.state["rollout"] is None
    (row,) = rig.station.journal.rollouts.newest(1)
    ended = ended_state(row)
    assert ended is not None
    shown = json.loads(encode(ended))
    same = ("rollout", "model", "reference", "parts", "table", "slices", "labels", "stage_number")
    assert {key: shown[key] for key in same} == {key: said[key] for key in same}
    assert "another lot" in ended.why
    assert ended_state(replace(row, plan=b"{}")) is None


def test_labels_stop_a_candidate_that_misses_defects(rig: Rig) -> None:
    """Without them it is never condemned, however often it disagrees."""
    rig.parts(*range(1, 61))
    rig.pairs(1, 60, "ng", "ok")
    rig.turn()
    assert Decision.STOP not in {each.decision for each in rig.decisions()}
    items = [{"part": f"SN-{n}", "verdict": "ng"} for n in range(1, 61)]
    answers = rig.say(items=items, source="operator", by="kim")
    assert [answer["status"] for answer in answers] == ["accepted", "succeeded"]
    assert answers[-1]["detail"] == "Noted: 60 parts."
    stop = rig.decisions()[-1]
    assert (stop.decision, stop.stage) == (Decision.STOP, 0)
    failed = [check.name for check in stop.checks if not check.passed]
    assert "evidence.all.missed" in failed
    assert rig.state["labels"] == {"have": 60, "missing": 0}


def test_a_repeat_counts_once_and_a_revision_keeps_both(rig: Rig) -> None:
    """The last word counts; the audit finds the first one too."""
    rig.parts(1)
    rig.pairs(1, 1, "ng", "ok")
    first = rig.say(id="f1", part=1, verdict="ng", by="kim")
    assert rig.say(id="f1", part=1, verdict="ng", by="kim") == first[1:]
    assert rig.say(id="f1", part=1, verdict="ok", by="kim")[0]["status"] == "rejected"
    kept = rig.station.journal.rollouts
    assert [row.verdict for row in kept.feedback_of(rig.station.boot, 1)] == ["ng"]
    assert kept.precision() == (1, 1)
    rig.say(frame=11, verdict="ok", source="downstream", by="lee")
    words = [(row.verdict, row.source) for row in kept.feedback_of(rig.station.boot, 1)]
    assert words == [("ng", "operator"), ("ok", "downstream")]
    assert kept.precision() == (0, 1)
    assert [pair.truth for pair in kept.pairs_of([(rig.station.boot, 1)])] == ["ok"]
    assert rig.state["labels"] == {"have": 1, "missing": 0}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ({"part": 99, "verdict": "ng"}, "unknown_part"),
        ({"part": "SN-99", "verdict": "ng"}, "unknown_part"),
        ({"frame": 7, "verdict": "ng"}, "unknown_part"),
        ({"part": 1, "boot": "another", "verdict": "ng"}, "unknown_part"),
        ({"part": 1}, "malformed"),
        ({"verdict": "ng"}, "malformed"),
        ({"part": 1, "frame": 3, "verdict": "ng"}, "malformed"),
        ({"part": 1, "verdict": "maybe"}, "malformed"),
        ({"part": 1, "verdict": "ng", "source": "rumour"}, "malformed"),
        ({"items": [{"part": 1, "verdict": "ng"}] * 257}, "malformed"),
        ({"part": 1, "verdict": "ng", "items": [{"part": 1, "verdict": "ng"}]}, "malformed"),
        ({"part": 10**20, "verdict": "ng"}, "malformed"),
        ({"part": "00340123450000000018", "verdict": "ng"}, "unknown_part"),
        ({"part": "9" * 128, "verdict": "ng"}, "unknown_part"),
        ({"part": "²", "verdict": "ng"}, "unknown_part"),
    ],
)
def test_what_cannot_be_noted_changes_nothing(rig: Rig, words: dict[str, Any], code: str) -> None:
    rig.parts(1)
    [answer] = rig.say(**words)
    assert (answer["status"], answer["error"]["code"]) == ("rejected", code), answer
    assert rig.station.journal.rollouts.feedback_of(rig.station.boot, 1) == ()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({}, "`verdict` is missing, and feedback needs one."),
        ({"verdict": "ng"}, "The feedback has neither `part` nor `frame`; it needs one of them."),
        ({"part": -1, "verdict": "ng"}, "`part` is -1."),
        ({"items": [{"part": 1}]}, "`items[0]` has no `verdict`."),
        ({"items": [{"part": 1, "verdict": "no"}]}, "`items[0]` has the verdict 'no'."),
        (
            {"items": [{"part": 1, "verdict": "ng"}] * 257},
            "`items` has 257 entries; at most 256 are allowed.",
        ),
    ],
)
def test_a_refusal_says_which_word_is_at_fault(rig: Rig, words: dict[str, Any], said: str) -> None:
    [answer] = rig.say(**words)
    assert answer["error"]["message"] == said
    assert answer["error"]["hint"]


def test_a_request_that_cannot_be_answered_takes_no_other_with_it(rig: Rig) -> None:
    rig.parts(1, 2)
    now = rig.station.clock.now()

    def broken(_: Answer) -> None:
        raise RuntimeError("the sender's way back is broken")

    answers: list[Answer] = []
    for part, reply in ((1, broken), (2, answers.append)):
        body = json.dumps({"id": f"f{part}", "part": part, "verdict": "ng"}).encode()
        rig.evaluator.feedback(Incoming("request/feedback", body, now, reply=reply))
    with pytest.raises(RuntimeError):
        rig.turn()
    rig.turn()
    assert json.loads(answers[-1].body)["status"] == "succeeded"


def slow_request(rig: Rig, part: int, log: list[int]) -> None:
    """One that takes longer than half a turn; the part is logged when it is answered."""

    def answered(answer: Answer) -> None:
        if json.loads(answer.body)["status"] == "succeeded":
            log.append(part)
            rig.station.clock.advance(0.6 * TURN_S)

    body = json.dumps({"id": f"f{part}", "part": part, "verdict": "ng"}).encode()
    now = rig.station.clock.now()
    rig.evaluator.feedback(Incoming("request/feedback", body, now, reply=answered))


def test_requests_that_take_long_delay_no_decision(rig: Rig) -> None:
    """However many wait, a turn ends."""
    rig.parts(*range(1, 6))
    log: list[int] = []
    for part in range(1, 6):
        slow_request(rig, part, log)
    counts = []
    for _ in range(3):
        rig.turn()
        counts.append(len(log))
    assert counts == [2, 4, 5]


def test_the_last_turn_leaves_no_request_without_an_answer(rig: Rig) -> None:
    rig.parts(*range(1, 6))
    log: list[int] = []
    for part in range(1, 6):
        slow_request(rig, part, log)
    rig.evaluator.stop()
    rig.turn()
    assert len(log) == 5


def test_pairs_are_on_the_disk_before_anything_is_decided_from_them(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    decide = Progress.decide

    def counted(progress: Progress, *args: Any, **more: Any) -> RuleResult:
        kept.append(len(rig.station.journal.rollouts.pairs(rig.rollout.id, 100)))
        return decide(progress, *args, **more)

    monkeypatch.setattr(Progress, "decide", counted)
    for first in (1, 4):
        rig.pairs(first, 3, "ng", "ok")
        rig.turn()
    assert kept == [3, 6]


def test_a_power_cut_keeps_the_evidence_as_it_was(rig: Rig) -> None:
    """The tables come back number by number, and the labels find their places again."""
    rig.parts(*range(1, 6))
    rig.pairs(1, 5, "ng", "ok")
    rig.say(part=1, verdict="ng", by="kim")
    row = rig.station.journal.rollouts.find(rig.rollout.id)
    assert row is not None
    progress = read_progress(rig.rollout.plan, row.began_utc, json.loads(row.progress))
    before = rig.state
    again = rig.station.restarted(abruptly=True)
    with again:
        again.start()
        again.until_active(B1)
        again.until(lambda: bool(again.splits))
        again.clock.advance(DECIDE_S)
        again.evaluate()
        after = json.loads(again.rollout_states[-1])
        assert (after["table"], after["slices"]) == (before["table"], before["slices"])
        assert progress.evidence.as_mapping()["slices"]["all"]["rejected"] == 5
        assert after["labels"] == {"have": 1, "missing": 4}


def test_a_disk_that_is_full_loses_no_pair(rig: Rig) -> None:
    """They wait in memory for the next turn that can write."""
    rig.station.journal.is_full = True
    rig.pairs(1, 3, "ng", "ok")
    rig.turn()
    assert rig.station.journal.rollouts.pairs(rig.rollout.id, 10) == ()
    rig.station.journal.is_full = False
    rig.turn()
    assert len(rig.station.journal.rollouts.pairs(rig.rollout.id, 10)) == 3
    assert rig.state["parts"] == 3


def told(rig: Rig, number: int, share: float, **wrong: Any) -> None:
    """A part as the journal keeps it, with its arm."""
    assigned = assign(rig.rollout.id, rig.station.boot, f"SN-{number}", share)
    line = {
        "id": rig.rollout.id,
        "arm": assigned.arm.value,
        "share": share,
        "draw": assigned.draw,
        "unit": f"SN-{number}",
        **wrong,
    }
    body = json.dumps({"part": number, "frames": [number], "rollout": line}).encode()
    row = PartRow(rig.station.boot, number, 0.0, f"SN-{number}", None, "ok", body)
    rig.station.journal.commit(Entry(parts=PartsEntry((row,), b"{}", 10_000, -1.0)))


def test_an_audit_computes_every_arm_again(rig: Rig) -> None:
    """A share that no stage had, and an arm that the draw does not give, are named."""
    rig.turn()
    assert rig.station.ask("advance")["status"] == "succeeded"
    rig.turn()
    for number in range(1, 400):  # of so many no draw gives the candidate none
        told(rig, number, 0.1 if number > 20 else 0.0)
    found = told_rollouts(rig.station.journal, rig.rollout.id, audit=True)
    assert (found["parts"], found["faults"]) == (399, [])
    assert 0 < found["candidate"] < 120
    told(rig, 400, 0.5)
    told(rig, 401, 0.1, draw=0.25)
    faults = told_rollouts(rig.station.journal, rig.rollout.id, audit=True)["faults"]
    assert len(faults) == 2
    assert "part 400" in faults[0]
    assert "part 401" in faults[1]


def test_the_report_of_one_that_was_stopped_says_how(rig: Rig) -> None:
    """The row outlives the rollout: plan, stages, evidence, pairs, and the reason."""
    rig.pairs(1, 2, "ng", "ok")
    rig.turn()
    assert rig.station.ask("abort", by="kim", reason="another lot")["status"] == "succeeded"
    rig.turn()
    [head] = told_rollouts(rig.station.journal, None, audit=False)["rollouts"]
    assert (head["how"], head["why"]) == ("rollout_stopped", "Aborted by kim: another lot")
    found = told_rollouts(rig.station.journal, rig.rollout.id, audit=False)
    assert found["sha256"] == rig.rollout.digest
    assert [pair["outcome"] for pair in found["pairs"]] == ["only_incumbent"] * 2
    with pytest.raises(SenderError, match="No rollout x is on record"):
        told_rollouts(rig.station.journal, "x", audit=True)
    assert rig.state["rollout"] is None


def test_a_replay_decides_as_it_was_decided_and_tells_of_other_limits(rig: Rig) -> None:
    """From the journal alone; the decision that ended it is in it."""
    rig.parts(*range(1, 61))
    for first in range(1, 61, 10):
        rig.pairs(first, 10, "ng", "ok")
        rig.say(items=[{"part": n, "verdict": "ng"} for n in range(first, first + 10)], by="kim")
    stop = next(each for each in rig.decisions() if each.decision is Decision.STOP)
    rig.station.mailbox.put(stop)
    rig.station.until_event("rollout_stopped")
    rig.turn()
    told = rollout_looks(rig.station.journal, rig.rollout.id, 0)
    bodies = [base64.b64decode(look) for look in told["looks"]]
    same = replayed(told, bodies, Limits())
    assert same["is_same"]
    assert same["decisions"][-1]["decision"] == "stop"
    assert same["decisions"][-1]["why"] == stop.why
    assert "is the one on record (rollout_stopped)" in same["summary"]
    wary = replayed(told, bodies, Limits(alpha_stop=1e-9))
    assert not wary["is_same"]
    assert "undecided" in wary["summary"]
    with pytest.raises(SenderError, match="not on record"):
        replayed(told, [], Limits())


def test_what_the_rule_saw_is_kept_now_and_then(rig: Rig) -> None:
    """At each change of the decision and once a minute, not once a second; in pages."""
    for _ in range(130):
        rig.turn()
    kept = rig.station.journal.rollouts
    looks = kept.looks(rig.rollout.id, 100)
    assert len(looks) == 3
    assert kept.looks(rig.rollout.id, 100, looks[0].seq) == looks[1:]


def test_pairs_that_come_too_fast_lower_the_coverage(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are parts that were not compared; none is lost in silence."""
    monkeypatch.setattr(rollout_recorder, "MOST_WAITING", 3)
    rig.turn()
    rig.pairs(1, 12, "ok", "ok")
    rig.turn()
    assert (rig.state["parts"], rig.state["coverage"]) == (3, 0.25)


def test_feedback_that_comes_too_fast_is_refused(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sender hears it at once, and nothing of it is noted."""
    monkeypatch.setattr(rollout_evaluator, "MOST_FEEDBACK", 0)
    rig.parts(1)
    (answer,) = rig.say(id="f1", part=1, verdict="ng")
    assert (answer["id"], answer["status"]) == ("f1", "rejected")
    assert answer["error"]["code"] == "precondition_failed"
    monkeypatch.undo()
    assert rig.say(id="f1", part=1, verdict="ng")[-1]["status"] == "succeeded"


def try_again(rig: Rig) -> None:
    """What ended is tried once more, with the same plan."""
    rig.station.ask("abort")
    rig.turn()
    rig.station.send("rollout", model=B2, plan={"stages": STAGES})
    rig.station.until(lambda: rig.station.driver.state.durable.rollout is not None)
    begun = rig.station.driver.state.durable.rollout
    assert begun is not None
    rig.station.until(lambda: bool(rig.station.splits) and rig.station.splits[-1] is not None)
    rig.rollout = begun
    rig.turn()


def test_a_candidate_that_is_tried_again_goes_on_with_its_evidence(rig: Rig) -> None:
    """Ten tries are no ten lotteries: it is stopped by what was seen the first time."""
    rig.parts(*range(1, 61))
    rig.pairs(1, 30, "ng", "ok")
    rig.say(items=[{"part": n, "verdict": "ng"} for n in range(1, 6)], by="kim")
    first = rig.rollout.id
    assert Decision.STOP not in {each.decision for each in rig.decisions()}
    try_again(rig)
    assert rig.rollout.id != first
    assert (rig.state["parts"], rig.state["labels"]) == (30, {"have": 5, "missing": 25})
    assert f"The evidence of {first} counts too." in rig.state["why"]
    rig.say(items=[{"part": n, "verdict": "ng"} for n in range(6, 31)], by="kim")
    stop = rig.decisions()[-1]
    assert (stop.rollout, stop.decision) == (rig.rollout.id, Decision.STOP)
    assert first in stop.why
    try_again(rig)
    assert rig.decisions()[-1].decision is Decision.STOP, "at once, by the evidence of both"


def test_labels_that_come_between_two_tries_count_for_the_second(rig: Rig) -> None:
    """Also those that take an earlier one back: whoever was wrong may correct it."""
    rig.parts(*range(1, 61))
    rig.pairs(1, 40, "ng", "ok")
    rig.say(items=[{"part": n, "verdict": "ng"} for n in range(1, 41)], by="kim")
    assert rig.decisions()[-1].decision is Decision.STOP
    rig.station.ask("abort")
    rig.turn()
    rig.say(items=[{"part": n, "verdict": "ok"} for n in range(1, 41)], by="kim", reason="oil")
    try_again(rig)
    assert rig.decisions()[-1].decision is not Decision.STOP
    assert rig.state["labels"] == {"have": 40, "missing": 0}
    row = rig.station.journal.rollouts.find(rig.rollout.id)
    assert row is not None
    counts = json.loads(row.progress)["evidence"]["slices"]["all"]["blocks"]
    assert min(min(cells) for cells in counts) == 0


def test_evidence_of_too_few_of_the_parts_is_not_gone_on_with(rig: Rig) -> None:
    """What was compared only in the line's quiet times tells little of the others."""
    rig.pairs(1, 30, "ok", "ok")
    rig.turn()
    rig.shadowed = ShadowTally(rig.rollout.id, lost={"all": 70})
    rig.turn()
    assert rig.state["coverage"] == 0.3
    try_again(rig)
    assert (rig.state["parts"], "counts too" in rig.state["why"]) == (0, False)


def test_a_candidate_that_is_too_slow_is_told_and_not_waited_for(rig: Rig) -> None:
    """Its coverage never rises again, so that it would never advance."""
    rig.pairs(1, 30, "ok", "ok")
    rig.turn()
    rig.shadowed = ShadowTally(rig.rollout.id, lost={"all": 220})
    rig.turn()
    held = rig.decisions()[-1]
    assert held.decision is Decision.HOLD
    assert "Only 12% of the 250 drawn parts could be compared" in held.why
    rig.station.mailbox.put(held)
    rig.station.until_event("rollout_held")
    rig.pairs(31, 2000, "ok", "ok")
    rig.turn()
    assert rig.decisions()[-1].decision is not Decision.HOLD


# --------------------------------------------------------------------------- an audit as truth

AUDIT = 0.25


@pytest.fixture
def audited(tmp_path: Path) -> Iterator[Rig]:
    """Nobody's word is taken: of the passed parts a quarter is drawn, and looked at."""
    with Station(tmp_path, Plan(audit=AUDIT)) as station:
        yield Rig(station.run(), truth=["audit"])


def drawn(rig: Rig, numbers: range) -> list[int]:
    """As anybody can compute it."""
    return [n for n in numbers if draw("audit", rig.station.boot, n) < AUDIT]


def asked(rig: Rig) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = told_rollouts(rig.station.journal, rig.rollout.id, audit=False)[
        "asked"
    ]
    return found


def test_drawn_parts_are_asked_for_among_the_others_and_told_once(
    audited: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that both pass by the draw; those that one or both reject, all; and blind."""
    numbers = range(1, 81)
    audited.pairs(1, 80, "ok", "ok")
    audited.pairs(81, 2, "ng", "ok")
    audited.pairs(83, 2, "ng", "ng")
    audited.turn()
    audited.turn()
    due = [84, 83, 82, 81, *reversed(drawn(audited, numbers))]
    assert [each["part"] for each in asked(audited)] == due
    assert all(each.keys() == {"boot", "part", "id", "time"} for each in asked(audited))
    assert sum(isinstance(each, Noticed) for each in audited.put) == 1
    monkeypatch.setattr(rollout_reports, "MOST_PAIRS", 4)
    told = told_rollouts(audited.station.journal, audited.rollout.id, audit=False)
    assert [each["outcome"] for each in told["pairs"]] == ["only_incumbent"] * 2 + ["both"] * 2


def test_labels_of_drawn_parts_say_what_the_others_are(audited: Rig) -> None:
    """Without them nothing is known of what both pass; with them the bound comes down."""
    numbers = range(1, 401)
    audited.parts(*numbers, verdict="ok")
    audited.pairs(1, 400, "ok", "ok")
    audited.turn()
    before = audited.state["slices"]["all"]["false_rejects"]
    assert (before["parts"], before["bound"]) == (0, 1.0)
    looked_at = drawn(audited, numbers)
    items = [{"part": n, "verdict": "ng" if n == looked_at[0] else "ok"} for n in looked_at]
    audited.say(items=items)
    audited.turn()
    after = audited.state["slices"]["all"]["false_rejects"]
    good, n = len(looked_at) - 1, len(looked_at)
    assert after["parts"] == good + (400 - n) * good // (n + 1)
    assert after["bound"] < 0.05
    assert asked(audited) == []


def test_a_label_of_a_part_that_was_not_drawn_says_nothing_of_the_others(audited: Rig) -> None:
    """Somebody chose it: it is kept as feedback, and is no audit."""
    numbers = range(1, 41)
    audited.parts(*numbers, verdict="ok")
    audited.pairs(1, 40, "ok", "ok")
    audited.turn()
    other = next(n for n in numbers if n not in drawn(audited, numbers))
    [*_, answer] = audited.say(part=other, verdict="ok")
    assert answer["status"] == "succeeded"
    audited.turn()
    assert audited.state["slices"]["all"]["false_rejects"]["parts"] == 0


def test_where_the_plan_takes_no_audit_nothing_that_both_pass_is_asked_for(tmp_path: Path) -> None:
    with Station(tmp_path, Plan(audit=AUDIT)) as station:
        rig = Rig(station.run())
        rig.pairs(1, 80, "ok", "ok")
        rig.pairs(81, 2, "ng", "ng")
        rig.turn()
        assert asked(rig) == []
        assert len(station.journal.rollouts.pairs(rig.rollout.id, 100)) == 2
