"""The timeline is told from the journal's own rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge_daemon.app.timeline import SHOWN, Timeline
from edge_daemon.host.audit import AuditRow
from edge_daemon.host.journal import Entry, Journal, OutcomeRow, ReceiptRow, RequestRow

RECEIPT = {
    "swap_id": "b-1",
    "verb": "swap",
    "from": "bottle@1.0.0",
    "to": "bottle@1.1.0",
    "by": "kim",
    "cutover_at": "2026-11-22T10:00:00.000Z",
    "cutover_frame": 7,
    "pause_ms": 0.4,
    "checks": [{"name": "recall", "passed": True}, {"name": "latency", "passed": True}],
}


class Told:
    """A journal, and one clock for all that is written into it."""

    def __init__(self, folder: Path) -> None:
        self.journal = Journal.open(folder)
        self.timeline = Timeline(self.journal)
        self._utc = 1000.0

    def write(self, kind: str, **facts: Any) -> None:
        self._utc += 1.0
        row = AuditRow(self._utc, kind, json.dumps(facts).encode())
        self.journal.commit(Entry(audit=(row,)))

    def receipt(self, **changes: Any) -> None:
        body = json.dumps({**RECEIPT, **changes}).encode()
        self.journal.commit(Entry(receipts=(ReceiptRow("b-1", self._utc, body),)))


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    told = Told(tmp_path)
    yield told
    told.journal.close()


def test_a_swap_is_one_entry_that_grows(told: Told) -> None:
    """Request, preparation, cutover and confirmation are one line, with the receipt's figures."""
    told.write("request", id="r1", verb="swap", model="bottle@1.1.0", by="kim")
    told.write("event", event="requested", swap="b-1", model="bottle@1.1.0")
    assert [line.status for line in told.timeline.lines()] == ["requested"]
    told.write("event", event="prepared", swap="b-1", model="bottle@1.1.0")
    told.receipt()
    told.write("event", event="swapped", swap="b-1", model="bottle@1.1.0", reason="swap")
    told.write("outcome", id="r1", status="succeeded", swap="b-1", code="")
    (line,) = told.timeline.lines()
    assert (line.status, line.left, line.model) == ("swapped", "bottle@1.0.0", "bottle@1.1.0")
    assert (line.by, line.pause_ms, line.checks, line.frame) == ("kim", 0.4, (2, 2), 7)
    told.write("event", event="confirmed", swap="b-1", model="bottle@1.1.0")
    assert [line.status for line in told.timeline.lines()] == ["confirmed"]


def test_a_refused_swap_says_why_and_keeps_its_report(told: Told) -> None:
    """There is no receipt, so the answer with the gate's checks is what opens."""
    request = RequestRow("r2", "swap", 1000.0, body=b'{"id":"r2"}')
    outcome = b'{"id":"r2","status":"rejected","error":{"code":"gate_failed"}}'
    told.journal.commit(Entry(accepted=(request,)))
    told.journal.commit(Entry(outcomes=(OutcomeRow("r2", "rejected", outcome),)))
    told.write("request", id="r2", verb="swap", model="bottle@2.0.0", by="kim")
    told.write("event", event="requested", swap="b-2", model="bottle@2.0.0")
    told.write("outcome", id="r2", status="rejected", swap="b-2", code="gate_failed")
    told.write("event", event="rejected", swap="b-2", code="gate_failed", reason="Recall is low.")
    (line,) = told.timeline.lines()
    assert (line.status, line.code, line.message) == ("rejected", "gate_failed", "Recall is low.")
    entry = told.timeline.entry("b-2")
    assert entry is not None
    document = msgspec.json.decode(msgspec.json.encode(entry))
    assert document["outcome"]["error"]["code"] == "gate_failed"
    assert [event.get("event") for event in document["events"]] == ["requested", None, "rejected"]
    assert "receipt" not in document


def test_orders_holds_and_losses_stand_between_the_swaps(told: Told) -> None:
    """Newest first; what says nothing to a person at the line is left out."""
    told.write("event", event="order_running", reason="WO-17")
    told.write("event", event="order_completed", reason="WO-17")
    told.write("event", event="held")
    told.write("event", event="slot_lost", model="bottle@1.0.0", reason="killed")
    told.write("event", event="stood_in", model="bottle@1.0.0", reason="killed")
    told.write("event", event="rests", model="bottle@1.0.0", reason="The daemon ended 3 times.")
    told.write("order", order="WO-18", product="BTL", word="queued")
    lines = told.timeline.lines()
    shown = ["rests", "stood_in", "slot_lost", "held", "order_running"]
    assert [line.status for line in lines] == shown
    assert told.timeline.entry(lines[0].id) is not None
    assert told.timeline.entry("note-99") is None


def test_an_answer_without_a_swap_is_told_where_it_is_bad(told: Told) -> None:
    """A hold that worked is its event; a confirm that was refused is a line of its own."""
    told.write("request", id="r3", verb="confirm", by="kim")
    told.write("outcome", id="r3", status="rejected", swap="", code="precondition_failed")
    (line,) = told.timeline.lines()
    assert (line.kind, line.status, line.code) == ("confirm", "rejected", "precondition_failed")


def test_what_was_refused_at_once_says_what_was_asked_and_why(told: Told) -> None:
    """It was never accepted, so the trail has no row of the request itself."""
    refused = {"verb": "swap", "model": "bottle@9", "by": "kim", "reason": "It is not there."}
    told.write("outcome", id="r4", status="rejected", swap="", code="unknown_model", **refused)
    (line,) = told.timeline.lines()
    assert (line.kind, line.model, line.by) == ("swap", "bottle@9", "kim")
    assert (line.code, line.message) == ("unknown_model", "It is not there.")


def test_it_is_bounded_and_survives_what_it_cannot_read(told: Told) -> None:
    """Years of swaps show the newest few; a damaged row tells nothing and breaks nothing."""
    for number in range(SHOWN + 5):
        told.write("event", event="swapped", swap=f"b-{number}", model="bottle@1.0.0")
    told.journal.commit(Entry(audit=(AuditRow(9e9, "event", b"\xff no json"),)))
    lines = told.timeline.lines()
    assert len(lines) == SHOWN
    assert lines[0].id == f"b-{SHOWN + 4}"


def test_what_an_order_brought_and_the_gate_refused_keeps_its_report(told: Told) -> None:
    """Nobody asked, so nobody was answered: the report opens from the event itself."""
    checks = [{"name": "load", "passed": True}, {"name": "golden.recall", "passed": False}]
    told.write(
        "event",
        event="rejected",
        swap="b-3",
        model="can@2.0.0",
        code="gate_failed",
        reason="Recall is low.",
        checks=checks,
    )
    (line,) = told.timeline.lines()
    assert (line.status, line.code, line.checks) == ("rejected", "gate_failed", (1, 2))
    entry = told.timeline.entry("b-3")
    assert entry is not None
    assert entry.outcome is not None
    assert msgspec.json.decode(entry.outcome)["error"] == {
        "code": "gate_failed",
        "message": "Recall is low.",
        "checks": checks,
    }
