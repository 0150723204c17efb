"""One answer to every request, and nothing told that a power cut could take back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from edge_daemon.core.event_names import EventName
from edge_daemon.core.records import Announce, Reply
from edge_daemon.core.trial import TrialLimits
from edge_daemon.core.values import ModelChoice, Request, Status, Verb
from edge_daemon.errors import StateError
from edge_daemon.host.audit import Anchor
from edge_daemon.host.journal import Entry
from edge_daemon.messaging.answer import Answer
from edge_daemon.messaging.messages import MOST_WAITING, Incoming
from edge_daemon.messaging.times import iso_utc
from tests.sim.broker import Packet
from tests.sim.station import TOPICS, Plan, Station

B1, B2, CAN = "bottle@1.0.0", "bottle@2.0.0", "can@1.0.0"


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    with Station(tmp_path) as made:
        yield made.run()


def statuses(station: Station, request: str) -> list[str]:
    return [str(a["status"]) for a in station.answers(request)]


def test_a_repeated_id_gets_the_first_outcome_and_does_nothing(station: Station) -> None:
    """The same bytes again, however often it is asked."""
    first = station.ask("swap", model=B2, id="swap-1")
    station.ask("swap", model=B1)
    for _ in range(2):
        station.send("swap", model=B2, id="swap-1")
    station.until(lambda: len([a for a in station.answers("swap-1") if a == first]) == 3)
    assert len(station.events("requested")) == 2
    station.until_frames(3)
    assert station.models()[-1] == B1


def test_a_repeat_after_a_restart_is_answered_from_the_journal(tmp_path: Path) -> None:
    """Another start, the same answer, no second swap."""
    before = Station(tmp_path).run()
    first = before.ask("swap", model=B2, id="swap-1")
    before.until_event("confirmed", model=B2)
    with before.restarted() as after:
        after.run(B2)
        assert after.ask("swap", model=B2, id="swap-1") == first
        assert after.models() == [B2]


def test_a_repeat_while_it_is_under_way_is_accepted_once_more(station: Station) -> None:
    """It is told that it is under way; there is one operation and one outcome."""
    station.script.hold_loads()
    request = station.send("swap", model=B2)
    station.until_answer(request, stage="load")
    station.send("swap", model=B2, id=request)
    station.until(lambda: statuses(station, request).count("accepted") == 2)
    station.script.open_loads()
    station.outcome(request)
    assert len(station.events("requested")) == 1


def test_a_rejected_id_stays_rejected(station: Station) -> None:
    """Also a refusal is a first outcome."""
    first = station.ask("swap", model="jar@1.0.0", id="x")
    assert first["status"] == "rejected"
    station.send("swap", model="jar@1.0.0", id="x")
    station.until(lambda: station.answers("x") == [first, first])


def test_the_trail_says_what_was_refused_and_why(station: Station) -> None:
    """A request that was refused at once has no other row there."""
    answer = station.ask("swap", model="jar@1.0.0", id="x", by="kim")
    rows = [json.loads(link.row.body) for link in station.journal.audit_rows(50)]
    (told,) = [row for row in rows if row.get("id") == "x"]
    assert (told["verb"], told["model"], told["by"]) == ("swap", "jar@1.0.0", "kim")
    assert (told["status"], told["code"]) == ("rejected", "unknown_model")
    assert told["reason"] == answer["error"]["message"]


OTHERS = [("swap", {"model": B1}), ("prepare", {"model": B2}), ("hold", {}), ("release", {})]


@pytest.mark.parametrize(("verb", "document"), OTHERS)
def test_a_used_id_does_nothing_else(station: Station, verb: str, document: dict[str, str]) -> None:
    """Another verb or another model under a used id is told so, at the verb that asked."""
    station.ask("swap", model=B2, id="42")
    station.until_event("confirmed", model=B2)
    before = len(station.answers("42", verb))
    station.send(verb, id="42", **document)
    station.until(lambda: len(station.answers("42", verb)) > before)
    answer = station.answers("42", verb)[-1]
    assert (answer["status"], answer["error"]["code"]) == ("rejected", "precondition_failed")
    assert "used for another request" in answer["error"]["message"]
    assert station.models()[-1] == B2
    assert not station.model_state["held"]


def test_the_same_wish_in_other_words_is_a_repeat(station: Station) -> None:
    """Order of keys, white space and keys that nobody knows do not count."""
    first = station.ask("swap", model=B2, id="7", by="kim", reason="better")
    station.send("swap", reason="better", unknown=1, by="kim", id="7", model=B2)
    station.until(lambda: [a for a in station.answers("7") if a == first] == [first, first])


def test_senders_that_count_from_one_do_not_answer_for_each_other(station: Station) -> None:
    """Correlation Data is a sender's own: another verb or address is another request."""
    station.send_correlated("release", b"0001", "reply/a")
    station.until(lambda: len(station.replies("reply/a")) == 2)
    station.send_correlated("hold", b"0001", "reply/b")
    station.until(lambda: len(station.replies("reply/b")) == 2)
    station.until(lambda: station.model_state["held"] is True)
    assert [each["status"] for each in station.replies("reply/b")] == ["accepted", "succeeded"]
    station.send_correlated("hold", b"0001", "reply/b")
    station.until(lambda: len(station.replies("reply/b")) == 3)
    assert len(station.events("held")) == 1


def test_the_same_correlation_much_later_is_a_new_request(station: Station) -> None:
    """A library that was started again counts from the same number; an own id holds for ever."""
    station.send_correlated("hold", b"0001", "reply/a")
    station.until(lambda: len(station.replies("reply/a")) == 2)
    station.ask("release")
    station.clock.advance(3600)
    station.send_correlated("hold", b"0001", "reply/a")
    station.until(lambda: len(station.events("held")) == 2)


def test_what_was_open_is_interrupted_at_the_next_start(tmp_path: Path) -> None:
    """Power fails during a load: one outcome, `interrupted`, and the old version goes on."""
    before = Station(tmp_path).run()
    before.script.hold_loads()
    request = before.send("swap", model=B2)
    before.until_answer(request, stage="load")
    with before.restarted(abruptly=True) as after:
        after.run(B1)
        assert after.outcome(request)["status"] == "interrupted"
        assert after.models() == [B1]
        assert after.journal.open_requests() == ()


def test_a_version_on_trial_is_tried_again_after_a_power_cut(tmp_path: Path) -> None:
    """The start is on the trial version, never on a third one, and it is still on trial."""
    plan = Plan(trial=TrialLimits(10**6, 0.0))
    before = Station(tmp_path, plan).run()
    before.ask("swap", model=B2)
    with before.restarted(abruptly=True) as after:
        after.run(B2)
        assert after.driver.state.durable.trial is not None
        assert after.driver.state.durable.tries == 2


def test_a_request_is_journalled_before_the_broker_forgets_it(station: Station) -> None:
    """At the moment of the acknowledgement the request is in the journal."""
    journalled: list[bool] = []
    handlers = station.session.handlers

    def watched(verb: str, incoming: Incoming) -> None:
        def acknowledged() -> None:
            journalled.append(station.journal.find_request("swap-1") is not None)
            incoming.done()

        handlers.on_request(verb, replace(incoming, done=acknowledged))

    station.session.handlers = replace(handlers, on_request=watched)
    station.ask("swap", model=B2, id="swap-1")
    assert journalled == [True]


def test_nothing_is_told_before_it_is_on_the_disk(station: Station) -> None:
    """A unit of work is rows first; whoever waits is told after the commit, in order."""
    told: list[str] = []
    now = station.clock.now()
    incoming = Incoming("here", b"", now, reply=lambda answer: told.append(answer.id))
    request = Request("r-1", Verb.HOLD)
    records = (Reply(request, Status.ACCEPTED), Reply(request, Status.SUCCEEDED))
    with station.busy():
        unit = station.recorder.unit(records, now, incoming=incoming)
        assert station.journal.find_request("r-1") is None
        station.recorder.save(unit, incoming)
        row = station.journal.find_request("r-1")
        assert row is not None
        assert row.outcome is not None
        assert told == []
        unit.tell()
    assert told == ["r-1", "r-1"]


def test_a_step_is_one_transaction(station: Station) -> None:
    """Request, outcome, state, event and audit row stand or fall together in a power cut."""
    written: list[Entry] = []
    commit = station.journal.commit
    station.journal.commit = lambda entry: (written.append(entry), commit(entry))[1]  # type: ignore[method-assign]
    station.ask("hold", id="r-1")
    (entry,) = [each for each in written if each.accepted]
    assert [row.id for row in entry.accepted] == ["r-1"]
    assert [(row.id, row.status) for row in entry.outcomes] == [("r-1", "succeeded")]
    assert entry.state is not None
    assert b'"held"' in b"".join(row.payload for row in entry.outbox)
    assert "request" in [row.kind for row in entry.audit]


def test_what_the_disk_did_not_take_is_told_to_nobody(station: Station) -> None:
    """Only that it failed: no event, no state, and nothing of it comes when there is room again."""
    station.journal.is_full = True
    assert station.ask("hold", id="r-1")["status"] == "failed"
    assert statuses(station, "r-1") == ["failed"]
    assert station.events("held") == []
    station.until(lambda: station.session.unacknowledged == [])  # else it would come again
    station.journal.is_full = False
    assert station.ask("release", id="r-2")["status"] == "succeeded"
    assert station.journal.find_request("r-1") is None
    assert station.events("held") == []
    assert not station.model_state["held"]


def test_what_has_happened_waits_for_the_disk_and_a_request_does_not(station: Station) -> None:
    """What the journal did not take goes before what follows; a request is asked again."""
    now = station.clock.now()
    held = (Announce(EventName.HELD),)
    asked = (Reply(Request("r-1", Verb.HOLD), Status.ACCEPTED),)
    with station.busy():
        station.journal.is_full = True
        for records in (held, asked):
            with pytest.raises(StateError):
                station.recorder.save(station.recorder.unit(records, now))
        assert not station.recorder.is_saved
        station.journal.is_full = False
        station.recorder.settle()
        assert station.recorder.is_saved
    station.until_event("held")
    assert station.journal.find_request("r-1") is None


def test_an_instant_outcome_never_overtakes_its_acceptance(station: Station) -> None:
    """Accepted comes first, though both are known in the same moment."""
    for _ in range(10):
        for verb in ("hold", "release"):
            request = station.send(verb)
            station.outcome(request)
            assert statuses(station, request) == ["accepted", "succeeded"]


def test_a_full_disk_accepts_nothing_and_changes_nothing(station: Station) -> None:
    """`failed` with the box's reason; once there is room the same id is carried out."""
    station.journal.is_full = True
    outcome = station.ask("swap", model=B2, id="swap-1")
    assert outcome["status"] == "failed"
    assert "disk" in outcome["error"]["message"]
    station.until(lambda: station.session.unacknowledged == [])  # else it would come again
    station.until_frames(3)
    assert station.models() == [B1]
    station.journal.is_full = False
    station.send("swap", model=B2, id="swap-1")
    station.until_answer("swap-1", status="succeeded")


def test_a_refused_request_that_could_not_be_kept_is_refused_later(station: Station) -> None:
    """What was failed for the disk's sake leaves nothing behind that its repeat stumbles over."""
    station.journal.is_full = True
    assert station.ask("swap", model=B2, id="swap-1")["status"] == "failed"
    station.journal.is_full = False
    station.send("swap", model="jar@1.0.0", id="swap-1")
    station.until_answer("swap-1", status="rejected")


def test_what_could_not_be_accepted_leaves_no_receipt_to_the_next(station: Station) -> None:
    """The next swap has the number that the refused request would have had, and its own proof."""
    station.journal.is_full = True
    assert station.ask("prepare", model=CAN)["status"] == "failed"
    station.journal.is_full = False
    receipt = station.ask("swap", model=B2, by="kim")["receipt"]
    assert (receipt["to"], receipt["verb"], receipt["by"]) == (B2, "swap", "kim")
    station.until(lambda: str(station.results[-1].model) == B2)
    digest = station.results[-1].sha256
    assert receipt["sha256"] == digest


def test_a_journal_that_cannot_be_read_fails_the_request_alone(station: Station) -> None:
    """The driver goes on."""
    station.journal.is_unreadable = True
    assert station.ask("swap", model=B2)["status"] == "failed"
    station.journal.is_unreadable = False
    assert station.ask("swap", model=B2)["status"] == "succeeded"


def test_an_outcome_survives_a_disk_that_was_full_when_it_happened(station: Station) -> None:
    """The cutover is made; its outcome and state are written as soon as there is room."""
    station.script.hold_loads()
    request = station.send("swap", model=B2)
    station.until_answer(request, stage="load")
    station.journal.is_full = True
    station.script.open_loads()
    station.until_active(B2)
    station.journal.is_full = False
    station.ask("hold")
    assert station.outcome(request)["status"] == "succeeded"
    assert b'"2.0.0"' in (station.journal.state() or b"")
    assert station.journal.open_requests() == ()


def test_a_snapshot_after_a_full_disk_forgets_nothing(station: Station) -> None:
    """What is written late is the planner's state, whichever request comes next."""
    station.journal.is_full = True
    station.order("CAN")
    station.until_active(CAN)
    station.journal.is_full = False
    assert station.ask("snapshot")["status"] == "succeeded"
    state = json.loads(station.journal.state() or b"{}")
    assert state["product"] == "CAN"
    assert state["confirmed"]


def test_a_full_disk_does_not_fill_the_log(station: Station) -> None:
    """Told at once, and once more a minute later with how often it came meanwhile."""
    with capture_logs() as lines:
        station.journal.is_full = True
        for number in range(20):
            station.order("CAN", order=f"WO-{number}")
        station.until_active(CAN)
        station.ask("hold")  # answered after all that came before it
        station.clock.advance(61.0)
        station.order("BTL")
        station.until_active(B1)
        station.ask("hold")
        station.journal.is_full = False
    told = [line for line in lines if line["event"] == "state_not_saved"]
    assert told[0]["count"] == 1
    assert len(told) == 2
    assert told[1]["count"] > 1


def test_a_clock_set_back_revives_nothing_that_expired(station: Station) -> None:
    """Also after a restart: what was recorded last is the least that the clock may say."""
    expires = iso_utc(station.clock.now().utc + 5.0)
    assert station.ask("hold")["status"] == "succeeded"
    station.clock.advance(3600.0)
    assert station.ask("release")["status"] == "succeeded"  # the newest time on record
    assert station.ask("hold", expires=expires)["error"]["code"] == "expired"
    with station.restarted() as again:  # its clock is an hour behind
        again.run()
        outcome = again.ask("hold", expires=expires)
        assert (outcome["status"], outcome["error"]["code"]) == ("rejected", "precondition_failed")
        assert "set back" in outcome["error"]["message"]
        assert not again.driver.state.durable.held
        assert again.ask("hold")["status"] == "succeeded"


def test_answers_go_where_the_sender_wants_them(station: Station) -> None:
    """To the Response Topic with its Correlation Data, which is the id where none is given."""
    heard = station.broker.watch("ops/kim")
    body = json.dumps({"model": B2}).encode()
    packet = Packet(TOPICS.request("swap"), body, 1, False, "ops/kim", b"corr-1")
    station.broker.publish(packet)
    assert station.outcome("corr-1")["status"] == "succeeded"
    station.until(lambda: any(b"succeeded" in p.payload for p in heard))
    assert {p.correlation for p in heard} == {b"corr-1"}


def test_a_superseded_request_is_told_at_its_own_address(station: Station) -> None:
    """Each of two requests gets its outcome where it was asked for, also after a failed commit."""
    heard = station.broker.watch("ops/kim")
    station.script.hold_loads()
    body = json.dumps({"model": B2, "id": "one"}).encode()
    station.broker.publish(Packet(TOPICS.request("swap"), body, 1, False, "ops/kim"))
    station.until_answer("one", stage="load")
    station.journal.is_full = True
    assert station.ask("swap", model=CAN)["status"] == "failed"
    station.journal.is_full = False
    station.ask("swap", model=B1)
    assert station.outcome("one")["status"] == "superseded"
    station.until(lambda: any(b"superseded" in p.payload for p in heard))


def test_a_retained_request_is_refused(station: Station) -> None:
    """It would be carried out at every start."""
    outcome = station.outcome(station.send("swap", model=B2, retain=True))
    assert outcome["error"]["code"] == "retained"
    station.until_frames(3)
    assert station.models() == [B1]


def test_what_cannot_be_read_is_answered_where_it_can_be(station: Station) -> None:
    """Garbage changes nothing and ends nothing."""
    for payload in (b"\xff\xfe", b"[1]", b'{"id":"x"', b'{"model":' + b"9" * 300_000 + b"}"):
        station.broker.publish(Packet(TOPICS.request("swap"), payload, 1))
    station.broker.publish(Packet("mes/orders", b"\x00\x01", 1))
    station.until_event("order_refused")
    station.until(lambda: station.session.unacknowledged == [])
    assert station.ask("swap", model=B2)["status"] == "succeeded"


def test_events_tell_the_story_in_order(station: Station) -> None:
    """Requested, prepared, swapped, confirmed: each once, through the outbox."""
    station.ask("swap", model=B2)
    station.until_event("confirmed", model=B2)
    told = [e["type"] for e in station.events() if e.get("model") == B2]
    assert told == ["requested", "prepared", "swapped", "confirmed"]
    station.until(lambda: station.journal.outbox_depth() == 0)


def test_what_is_told_while_the_broker_is_away_comes_later(station: Station) -> None:
    """The outbox keeps outcome and events, in order, until the broker has them."""
    station.script.hold_loads()
    request = station.send("swap", model=B2)
    station.until_answer(request, stage="load")
    station.session.cut()
    station.script.open_loads()
    station.until_active(B2)
    assert "succeeded" not in statuses(station, request)
    station.session.resume()
    station.outbox.wake()
    assert station.outcome(request)["status"] == "succeeded"


def test_a_receipt_proves_what_the_audit_trail_was(station: Station) -> None:
    """It carries the head of its moment; the completed one carries a later head."""
    receipt = station.ask("swap", model="bottle@2.0.0")["receipt"]
    station.until(lambda: bool(station.events("confirmed")))
    heads = [receipt["audit"], station.events("confirmed")[0]["receipt"]["audit"]]
    assert 0 < heads[0]["seq"] < heads[1]["seq"]
    assert station.journal.audit_faults(*(Anchor(**head) for head in heads)) == []


def test_every_step_is_on_the_audit_trail(station: Station) -> None:
    """Who asked for what, what came of it, and which orders came; the chain holds."""
    station.ask("swap", model=B2, by="kim")
    station.order("CAN", order="WO-1")
    station.until_active(CAN)
    rows = [(link.row.kind, json.loads(link.row.body)) for link in station.journal.audit_rows()]
    assert ("request", "kim") in [(kind, body.get("by")) for kind, body in rows]
    assert {"request", "outcome", "event", "order"} <= {kind for kind, _ in rows}
    assert station.journal.audit_faults() == []


def test_an_event_is_one_word_everywhere(station: Station) -> None:
    """On its topic, on the audit trail and in the log; its code too, and both as plain text."""
    with capture_logs() as lines:
        station.order("JAR")
        told = station.until_event("unknown_product")
        station.ask("hold")
    logged = next(line for line in lines if line["event"] == "unknown_product")
    assert {type(logged[key]) for key in ("event", "error_code")} == {str}
    kept = [json.loads(link.row.body) for link in station.journal.audit_rows()]
    (row,) = [body for body in kept if body.get("event") == "unknown_product"]
    assert row["code"] == logged["error_code"] == told["code"] == "unknown_product"


def test_history_holds_the_completed_receipt(station: Station) -> None:
    """One row a swap, replaced when its trial ends."""
    swap_id = station.ask("swap", model=B2)["receipt"]["swap_id"]
    station.until_event("confirmed", swap_id=swap_id)
    row = station.journal.receipt(swap_id)
    assert row is not None
    assert json.loads(row.body)["trial"] == "confirmed"


def test_an_entry_of_nothing_is_not_written(station: Station) -> None:
    """A step that changes nothing costs no disk."""
    written: list[Entry] = []
    commit = station.journal.commit
    station.journal.commit = lambda entry: (written.append(entry), commit(entry))[1]  # type: ignore[method-assign]
    station.until_frames(50)
    assert written == []


def ask_here(station: Station, verb: str, **fields: str) -> list[Answer]:
    """By a sender that waits in this process, as a program at the control socket does."""
    answers: list[Answer] = []
    incoming = Incoming("here", b"", station.clock.now(), content=fields, reply=answers.append)
    station.mailbox.put_request(verb, incoming)
    return answers


def told(answers: list[Answer]) -> list[str]:
    return [json.loads(answer.body)["status"] for answer in answers]


def test_each_sender_gets_the_answers_to_its_own_request(station: Station) -> None:
    """Asked again while it is under way, and once more when it is done: the same outcome."""
    station.script.hold_loads()
    first = ask_here(station, "swap", model=B2, id="one")
    station.until_answer("one", stage="load")
    again = ask_here(station, "swap", model=B2, id="one")
    other = ask_here(station, "hold", id="one")
    station.until(lambda: bool(other))
    assert other[0].code == "precondition_failed"
    station.script.open_loads()
    station.until(lambda: bool(again) and again[-1].is_final)
    assert told(again)[0] == "accepted"
    assert again[-1].body == first[-1].body
    late = ask_here(station, "swap", model=B2, id="one")
    station.until(lambda: bool(late))
    assert [answer.body for answer in late] == [first[-1].body]
    assert [answer.is_final for answer in first].count(True) == 1
    assert len(told(other)) == 1


def test_a_sender_here_is_answered_on_mqtt_too(station: Station) -> None:
    """With the same bytes, and in the same order."""
    here = ask_here(station, "swap", model=B2, id="one")
    station.outcome("one")
    station.until(lambda: bool(here) and here[-1].is_final)
    assert [json.loads(answer.body) for answer in here] == station.answers("one")


def test_the_daemons_own_request_is_a_request_like_any_other(station: Station) -> None:
    """A value needs no parsing; its id may be one of the station's own, and counts as an id."""
    own = Request("desired-1-bottle", Verb.SWAP, ModelChoice("bottle", "2.0.0"), by="desired-state")
    for times in (1, 2):
        incoming = Incoming("here", b"", station.clock.now(), content=own)
        station.mailbox.put_request("swap", incoming)
        station.until(lambda: statuses(station, own.id).count("succeeded") == times)  # noqa: B023
    assert len(station.events("requested")) == 1


def test_only_so_many_repeats_wait_for_one_outcome(station: Station) -> None:
    """The first who asked keeps its place."""
    station.script.hold_loads()
    first = ask_here(station, "swap", model=B2, id="one")
    station.until_answer("one", stage="load")
    repeats = [ask_here(station, "swap", model=B2, id="one") for _ in range(MOST_WAITING + 5)]
    station.until(lambda: bool(repeats[-1]))
    station.script.open_loads()
    station.until(lambda: first[-1].is_final and repeats[-1][-1].is_final)
    assert sum(answers[-1].is_final for answers in repeats) == MOST_WAITING - 1
