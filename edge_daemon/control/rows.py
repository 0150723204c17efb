"""Answers, events and audit entries as rows of the journal, and the transaction in the making."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from edge_daemon.control.outbox import row_properties
from edge_daemon.control.repeats import encode
from edge_daemon.core.event_names import EventName
from edge_daemon.core.records import Reply
from edge_daemon.core.rollout.values import Webhook
from edge_daemon.core.values import Instant, Request
from edge_daemon.host.audit import AuditRow
from edge_daemon.host.clock import Clock
from edge_daemon.host.journal_notices import NoticeRow
from edge_daemon.host.journal_orders import ProductRow, TopicRow
from edge_daemon.host.journal_rows import Entry, OutboxRow, OutcomeRow, ReceiptRow, RequestRow
from edge_daemon.messaging import payloads
from edge_daemon.messaging.answer import Answer
from edge_daemon.messaging.messages import ReplyTo
from edge_daemon.messaging.mqtt import response_addresses
from edge_daemon.messaging.payloads import Event as EventMessage
from edge_daemon.messaging.times import iso_utc
from edge_daemon.messaging.topics import Topics


class Rows:
    """Makes rows; keeps nothing."""

    def __init__(self, boot: str, topics: Topics, clock: Clock) -> None:
        self._boot = boot
        self._topics = topics
        self._clock = clock

    def now(self) -> Instant:
        """By the clock that stamps them."""
        return self._clock.now()

    def request(self, reply: Reply, reply_to: ReplyTo, now: Instant) -> RequestRow:
        """The request, as it is kept before it is answered."""
        request = reply.request
        return RequestRow(
            id=request.id,
            verb=request.verb.value,
            received_utc=now.utc,
            reply_to=reply_to.to_json(),
            body=encode(request),
            swap_id=reply.swap_id or None,
        )

    def outcome(self, reply: Reply, answer: Answer) -> OutcomeRow:
        """The outcome, for a repeat of the request."""
        return OutcomeRow(answer.id, reply.status.value, answer.body, reply.swap_id or None)

    def answers(self, verb: str, answer: Answer, reply_to: ReplyTo) -> tuple[OutboxRow, ...]:
        """The answer to `response/<verb>`, and to the sender's own address."""
        return tuple(
            OutboxRow(topic, answer.body, properties=row_properties(correlation), is_outcome=True)
            for topic, correlation in response_addresses(self._topics, verb, reply_to)
        )

    def event(self, kind: EventName, **fields: object) -> OutboxRow:
        """One message for `model/event`; `fields` are those of `payloads.Event`."""
        time = iso_utc(self._clock.now().utc)
        event = EventMessage(type=kind, time=time, boot=self._boot, **fields)  # type: ignore[arg-type]
        return OutboxRow(self._topics.model_event, payloads.encode(event))

    def notices(self, hooks: Iterable[Webhook], event: OutboxRow) -> tuple[NoticeRow, ...]:
        """The same event for each address. Its id stays the same however often it is sent."""
        urls = [hook.url for hook in hooks]
        if not urls:
            return ()
        told = {"id": uuid.uuid4().hex, "root": self._topics.root, **json.loads(event.payload)}
        body, utc = json.dumps(told).encode(), self._clock.now().utc
        return tuple(NoticeRow(url, utc, body) for url in urls)

    def audit(self, kind: str, facts: Mapping[str, object]) -> AuditRow:
        body = json.dumps(facts, sort_keys=True).encode()
        return AuditRow(self._clock.now().utc, kind, body)


def request_facts(request: Request) -> dict[str, object]:
    """What the audit trail says of a request."""
    return {
        "id": request.id,
        "verb": request.verb.value,
        "model": str(request.model) if request.model else None,
        "by": request.by,
        "reason": request.reason,
        **({"accept": list(request.accept)} if request.accept else {}),
        **({"set": dict(request.changes)} if request.changes else {}),
        **({"reset": True} if request.reset else {}),
    }


# --------------------------------------------------------------------------- a transaction

NOTHING = Entry()


@dataclass
class UnitOfWork:
    """The rows of one step, which become durable together; `entry` makes the transaction."""

    state: bytes | None = None
    accepted: list[RequestRow] = field(default_factory=list)
    outcomes: list[OutcomeRow] = field(default_factory=list)
    outbox: list[OutboxRow] = field(default_factory=list)
    receipts: list[ReceiptRow] = field(default_factory=list)
    audit: list[AuditRow] = field(default_factory=list)
    topics: list[TopicRow] = field(default_factory=list)
    products: list[ProductRow] = field(default_factory=list)
    notices: list[NoticeRow] = field(default_factory=list)
    then: list[Callable[[], None]] = field(default_factory=list)
    """What the outside is told of it, in order."""

    def entry(self, owed: Entry = NOTHING) -> Entry:
        """The rows, after those that the journal could not take before."""
        return Entry(
            owed.state if self.state is None else self.state,
            (*owed.accepted, *self.accepted),
            (*owed.outcomes, *self.outcomes),
            (*owed.outbox, *self.outbox),
            (*owed.receipts, *self.receipts),
            (*owed.audit, *self.audit),
            (*owed.topics, *self.topics),
            (*owed.products, *self.products),
            notices=(*owed.notices, *self.notices),
        )

    def tell(self) -> None:
        """After the commit."""
        for tell in self.then:
            tell()
