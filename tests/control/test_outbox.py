"""The outbox: in order, until the broker has it, and nothing for ever."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from edge_daemon.config import MqttSettings
from edge_daemon.control import rows as control_rows
from edge_daemon.control.outbox import GIVE_UP_AFTER, Outbox
from edge_daemon.errors import StateError
from edge_daemon.host.clock import SystemClock
from edge_daemon.host.journal_rows import OutboxRow
from edge_daemon.messaging.answer import Answer
from edge_daemon.messaging.messages import Delivery, Handlers, ReplyTo
from edge_daemon.messaging.mqtt import SessionSpec
from edge_daemon.messaging.topics import Topics
from tests.sim.broker import Packet, SimBroker, SimSession
from tests.sim.brokers import wait_for

TOPICS = Topics("edge/cam1")


@dataclass
class Rows:
    """The journal's part: rows in order, gone when removed."""

    rows: list[OutboxRow] = field(default_factory=list)
    faults: int = 0
    """Of the disk; so many reads fail."""

    def put(self, topic: str, payload: bytes, properties: bytes = b"{}") -> None:
        seq = self.rows[-1].seq + 1 if self.rows else 1
        self.rows.append(OutboxRow(topic, payload, 1, properties, False, seq))

    def outbox_peek(self, limit: int) -> list[OutboxRow]:
        if self.faults:
            self.faults -= 1
            raise StateError("The disk cannot be read.", hint="Replace it.")
        return self.rows[:limit]

    def outbox_remove(self, *seqs: int) -> None:
        self.rows = [row for row in self.rows if row.seq not in seqs]


@dataclass
class Fixed:
    delivery: Delivery | None

    def wait(self, timeout_s: float) -> Delivery | None:
        return self.delivery


@dataclass
class Line:
    """A carrier whose broker answers as the story says."""

    answers: Callable[[bytes], Delivery | None]
    sent: list[bytes] = field(default_factory=list)
    online: bool = True
    fates: list[Fixed] = field(default_factory=list)
    """Of the next messages; then as `answers` says."""

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        correlation: bytes | None = None,
    ) -> Fixed:
        self.sent.append(payload)
        return self.fates.pop(0) if self.fates else Fixed(self.answers(payload))

    def respond(self, verb: str, payload: bytes, reply_to: ReplyTo) -> None:
        raise AssertionError("the outbox publishes rows, it answers nobody")


def drain(outbox: Outbox) -> None:
    while outbox.drain():
        pass


def rows_of(count: int) -> Rows:
    rows = Rows()
    for number in range(count):
        rows.put(TOPICS.model_event, b"%d" % number)
    return rows


NOBODY = Handlers(lambda *_: None, lambda *_: None)


def test_rows_wait_for_the_broker_and_go_in_order() -> None:
    """While it is away nothing is lost; when it is back everything comes, oldest first."""
    broker = SimBroker()
    spec = SessionSpec(MqttSettings(), TOPICS, "cam1")
    session = SimSession(broker, spec, SystemClock())
    seen = broker.watch(TOPICS.model_event)
    rows = rows_of(100)
    outbox = Outbox(rows, session)
    drain(outbox)
    assert (seen, len(rows.rows)) == ([], 100)
    session.start(NOBODY)
    drain(outbox)
    assert [packet.payload for packet in seen] == [b"%d" % number for number in range(100)]
    assert rows.rows == []


def test_an_answer_is_a_row_for_each_address_with_its_correlation() -> None:
    """What the journal stores is enough to answer after a restart."""
    broker = SimBroker()
    session = SimSession(broker, SessionSpec(MqttSettings(), TOPICS, "cam1"), SystemClock())
    session.start(NOBODY)
    seen = broker.watch("#")
    rows, answer = Rows(), Answer("1", {})
    written = control_rows.Rows("b", TOPICS, SystemClock())
    for row in written.answers("swap", answer, ReplyTo("ops/kim", b"\x01\xff")):
        rows.put(row.topic, row.payload, row.properties)
    drain(Outbox(rows, session))
    assert seen[-2:] == [
        Packet("edge/cam1/response/swap", b"{}", 1, correlation=b"\x01\xff"),
        Packet("ops/kim", b"{}", 1, correlation=b"\x01\xff"),
    ]


def test_a_row_stays_until_it_is_acknowledged() -> None:
    """A connection that ends under way: that row and those after it are sent again, in order."""
    fates = {b"1": Delivery.LOST}
    line = Line(lambda payload: fates.get(payload, Delivery.DELIVERED))
    rows = rows_of(3)
    outbox = Outbox(rows, line)
    outbox.drain()
    assert [row.payload for row in rows.rows] == [b"1", b"2"]
    fates.clear()
    drain(outbox)
    assert rows.rows == []
    assert line.sent == [b"0", b"1", b"2", b"1", b"2"]


def test_a_row_that_the_broker_refuses_does_not_hold_the_others() -> None:
    """An access list that forbids one address must not silence the device."""
    line = Line(lambda payload: Delivery.REFUSED if payload == b"0" else Delivery.DELIVERED)
    rows = rows_of(2)
    drain(Outbox(rows, line))
    assert rows.rows == []


def test_a_row_that_cannot_be_published_is_given_up() -> None:
    """A topic with a wildcard would end every connection."""
    line = Line(lambda _: Delivery.DELIVERED)
    rows = Rows()
    rows.put("bad/#", b"0")
    rows.put(TOPICS.model_event, b"1")
    drain(Outbox(rows, line))
    assert (rows.rows, line.sent) == ([], [b"1"])


def test_a_row_that_ends_every_connection_is_given_up_at_last() -> None:
    """After it was sent alone often enough, the others go on without it."""
    line = Line(lambda payload: Delivery.LOST if payload == b"0" else Delivery.DELIVERED)
    rows = rows_of(3)
    outbox = Outbox(rows, line)
    for _ in range(GIVE_UP_AFTER):
        assert not outbox.drain()
    assert len(rows.rows) == 3
    drain(outbox)
    assert rows.rows == []


def test_a_journal_that_cannot_be_read_for_a_while_ends_nothing() -> None:
    """The rows are told when it can be read again."""
    line, rows = Line(lambda _: Delivery.DELIVERED), rows_of(2)
    rows.faults = 2
    outbox = Outbox(rows, line)
    outbox.start()
    for left in (1, 0):
        outbox.wake()
        wait_for(lambda left=left: rows.faults == left, "the read that fails")  # type: ignore[misc]
    outbox.wake()
    wait_for(lambda: not rows.rows, "the rows that are told")
    outbox.stop()
    assert line.sent == [b"0", b"1"]


def test_a_row_that_a_slow_broker_has_is_not_sent_again() -> None:
    """No acknowledgement yet is no loss: it comes once, and never counts as poison."""
    fate = Fixed(None)
    line = Line(lambda _: fate.delivery, fates=[fate])
    rows = rows_of(1)
    outbox = Outbox(rows, line)
    for _ in range(2 * GIVE_UP_AFTER):
        assert not outbox.drain()
    assert (line.sent, len(rows.rows)) == ([b"0"], 1)
    fate.delivery = Delivery.DELIVERED
    assert outbox.drain()
    assert rows.rows == []
