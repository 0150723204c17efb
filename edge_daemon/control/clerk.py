"""The clerk: puts what a step brings about into the rows that the journal keeps.

Answers, events, receipts and the audit trail are worded here; the desk decides when.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from edge_daemon.control import payloads
from edge_daemon.control.answer import Answer, outcome
from edge_daemon.control.draft import Draft
from edge_daemon.control.messages import Carrier, ReplyTo
from edge_daemon.control.outbox import response_rows
from edge_daemon.control.payloads import Event as EventMessage
from edge_daemon.control.payloads import iso_utc
from edge_daemon.control.receipts import Receipts, encoded
from edge_daemon.control.repeats import encode
from edge_daemon.control.topics import Topics
from edge_daemon.core.actions import Announce, Reply
from edge_daemon.core.event_names import EventName
from edge_daemon.core.values import Instant, Request, Status
from edge_daemon.host.audit import AuditRow
from edge_daemon.host.clock import Clock
from edge_daemon.host.journal import Journal, OutboxRow, OutcomeRow, ReceiptRow, RequestRow
from edge_daemon.host.metrics import Metrics

_WITH_RECEIPT = frozenset(
    {EventName.SWAPPED, EventName.ROLLED_BACK, EventName.CONFIRMED, EventName.TRIAL_FAILED}
)


@dataclass(frozen=True)
class Exchange:
    """Whom the desk deals with."""

    boot: str
    topics: Topics
    journal: Journal
    carrier: Carrier
    receipts: Receipts
    metrics: Metrics
    clock: Clock
    wake_outbox: Callable[[], None]
    take_snapshot: Callable[[Request], None]
    """Makes the picture in a thread of its own and answers through `finish_snapshot`."""


class Clerk:
    """Only the desk asks it, on the driver's thread."""

    def __init__(self, exchange: Exchange) -> None:
        self._with = exchange

    # ------------------------------------------------------------------ requests

    def accept(self, action: Reply, reply_to: ReplyTo, now: Instant, draft: Draft) -> None:
        """The request, as it is kept before anybody hears that we have it."""
        request = action.request
        draft.accepted.append(
            RequestRow(
                id=request.id,
                verb=request.verb.value,
                received_utc=now.utc,
                reply_to=reply_to.to_json().encode(),
                body=encode(request),
                swap_id=action.swap_id or None,
            )
        )

    def conclude(self, action: Reply, reply_to: ReplyTo | None, draft: Draft) -> Answer:
        """The outcome, for the sender, for a repeat of the request, and for the audit trail."""
        request, status = action.request, action.status
        receipt = self._with.receipts.finished(action.swap_id) if action.swap_id else None
        answer = outcome(
            request.id,
            status,
            receipt=receipt if status is Status.SUCCEEDED else None,
            refusal=action.refusal,
        )
        row = OutcomeRow(request.id, status.value, answer.body, action.swap_id or None)
        draft.outcomes.append(row)
        draft.outbox.extend(self.answer_rows(request.verb.value, answer, reply_to))
        facts = {"id": request.id, "status": status.value, "code": answer.code}
        draft.audit.append(self.audit("outcome", {**facts, "swap": action.swap_id}))
        return answer

    def answer_rows(
        self, verb: str, answer: Answer, reply_to: ReplyTo | None
    ) -> tuple[OutboxRow, ...]:
        """The answer to `response/<verb>`, and to the sender's own address."""
        return tuple(
            OutboxRow(topic, answer.body, properties=properties, is_outcome=True)
            for topic, properties in response_rows(self._with.topics, verb, reply_to)
        )

    # ------------------------------------------------------------------ events

    def announce(self, action: Announce, now: Instant, draft: Draft) -> None:
        """What happened, with its receipt where it has one."""
        receipt = None
        if action.event in _WITH_RECEIPT:
            receipt = self._with.receipts.get(action.swap_id)
        if action.event in (EventName.CONFIRMED, EventName.TRIAL_FAILED):
            good = action.event is EventName.CONFIRMED
            verdict = action.event.value if good else action.reason
            receipt = self._with.receipts.trial_ended(action.swap_id, verdict) or receipt
        body = encoded(receipt) if receipt is not None else None
        if body is not None:
            draft.receipts.append(ReceiptRow(action.swap_id, now.utc, body))
        event = self.event(
            action.event,
            swap_id=action.swap_id or None,
            model=str(action.model) if action.model else None,
            frame=receipt.cutover_frame if receipt else None,
            from_=receipt.from_ if receipt else None,
            code=action.code,
            message=action.reason or None,
            receipt=receipt,
        )
        draft.outbox.append(event)
        facts: dict[str, object] = {
            "event": action.event.value,
            "model": str(action.model) if action.model else None,
            "swap": action.swap_id,
            "code": action.code.value if action.code else "",
            "reason": action.reason,
        }
        checks = payloads.check_lines(action.checks)
        if action.event is EventName.PREPARED:
            checks = self._with.receipts.checks(action.swap_id)
        if checks:
            facts["checks"] = msgspec.to_builtins(checks)
        if body is not None:  # the chain of the trail covers the proof as well
            facts["receipt_sha256"] = hashlib.sha256(body).hexdigest()
        draft.audit.append(self.audit("event", facts))

    def event(self, kind: EventName, **fields: object) -> OutboxRow:
        """One message for `model/event`; `fields` are those of `payloads.Event`."""
        time = iso_utc(self._with.clock.now().utc)
        event = EventMessage(type=kind, time=time, boot=self._with.boot, **fields)  # type: ignore[arg-type]
        return OutboxRow(self._with.topics.model_event, payloads.encode(event))

    def audit(self, kind: str, facts: Mapping[str, object]) -> AuditRow:
        """One record of the audit trail."""
        body = json.dumps(facts, sort_keys=True).encode()
        return AuditRow(self._with.clock.now().utc, kind, body)
