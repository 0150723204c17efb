"""What only this machine may ask: answered at once or when durable, malformed questions refused."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge_daemon.control.arrivals import QuarantineOrdered
from edge_daemon.control.inquiries import MOST_AUDIT_ROWS, MOST_RECEIPTS, Inquiries
from edge_daemon.control.lineage import BundleMessage
from edge_daemon.core.values import BundleRef
from edge_daemon.errors import SenderError, StateError
from edge_daemon.host.audit import AuditRow
from edge_daemon.host.journal import Entry, Journal, ReceiptRow
from edge_daemon.host.journal_lineage import BundleRow, LineageEntry
from edge_daemon.host.journal_orders import ProductRow
from edge_daemon.host.journal_parts import PartRow, PartsEntry
from edge_daemon.messaging.answer import Answer
from edge_daemon.messaging.local_socket import Question
from tests.sim.clock import SimClock


class Room:
    """Inquiries with everything around them written down."""

    def __init__(self, folder: Path) -> None:
        self.journal = Journal.open(folder)
        self.ordered: list[QuarantineOrdered] = []
        self.came: list[BundleRow] = []
        self.answers: list[tuple[str, dict[str, Any]]] = []
        self.told = threading.Event()
        self.clock = SimClock()
        self.inquiries = Inquiries(
            self.journal,
            lambda: {"model/state": b'{"held":false}'},
            self.ordered.append,
            self.clock,
            lambda changes, limit: {"set": changes, "limit": limit},
            self.came.append,
        )

    def _reply(self, answer: Answer) -> None:
        assert answer.is_final
        self.answers.append((answer.id, json.loads(answer.body)))
        self.told.set()

    def ask(self, verb: str, **fields: Any) -> Any:
        """The answer, or None where it comes later."""
        before = len(self.answers)
        self.inquiries.answer(Question("a-1", verb, fields, self._reply))
        return self.answers[-1][1] if len(self.answers) > before else None


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    made = Room(tmp_path)
    yield made
    made.journal.close()


def test_status_is_all_that_is_retained(room: Room) -> None:
    """Each retained word under its topic below the root."""
    assert room.ask("status") == {"model/state": {"held": False}}


def test_history_gives_the_newest_first_and_no_more_than_asked(room: Room) -> None:
    """Receipts as they were written."""
    receipts = tuple(ReceiptRow(f"s{n}", float(n), b'{"to":"b@%d"}' % n) for n in range(5))
    room.journal.commit(Entry(receipts=receipts))
    assert room.ask("history", limit=2) == {"receipts": [{"to": "b@4"}, {"to": "b@3"}]}


def test_audit_gives_rows_head_and_on_request_the_verdict(room: Room) -> None:
    """Verification reads the whole trail, so it is made only when asked for."""
    room.journal.commit(Entry(audit=(AuditRow(0.0, "event", b'{"x":1}'),)))
    answer = room.ask("audit")
    assert (answer["rows"][0]["body"], answer["faults"]) == ({"x": 1}, None)
    room.told.clear()
    room.ask("audit", verify=True)
    assert room.told.wait(30.0)
    assert room.answers[-1][0] == "a-1"
    assert room.answers[-1][1]["faults"] == []


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[7]"])
def test_a_row_that_was_tampered_with_is_shown_as_it_stands(room: Room, body: bytes) -> None:
    """Whoever verifies the trail is answered all the more."""
    room.journal.commit(Entry(audit=(AuditRow(0.0, "event", body),)))
    room.ask("audit", verify=True)
    assert room.told.wait(30.0)
    (row,) = room.answers[0][1]["rows"]
    assert row["body"] == {"damaged": body.decode("utf-8", "replace")}


def test_the_trail_is_held_against_the_heads_that_are_given(room: Room) -> None:
    """One that it contains, and one that it never had."""
    room.journal.commit(Entry(audit=(AuditRow(0.0, "event"), AuditRow(1.0, "event"))))
    head = room.journal.audit_head()
    room.ask("audit", verify=True, heads=[[head.seq, head.hash], [1, "0" * 64]])
    assert room.told.wait(30.0)
    assert room.answers[0][1]["faults"] == ["Row 1 is not what it was when its hash was kept."]


def test_an_orders_product_is_told_where_it_came_with_one(room: Room) -> None:
    """With the time; nothing of an order that nobody told."""
    room.journal.commit(Entry(products=(ProductRow("WO-7", "CAN", 0.0),)))
    told = {"product": "CAN", "time": "1970-01-01T00:00:00.000Z"}
    assert room.ask("order", job_order="WO-7") == told
    assert room.ask("order", job_order="WO-8") == room.ask("order", job_order=7) == {}


def test_an_operator_may_say_that_the_clock_is_right(room: Room) -> None:
    """It ran ahead once: the time of now counts from here on, and who said so is on record."""
    room.journal.commit(Entry(audit=(AuditRow(3e9, "event"),)))
    answer = room.ask("trust-clock", by="kim")
    assert answer["status"] == "succeeded"
    assert room.journal.newest_utc == room.clock.now().utc
    row = room.ask("audit")["rows"][-1]
    assert (row["kind"], row["body"]["by"]) == ("trust-clock", "kim")


def test_a_quarantine_is_answered_when_the_driver_has_done_it(room: Room) -> None:
    """Handed over with who and why; the answer comes later, under the client's id."""
    assert room.ask("quarantine", model="bottle@1.0.0", reason="blurred", by="kim") is None
    order = room.ordered[0]
    assert (order.ref, order.reason, order.by) == (BundleRef("bottle", "1.0.0"), "blurred", "kim")
    assert room.answers == []
    order.answered(None)
    assert room.answers[0] == ("a-1", {"id": "a-1", "status": "succeeded"})
    room.ask("unquarantine", model="bottle@1.0.0")
    assert room.ordered[1].reason is None


@pytest.mark.parametrize(
    ("error", "status"),
    [(SenderError("It is not there."), "rejected"), (StateError("The disk is full."), "failed")],
)
def test_who_is_to_blame_is_told(room: Room, error: Any, status: str) -> None:
    """The sender's fault is rejected, this box's is failed."""
    room.ask("quarantine", model="bottle@1.0.0")
    room.ordered[0].answered(error)
    assert room.answers[0][1]["status"] == status
    assert room.answers[0][1]["error"]["message"] == error.message


@pytest.mark.parametrize(
    ("verb", "document"),
    [
        ("history", {"limit": 0}),
        ("history", {"limit": MOST_RECEIPTS + 1}),
        ("history", {"limit": True}),
        ("audit", {"limit": "many"}),
        ("audit", {"limit": MOST_AUDIT_ROWS + 1}),
        ("audit", {"verify": True, "heads": [["1", "x"]]}),
        ("audit", {"verify": True, "heads": "1:x"}),
        ("quarantine", {}),
        ("quarantine", {"model": 7}),
        ("quarantine", {"model": "bottle"}),
        ("quarantine", {"model": "bottle@1", "reason": 3}),
        ("quarantine", {"model": "bottle@1", "reason": "x" * 5000}),
        ("unquarantine", {"model": None}),
    ],
)
def test_a_malformed_question_is_refused(room: Room, verb: str, document: dict[str, Any]) -> None:
    """Nothing is read, ordered or changed."""
    with pytest.raises(SenderError):
        room.ask(verb, **document)
    assert room.ordered == []


def test_lineage_is_asked_by_version_or_by_data_set(room: Room) -> None:
    """And what a command fetched is told in one piece, or refused."""
    row = BundleRow("b@1", "9f", "aa", 1.0, b'{"dataset":"d"}')
    room.journal.commit(Entry(lineage=LineageEntry((row,))))
    assert room.ask("lineage", model="b@1")["datasets"] == ["d"]
    assert [each["model"] for each in room.ask("lineage", dataset="d")["versions"]] == ["b@1"]
    for wrong in ({}, {"model": "b"}, {"model": "b@2"}, {"dataset": "other"}):
        with pytest.raises(SenderError):
            room.ask("lineage", **wrong)
    came = replace(row, source=b'{"kind":"oci","url":"u","name":"n"}')
    room.ask("pulled", **msgspec.to_builtins(BundleMessage.of(came)))
    assert [(each.model, each.lineage) for each in room.came] == [("b@1", row.lineage)]
    with pytest.raises(SenderError):
        room.ask("pulled", model="b@1", source={"kind": 5})
    assert len(room.came) == 1


def test_only_its_own_words_are_known(room: Room) -> None:
    """Every other verb goes the way of requests."""
    assert room.inquiries.knows("history")
    assert not room.inquiries.knows("swap")


def test_a_preview_is_asked_with_numbers_only(room: Room) -> None:
    """How far back it may look is bounded; what is no number is refused in a sentence."""
    asked = room.ask("preview", set={"scratch.confidence": 1}, limit=9)
    assert asked == {"set": {"scratch.confidence": 1.0}, "limit": 9}
    for wrong in ({"set": {"a": "b"}}, {"set": [1]}, {"limit": 501}):
        with pytest.raises(SenderError):
            room.ask("preview", **wrong)


def test_parts_are_told_as_far_as_there_is_room(room: Room) -> None:
    """The newest first; how many were left out is told, and a name is a text."""
    body = json.dumps({"frames": "x" * 200_000}).encode()
    rows = tuple(PartRow("b", number, 1.0, None, None, "ok", body) for number in range(4))
    room.journal.commit(Entry(parts=PartsEntry(rows, b"{", 100, 0.0)))
    told = room.ask("parts", limit=9)
    assert (len(told["parts"]), told["left_out"], told["counts"]) == (2, 2, None)
    assert told["parts"][0]["picture"] is None
    assert room.ask("parts", name="SN-1")["parts"] == []
    with pytest.raises(SenderError):
        room.ask("parts", name=5)
