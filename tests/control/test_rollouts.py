"""A rollout from its request to its end: what the line is told, what the sender hears, what stays.

The evidence is played by the test: it puts what the rule would say into the mailbox.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_daemon.control.arrivals import QuarantineOrdered
from edge_daemon.control.durable import decode_durable, encode_durable
from edge_daemon.core.events import CandidateLost, Decision, RolloutDecided
from edge_daemon.core.rollout.values import Bounds, Mode, Split, Webhook
from edge_daemon.core.state import Rollout
from edge_daemon.core.values import BundleRef, Check
from edge_daemon.errors import BundleError
from tests.sim.bundles import make_bundle
from tests.sim.station import Plan, Station

B1, B2, B3, CAN = "bottle@1.0.0", "bottle@2.0.0", "bottle@3.0.0", "can@1.0.0"
STAGES = [
    {"shadow": 1.0, "until": {"parts": 10}},
    {"share": 0.1, "either": "reject", "until": {"parts": 10}},
    {"share": 0.5, "until": {"parts": 10}},
    {"full": True},
]


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    with Station(tmp_path, Plan(bundles=(B1, B2, B3, CAN))) as made:
        yield made.run()


def begin(station: Station, **more: Any) -> str:
    """Ask for a rollout of the second version, and wait until it judges beside the line."""
    asked = {"model": B2, "plan": {"stages": STAGES}, "by": "kim", "reason": "better?", **more}
    request = station.send("rollout", **asked)
    station.until_event("rollout_started", model=B2)
    station.until(lambda: bool(station.splits))
    return request


def rollout(station: Station) -> Rollout:
    running = station.driver.state.durable.rollout
    assert running is not None
    return running


def decide(station: Station, decision: Decision, why: str = "enough", **more: Any) -> None:
    """What the rule says of the stage that the rollout is in, once it was heard."""
    running = rollout(station)
    station.mailbox.put(RolloutDecided(running.id, running.stage, decision, why, **more))
    with station.busy():
        pass


def told(station: Station) -> list[tuple[Mode, float] | None]:
    """What the line was told, in order: the mode and the share."""
    return [(split.mode, split.share) if split else None for split in station.splits]


def test_a_good_candidate_walks_through_its_stages(station: Station) -> None:
    """Shadow, a tenth, a half, then an ordinary cutover with its trial; the sender hears each."""
    request = begin(station)
    assert (station.answers(request)[0]["status"], told(station)) == (
        "accepted",
        [(Mode.SHADOW, 0.0)],
    )
    for _ in STAGES[1:]:
        decide(station, Decision.ADVANCE)
    outcome = station.outcome(request)
    assert outcome["status"] == "succeeded"
    answers = station.answers(request)
    assert [a["rollout"] for a in answers] == [
        station.events("rollout_started")[0]["rollout"]
    ] * len(answers), "every answer names the rollout: accepted, each progress, the outcome"
    assert (outcome["receipt"]["to"], outcome["receipt"]["verb"]) == (B2, "rollout")
    shares = [(Mode.SHADOW, 0.0), (Mode.SHARE, 0.1), (Mode.SHARE, 0.5), None]
    assert told(station) == shares, "the share before the cutover is the last one"
    stages = [a["stage"] for a in station.answers(request) if a["status"] == "progress"]
    assert stages[-4:] == ["shadow", "share 0.1", "share 0.5", "full"]
    assert {"verify", "load", "warm", "gate"} <= set(stages[:-4])
    assert station.models()[-2:] == [B1, B2]
    words = [event["type"] for event in station.events()]
    assert words.index("confirmed") < words.index("rollout_completed")
    assert station.driver.state.durable.rollout is None
    assert station.has_lost_nothing


def test_a_stop_ends_it_at_once_also_while_held(station: Station) -> None:
    """The digest is quarantined, and the outcome carries the figures."""
    request = begin(station)
    decide(station, Decision.ADVANCE)
    assert station.ask("hold")["status"] == "succeeded"
    decide(station, Decision.ADVANCE)
    assert told(station)[-1] == (Mode.SHARE, 0.1), "a hold freezes an advance"
    figures = (Check("evidence.low_light.missed", False, 4200.0, 3000.0),)
    decide(station, Decision.STOP, "low_light: 7 of 20 defects were missed.", checks=figures)
    outcome = station.outcome(request)
    assert outcome["status"] == "rejected"
    assert outcome["error"]["code"] == "rollout_stopped"
    assert outcome["error"]["checks"][0]["name"] == "evidence.low_light.missed"
    assert told(station)[-1] is None
    reason = station.driver.state.quarantine_reason(BundleRef.parse(B2))
    assert reason == "low_light: 7 of 20 defects were missed."
    assert station.ask("rollout", model=B2)["error"]["code"] == "quarantined"
    trail = [json.loads(link.row.body) for link in station.journal.audit_rows()]
    stopped = [row for row in trail if row.get("event") == "rollout_stopped"]
    assert [row["checks"][0]["measured"] for row in stopped] == [4200.0]
    assert {B1} == set(station.models()), "it never judged"


def test_a_guard_that_breaks_ends_it_and_one_that_comes_late_does_not(station: Station) -> None:
    """After its share was taken a dead worker is no fault: somebody else needed the slot."""
    request = begin(station)
    running = rollout(station)
    station.order("CAN")
    station.until_active(CAN)
    assert told(station)[-1] is None
    station.mailbox.put(CandidateLost(running.id, "worker_lost", "It was ended."))
    station.order("BTL", order="WO-2")
    station.until_active(B1)
    station.until(lambda: station.splits[-1] is not None)
    assert rollout(station) == running, "the evidence goes on where it was"
    station.mailbox.put(CandidateLost(running.id, "hang", "It gave no answer within 1.0 s."))
    outcome = station.outcome(request)
    assert outcome["error"]["code"] == "rollout_stopped"
    assert outcome["error"]["checks"][0]["name"] == "guard.hang"
    assert station.has_lost_nothing


@pytest.mark.parametrize(
    ("verb", "more"), [("swap", {"model": B3}), ("swap", {"model": B2}), ("quarantine", {})]
)
def test_what_is_asked_by_hand_ends_it(station: Station, verb: str, more: dict[str, Any]) -> None:
    """A swap of the name takes its place, also one to the candidate itself."""
    request = begin(station)
    if verb == "quarantine":
        ref = BundleRef.parse(B1)
        station.mailbox.put(QuarantineOrdered(ref, "dull", "kim", lambda error: None))
    else:
        assert station.ask(verb, **more)["status"] == "succeeded"
    assert station.outcome(request)["status"] == "superseded"
    assert told(station)[-1] is None
    assert station.until_event("rollout_stopped")["model"] == B2


def test_an_operator_advances_and_aborts(station: Station) -> None:
    """Each is on record with who asked; an abort quarantines nothing."""
    request = begin(station)
    assert station.ask("advance", by="kim", reason="seen enough")["status"] == "succeeded"
    assert told(station)[-1] == (Mode.SHARE, 0.1)
    entered = station.events("stage_entered")[-1]
    assert entered["message"] == "share 0.1: Advanced by kim: seen enough"
    assert station.ask("abort", rollout="another")["error"]["code"] == "precondition_failed"
    assert station.ask("abort", rollout=rollout(station).id)["status"] == "succeeded"
    assert station.outcome(request)["status"] == "superseded"
    assert told(station)[-1] is None
    assert station.driver.state.durable.quarantined == ()
    assert station.ask("advance")["error"]["code"] == "precondition_failed"


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"model": B1}, "precondition_failed"),
        ({"model": CAN}, "precondition_failed"),
        ({"model": "bottle@9.0.0"}, "unknown_model"),
        ({"model": B2, "expect": B3}, "precondition_failed"),
        ({"model": B2, "plan": {"stages": []}}, "invalid_plan"),
        ({"model": B2, "plan": {"stages": [{"share": 2.0}]}}, "invalid_plan"),
        ({"model": B2, "plan": {"canary_trafic": 0.1}}, "invalid_plan"),
        ({"model": B2, "plan": 3}, "malformed"),
    ],
)
def test_what_cannot_be_tried_changes_nothing(
    station: Station, asked: dict[str, Any], code: str
) -> None:
    """A wrong plan, the active model itself, another product's: refused with the next step."""
    outcome = station.ask("rollout", **asked)
    assert outcome["error"]["code"] == code, outcome
    assert outcome["error"]["hint"]
    assert (station.driver.state.durable.rollout, station.splits) == (None, [])


def test_one_rollout_a_box(station: Station) -> None:
    """A second one is refused, and so is a preparation that needs the candidate's slot."""
    begin(station)
    assert station.ask("rollout", model=B3)["error"]["code"] == "precondition_failed"
    refused = station.ask("prepare", model=CAN)["error"]
    assert refused["code"] == "precondition_failed"
    assert B2 in refused["message"]
    assert rollout(station).candidate.ref == BundleRef.parse(B2)


def test_one_slot_is_too_few(tmp_path: Path) -> None:
    with Station(tmp_path, Plan(slots=1)) as station:
        station.run()
        refused = station.ask("rollout", model=B2)["error"]
        assert refused["code"] == "precondition_failed"
        assert "slots.count" in refused["hint"]


def test_a_candidate_that_fails_the_gate_is_refused(tmp_path: Path) -> None:
    """Nothing is begun; the sender hears the gate's own code and checks."""
    with Station(tmp_path) as station:
        station.run()
        station.script.detect_file = lambda *_: ()
        outcome = station.ask("rollout", model=B2)
        assert outcome["error"]["code"] == "gate_failed"
        assert outcome["error"]["checks"]
        assert (station.driver.state.durable.rollout, station.splits) == (None, [])


def test_the_plan_of_the_bundle_counts_where_none_is_asked_for(tmp_path: Path) -> None:
    """It is under the signature of the model; the short form says the same in one line."""
    make_bundle(tmp_path / "store", B1, golden=1)
    make_bundle(tmp_path / "store", B2, golden=1, edit=lambda m: m.update(canary_traffic=0.25))
    with Station(tmp_path) as station:
        station.run()
        station.send("rollout", model=B2)
        station.until_event("rollout_started")
        shares = [stage.share for stage in rollout(station).plan.stages]
        assert shares[1] == 0.25
        assert [stage.mode for stage in rollout(station).plan.stages] == [
            Mode.SHADOW,
            Mode.SHARE,
            Mode.FULL,
        ]


BACK = [STAGES[0], {"full": True, "shadow_back_h": 24}]


def look_back(station: Station, **full: Any) -> str:
    """A rollout that became full and was confirmed; its reference goes on beside it."""
    request = begin(station, plan={"stages": [STAGES[0], {**BACK[1], **full}]})
    decide(station, Decision.ADVANCE)
    assert station.outcome(request)["status"] == "succeeded"
    station.until(lambda: bool(station.splits) and station.splits[-1] is not None)
    assert rollout(station).is_back
    return request


def test_the_version_before_looks_on_after_full(station: Station) -> None:
    """The request has its outcome; what follows has an id of its own, and the roles are swapped."""
    request = look_back(station)
    split = station.splits[-1]
    assert split is not None
    assert (str(split.candidate.ref), split.mode, split.share) == (B1, Mode.SHADOW, 0.0)
    back = rollout(station)
    first = station.events("rollout_completed")[0]
    assert back.id == f"{first['rollout']}-back"
    assert "bottle@1.0.0 goes on beside it for 24 h" in first["message"]
    assert (str(back.reference.ref), back.plan.at_most_h) == (B2, 24.0)
    decide(station, Decision.WAIT)
    station.until_active(B2)
    decide(station, Decision.ADVANCE, "24 h are over")
    station.until_event("rollout_completed", rollout=back.id)
    assert station.driver.state.durable.rollout is None
    assert [each["status"] for each in station.answers(request)].count("succeeded") == 1
    assert station.driver.state.quarantine_reason(BundleRef.parse(B1)) is None


def test_an_alarm_of_the_version_before_asks_once(station: Station) -> None:
    look_back(station)
    for misses in (31, 32, 33):
        decide(station, Decision.STOP, f"It misses {misses} bad parts")
    held = station.until_event("rollout_held", rollout=rollout(station).id)
    assert held["message"] == "It misses 31 bad parts"
    assert len(station.events("rollout_held")) == 1
    assert rollout(station).is_alarmed
    station.until_active(B2)
    assert station.ask("abort", by="kim")["status"] == "succeeded"
    assert station.driver.state.durable.rollout is None


def test_an_alarm_returns_to_it_where_the_plan_says_so(station: Station) -> None:
    """But not while a person holds the station."""
    look_back(station, on_alarm="rollback")
    station.ask("hold")
    decide(station, Decision.STOP, "It misses 31 bad parts")
    assert rollout(station).is_alarmed
    station.ask("release")
    decide(station, Decision.STOP, "It misses 32 bad parts")
    station.until_active(B1)
    assert station.driver.state.quarantine_reason(BundleRef.parse(B2)) == "It misses 32 bad parts"
    assert station.driver.state.durable.rollout is None


def test_a_fault_of_the_version_before_closes_no_way_back(station: Station) -> None:
    look_back(station)
    back = rollout(station).id
    station.mailbox.put(CandidateLost(back, "raised", "size mismatch"))
    station.until_event("rollout_stopped", rollout=back)
    assert station.driver.state.quarantine_reason(BundleRef.parse(B1)) is None
    assert station.ask("rollback")["status"] == "succeeded"
    station.until_active(B1)


@pytest.mark.parametrize(
    ("verb", "more"),
    [("swap", {"model": B1}), ("rollback", {}), ("prepare", {"model": B3}), ("abort", {})],
)
def test_whatever_is_asked_comes_before_a_look_back(
    station: Station, verb: str, more: dict[str, Any]
) -> None:
    look_back(station)
    back = rollout(station).id
    assert station.ask(verb, **more)["status"] == "succeeded"
    station.until_event("rollout_stopped", rollout=back)
    assert station.driver.state.durable.rollout is None


def test_a_new_rollout_takes_its_place(station: Station) -> None:
    look_back(station)
    back = rollout(station).id
    station.send("rollout", model=B3, plan={"stages": STAGES})
    station.until_event("rollout_stopped", rollout=back)
    station.until_event("rollout_started", model=B3)
    assert (str(rollout(station).reference.ref), rollout(station).is_back) == (B2, False)


def test_a_look_back_goes_on_after_a_power_cut_and_an_order(tmp_path: Path) -> None:
    """The hours count from its beginning; another product suspends it."""
    with Station(tmp_path, Plan(bundles=(B1, B2, CAN), slots=3)) as station:
        look_back(station.run())
        before = rollout(station)
        again = station.restarted(abruptly=True)
    with again:
        again.run(B2)
        again.until(lambda: bool(again.splits))
        assert rollout(again) == before
        again.order("CAN", order="WO-1")
        again.until_active(CAN)
        assert again.splits[-1] is None
        again.order("BTL", order="WO-2")
        again.until_active(B2)
        again.until(lambda: again.splits[-1] is not None)
        assert rollout(again) == before


HOOK = "https://mes.plant.example/hook"


def test_each_of_its_events_waits_for_the_webhooks_of_the_plan(tmp_path: Path) -> None:
    """The same words as on `model/event`, in one transaction with it; nothing else is told."""
    bounds = Bounds(notify=(Webhook(HOOK), Webhook("https://b.example/")))
    with Station(tmp_path, Plan(bundles=(B1, B2, B3), bounds=bounds)) as station:
        station.run()
        begin(station, plan={"stages": STAGES, "notify": [{"webhook": HOOK, "token_file": "/x"}]})
        decide(station, Decision.HOLD, "look at it")
        decide(station, Decision.STOP, "worse")
        station.until_event("rollout_stopped")
        assert station.journal.notices.waiting() == {HOOK: 4}
        told = []
        while (row := station.journal.notices.oldest(HOOK)) is not None:
            told.append(json.loads(row.body))
            station.journal.notices.forget(row.seq)
        assert [each["type"] for each in told] == [
            *("rollout_started", "stage_entered", "rollout_held", "rollout_stopped"),
        ]
        assert len({each["id"] for each in told}) == len(told)
        assert {each["root"] for each in told} == {"edge/cam1"}
        heard = station.events("rollout_stopped")[0]
        assert told[-1].items() >= heard.items()


def test_a_plan_that_would_call_anybody_else_is_refused(tmp_path: Path) -> None:
    """Better than to leave it out in silence: a request cannot make the station call anywhere."""
    bounds = Bounds(notify=(Webhook(HOOK),))
    with Station(tmp_path, Plan(bundles=(B1, B2), bounds=bounds)) as station:
        station.run()
        for url in ("http://127.0.0.1/admin", f"{HOOK}/x", "http://mes.plant.example/hook"):
            notify = [{"webhook": HOOK}, {"webhook": url}]
            error = station.ask("rollout", model=B2, plan={"notify": notify})["error"]
            assert error["code"] == "invalid_plan"
            assert url in error["message"]
        assert station.journal.notices.waiting() == {}


@pytest.mark.parametrize("truth", [["audit"], ["verified", "audit", "reference"]])
def test_an_audit_of_nothing_is_no_truth(tmp_path: Path, truth: list[str]) -> None:
    """Where no passed part is drawn, a plan that waits for such labels would wait for ever."""
    with Station(tmp_path, Plan(bundles=(B1, B2))) as station:
        station.run()
        error = station.ask("rollout", model=B2, plan={"truth": truth})["error"]
        assert error["code"] == "invalid_plan"
        assert "parts.audit" in error["hint"]
        assert station.driver.state.durable.rollout is None


def test_dry_run_says_whether_it_could_begin(station: Station) -> None:
    could = station.ask("rollout", model=B2, dry_run=True)
    assert (could["status"], "rollout" in could) == ("succeeded", False)
    assert could["forecast"]["defects_h"] == {}
    assert "No part of the last 7 days is on record" in could["forecast"]["lines"][0]
    assert station.ask("rollout", model=B1, dry_run=True)["status"] == "rejected"
    assert (station.driver.state.durable.rollout, station.splits) == (None, [])


@pytest.mark.parametrize("stage", range(3))
def test_a_power_cut_at_any_stage_widens_nothing(tmp_path: Path, stage: int) -> None:
    """The share is 0 until the candidate is proven anew, and then that of the journal's stage."""
    with Station(tmp_path, Plan(bundles=(B1, B2, B3))) as station:
        request = begin(station.run())
        for _ in range(stage):
            decide(station, Decision.ADVANCE)
        before = rollout(station)
        again = station.restarted(abruptly=True)
    with again:
        assert decode_durable(again.journal.state()).rollout == before
        again.run(B1)
        again.until(lambda: bool(again.splits))
        share = [0.0, 0.1, 0.5][stage]
        assert {split.share for split in again.splits if split} == {share}
        assert rollout(again) == before
        assert not any(a["status"] == "interrupted" for a in again.answers(request))
        for _ in STAGES[stage + 1 :]:
            decide(again, Decision.ADVANCE)
        assert again.outcome(request)["status"] == "succeeded"


def test_a_repeat_is_answered_as_the_first(station: Station) -> None:
    """While it runs it is accepted, and does nothing; afterwards it gets the outcome."""
    request = begin(station)
    again = {"model": B2, "plan": {"stages": STAGES}, "by": "kim", "reason": "better?"}
    station.send("rollout", id=request, **again)
    station.until(lambda: [a["status"] for a in station.answers(request)].count("accepted") == 2)
    first = [a for a in station.answers(request) if a["status"] == "accepted"]
    assert first[0] == first[1]
    assert first[0]["rollout"] == rollout(station).id
    decide(station, Decision.STOP, "worse")
    ended = station.outcome(request)
    station.send("rollout", id=request, **again)
    station.until(lambda: station.answers(request).count(ended) == 2)
    assert len(station.events("rollout_started")) == 1


def test_a_trial_that_fails_stops_it(tmp_path: Path) -> None:
    """The last stage is a cutover like any other: what proves bad there is left again."""
    with Station(tmp_path) as station:
        request = begin(station.run())
        station.script.fail_infer(BundleRef.parse(B2), BundleError("It raised."))
        for _ in STAGES[1:]:
            decide(station, Decision.ADVANCE)
        outcome = station.outcome(request)
        assert (outcome["status"], outcome["error"]["code"]) == ("rejected", "rollout_stopped")
        station.until_active(B1)
        assert station.driver.state.quarantine_reason(BundleRef.parse(B2)) is not None


def test_an_older_state_has_no_rollout_and_a_newer_one_comes_back_whole(station: Station) -> None:
    """The plan is in the state itself, so that a bundle or settings changed meanwhile move none."""
    begin(station)
    durable = station.driver.state.durable
    assert decode_durable(encode_durable(durable)) == durable
    plain = json.loads(encode_durable(durable))
    del plain["rollout"]
    assert decode_durable(json.dumps(plain).encode()).rollout is None


def test_the_line_is_told_the_candidates_own_recipe(station: Station) -> None:
    begin(station)
    split = station.splits[0]
    assert isinstance(split, Split)
    assert split.recipe == station.store.manifest(BundleRef.parse(B2)).recipe
    assert split.coverage == 1.0
