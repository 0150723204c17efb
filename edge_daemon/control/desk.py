"""The desk: what comes in is read and answered once, what is told is durable first.

Requests are checked, matched with what was answered before, and journalled before the broker
hears that we have them. Outcomes and events go out through the journal's outbox.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import msgspec
import structlog

from edge_daemon.control import payloads
from edge_daemon.control.draft import NOTHING, Draft
from edge_daemon.control.inbox import RefusedRequest, read_request
from edge_daemon.control.messages import Carrier, Incoming, ReplyTo
from edge_daemon.control.outbox import response_rows
from edge_daemon.control.payloads import Event as EventMessage
from edge_daemon.control.payloads import ModelState, iso_utc
from edge_daemon.control.receipts import Receipts, encoded
from edge_daemon.control.topics import Topics
from edge_daemon.control.view import View
from edge_daemon.core.actions import Action, Announce, Reply
from edge_daemon.core.state import Operation, State
from edge_daemon.core.values import (
    BundleRef,
    Instant,
    JobOrder,
    Known,
    Refusal,
    Request,
    Status,
)
from edge_daemon.errors import SenderError, StateError
from edge_daemon.host.audit import AuditRow
from edge_daemon.host.clock import Clock
from edge_daemon.host.journal import (
    Entry,
    Journal,
    OutboxRow,
    OutcomeRow,
    ReceiptRow,
    RequestRow,
)
from edge_daemon.host.metrics import Metrics

_log = structlog.get_logger(__name__)

_FINAL = frozenset(Status) - {Status.ACCEPTED, Status.PROGRESS}
_WITH_RECEIPT = frozenset({"swapped", "rolled_back", "confirmed", "trial_failed"})


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
    deliver: Callable[[str, bytes], None]
    """Tells the local socket an answer too, by the request's id."""
    take_snapshot: Callable[[Request], None]
    """Makes the picture in a thread of its own and answers through `finish_snapshot`."""


class Desk:
    """Only the driver's thread calls it, except `finish_snapshot` and `model_state`."""

    def __init__(self, exchange: Exchange, encode: Callable[[State], bytes]) -> None:
        self._with = exchange
        self._encode = encode
        self._view = View()
        self._open: dict[str, ReplyTo] = {}  # where each open request wants its answers
        self._arriving: Incoming | None = None
        self._owed = NOTHING  # has happened, and the journal could not take it yet
        self._last_outcome: dict[str, bytes] = {}  # to be told once they are durable
        self.model_state = ModelState()

    # ------------------------------------------------------------------ in

    def read(self, verb: str, incoming: Incoming) -> Request | None:
        """The request, or None when it was answered here: refused, or one that is known."""
        if incoming.retained and not incoming.payload:  # somebody clears a retained request
            incoming.done()
            return None
        try:
            request = read_request(verb, incoming, uuid.uuid4().hex)
        except RefusedRequest as error:
            self._refuse(verb, incoming, error)
            return None
        self._arriving = incoming
        try:
            row = self._with.journal.find_request(request.id)
        except StateError as error:
            self.cannot_accept(request, error)
            return None
        if row is None:
            return request
        self._arriving = None
        _log.info("request_repeated", request_id=request.id, verb=verb)
        answer = row.outcome or payloads.accepted(request.id)
        self._respond(row.verb, request.id, answer, incoming.reply_to)
        incoming.done()
        return None

    def _refuse(self, verb: str, incoming: Incoming, error: RefusedRequest) -> None:
        refusal = Refusal(str(error.code), error.message, error.hint)
        _log.warning(
            "request_refused",
            verb=verb,
            request_id=error.request_id,
            error_code=refusal.code,
            error=error.message,
        )
        self._with.metrics.swap(Status.REJECTED.value, refusal.code)
        body = payloads.outcome(error.request_id, Status.REJECTED, refusal=refusal)
        self._respond(verb, error.request_id, body, incoming.reply_to)
        incoming.done()

    def _respond(self, verb: str, request_id: str, body: bytes, reply_to: ReplyTo | None) -> None:
        self._with.carrier.respond(verb, body, reply_to)
        self._with.deliver(request_id, body)

    def cannot_accept(self, request: Request, error: StateError) -> None:
        """What cannot be journalled is not accepted, and not kept by the broker either."""
        refusal = Refusal(str(error.code), error.message, error.hint, blames_box=True)
        body = payloads.outcome(request.id, Status.FAILED, refusal=refusal)
        incoming, self._arriving = self._arriving, None
        self._open.pop(request.id, None)
        reply_to = incoming.reply_to if incoming else None
        self._respond(request.verb.value, request.id, body, reply_to)
        if incoming is not None:
            incoming.done()

    def refuse_order(self, topic: str, error: SenderError) -> None:
        """An order that cannot be read changes nothing, and is told."""
        event = self._event("order_refused", code=str(error.code), message=f"{topic}: {error}")
        self._note(Draft(outbox=[self._row(event)]))

    def note_order(self, order: JobOrder) -> None:
        """Every order is on record, also one whose word means nothing here."""
        body = {"order": order.id, "product": order.product, "word": order.word}
        self._note(Draft(audit=[self._audit("order", body)]))

    def note_quarantine(self, ref: BundleRef, reason: str | None, by: str) -> None:
        """Who changed by hand what may become active; the event beside it says what changed."""
        kind = "unquarantine" if reason is None else "quarantine"
        body = {"model": str(ref), "by": by, "reason": reason}
        self._note(Draft(audit=[self._audit(kind, body)]))

    def note_removal(self, ref: BundleRef, facts: Mapping[str, object]) -> None:
        """A bundle was taken out of the store, for want of room."""
        body = {"model": str(ref), "by": "quota", **facts}
        self._note(Draft(audit=[self._audit("removal", body)]))

    @property
    def is_saved(self) -> bool:
        """Whether all that has happened is in the journal."""
        return self._owed == NOTHING

    def interrupt_open(self) -> None:
        """At the start: what was accepted before and has no outcome was interrupted."""
        for row in self._with.journal.open_requests():
            reply_to = ReplyTo.from_json(row.reply_to.decode())
            body = payloads.outcome(row.id, Status.INTERRUPTED)
            outbox = self._answer_rows(row.verb, body, reply_to)
            outcome = OutcomeRow(row.id, Status.INTERRUPTED.value, body, row.swap_id)
            audit = self._audit("outcome", {"id": row.id, "status": "interrupted"})
            self._with.journal.commit(Entry(outcomes=(outcome,), outbox=outbox, audit=(audit,)))
            _log.warning("request_interrupted", request_id=row.id, verb=row.verb)

    # ------------------------------------------------------------------ durable

    def commit(self, old: State, new: State, actions: Iterable[Action], now: Instant) -> None:
        """Everything that this step must not lose, in one transaction.

        Raises StateError. A request is not accepted then; anything else has happened all the
        same, and is kept for the next commit.
        """
        draft = Draft(self._encode(new) if old.durable != new.durable else None)
        at_once = _ended_at_once(actions)
        for action in actions:
            if isinstance(action, Announce):
                self._announce(action, now, draft)
            elif isinstance(action, Reply) and action.status is Status.ACCEPTED:
                draft.accepted.append(self._accept(action, now))
                draft.audit.append(self._audit("request", _request_facts(action.request)))
                if action.request.id in at_once:  # two ways to the broker could overtake each other
                    draft.outbox.extend(self._accepted_rows(action.request))
            elif isinstance(action, Reply) and action.status in _FINAL:
                if action.status is Status.REJECTED and action.request.id not in self._open:
                    draft.accepted.append(self._accept(action, now))
                self._conclude(action, draft)
        self._save(draft)

    def settle(self) -> None:
        """Try once more to write what the journal could not take."""
        if not self.is_saved:
            self._note(Draft())

    def _save(self, draft: Draft) -> None:
        entry = draft.after(self._owed)
        if entry == NOTHING:
            return
        try:
            self._with.journal.commit(entry)
        except StateError:
            if not draft.accepted:
                self._owed = entry
            raise
        self._owed = NOTHING
        self._acknowledge(draft.accepted)
        if entry.outbox:
            self._with.wake_outbox()

    def _note(self, draft: Draft) -> None:
        try:
            self._save(draft)
        except StateError as error:
            _log.error("state_not_saved", error=error.message, hint=error.hint)

    def _acknowledge(self, accepted: list[RequestRow]) -> None:
        if accepted and self._arriving is not None:
            self._arriving.done()
            self._arriving = None

    def _accept(self, action: Reply, now: Instant) -> RequestRow:
        request = action.request
        reply_to = self._arriving.reply_to if self._arriving else ReplyTo()
        self._open[request.id] = reply_to
        return RequestRow(
            id=request.id,
            verb=request.verb.value,
            received_utc=now.utc,
            reply_to=reply_to.to_json().encode(),
            body=msgspec.json.encode(request),
            swap_id=action.swap_id or None,
        )

    def _conclude(self, action: Reply, draft: Draft) -> None:
        request, status = action.request, action.status
        receipt = self._with.receipts.finished(action.swap_id) if action.swap_id else None
        body = payloads.outcome(
            request.id,
            status,
            receipt=receipt if status is Status.SUCCEEDED else None,
            refusal=action.refusal,
        )
        self._last_outcome[request.id] = body
        draft.outcomes.append(OutcomeRow(request.id, status.value, body, action.swap_id or None))
        reply_to = self._open.get(request.id)
        draft.outbox.extend(self._answer_rows(request.verb.value, body, reply_to))
        code = str(action.refusal.code) if action.refusal else ""
        facts = {"id": request.id, "status": status.value, "code": code, "swap": action.swap_id}
        draft.audit.append(self._audit("outcome", facts))

    def _answer_rows(
        self, verb: str, body: bytes, reply_to: ReplyTo | None
    ) -> tuple[OutboxRow, ...]:
        """The answer to `response/<verb>`, and to the sender's own address."""
        return tuple(
            OutboxRow(topic, body, properties=properties, is_outcome=True)
            for topic, properties in response_rows(self._with.topics, verb, reply_to)
        )

    def _accepted_rows(self, request: Request) -> tuple[OutboxRow, ...]:
        body = payloads.accepted(request.id)
        return self._answer_rows(request.verb.value, body, self._open.get(request.id))

    def _announce(self, action: Announce, now: Instant, draft: Draft) -> None:
        receipt = None
        if action.event in _WITH_RECEIPT:
            receipt = self._with.receipts.get(action.swap_id)
        if action.event in ("confirmed", "trial_failed"):
            verdict = action.event if action.event == "confirmed" else action.reason
            receipt = self._with.receipts.trial_ended(action.swap_id, verdict) or receipt
        if receipt is not None:
            draft.receipts.append(ReceiptRow(action.swap_id, now.utc, encoded(receipt)))
        event = self._event(
            action.event,
            swap_id=action.swap_id or None,
            model=str(action.model) if action.model else None,
            frame=receipt.cutover_frame if receipt else None,
            from_=receipt.from_ if receipt else None,
            code=action.code or None,
            message=action.reason or None,
            receipt=receipt,
        )
        draft.outbox.append(self._row(event))
        facts = {
            "event": action.event,
            "model": str(action.model) if action.model else None,
            "swap": action.swap_id,
            "code": action.code,
            "reason": action.reason,
        }
        draft.audit.append(self._audit("event", facts))

    def _event(self, kind: str, **fields: object) -> EventMessage:
        time = iso_utc(self._with.clock.now().utc)
        return EventMessage(type=kind, time=time, boot=self._with.boot, **fields)  # type: ignore[arg-type]

    def _row(self, event: EventMessage) -> OutboxRow:
        return OutboxRow(self._with.topics.model_event, payloads.encode(event))

    def _audit(self, kind: str, facts: Mapping[str, object]) -> AuditRow:
        body = json.dumps(facts, sort_keys=True).encode()
        return AuditRow(self._with.clock.now().utc, kind, body)

    # ------------------------------------------------------------------ out

    def tell(self, old: State, new: State, actions: Iterable[Action], now: Instant) -> None:
        """Answers on the way, the log's lines, metrics, and the retained state if it changed."""
        at_once = _ended_at_once(actions)
        for action in actions:
            if isinstance(action, Reply):
                self._answer(action, now, at_once=action.request.id in at_once)
            elif isinstance(action, Announce):
                self._log_event(action)
        if old is not new:
            self.publish_state(new, now)

    def _answer(self, action: Reply, now: Instant, *, at_once: bool = False) -> None:
        request = action.request
        verb = request.verb.value
        log = _log.bind(request_id=request.id, swap_id=action.swap_id, verb=verb)
        reply_to = self._open.get(request.id)
        if action.status is Status.ACCEPTED:
            body = payloads.accepted(request.id)
            if at_once:  # the outbox tells the broker
                self._with.deliver(request.id, body)
            else:
                self._respond(verb, request.id, body, reply_to)
            log.info("request_accepted", model=str(request.model or ""), by=request.by)
        elif action.status is Status.PROGRESS:
            elapsed_ms = self._with.receipts.elapsed_ms(action.swap_id, now)
            body = payloads.progress(request.id, action.stage, elapsed_ms)
            self._respond(verb, request.id, body, reply_to)
            log.info("request_progress", stage=action.stage)
        else:
            refusal = action.refusal
            self._open.pop(request.id, None)
            self._with.deliver(request.id, self._last_outcome.pop(request.id, b""))
            self._with.metrics.swap(action.status.value, str(refusal.code) if refusal else "")
            log.info(
                "request_ended",
                status=action.status.value,
                error_code=str(refusal.code) if refusal else None,
                error=refusal.message if refusal else None,
            )

    def _log_event(self, action: Announce) -> None:
        log = _log.bind(swap_id=action.swap_id or None)
        model = str(action.model) if action.model else None
        receipt = self._with.receipts.get(action.swap_id)
        if action.event == "swapped" and receipt is not None:
            log.info(
                "swapped",
                model=receipt.to,
                left=receipt.from_,
                frame=receipt.cutover_frame,
                pause_ms=receipt.pause_ms,
                stages_ms=msgspec.to_builtins(receipt.stages_ms),
                by=receipt.by,
            )
            self._with.metrics.pause((receipt.pause_ms or 0.0) / 1e3)
            for stage, took_ms in msgspec.structs.asdict(receipt.stages_ms).items():
                if took_ms is not None:
                    self._with.metrics.stage(stage, took_ms / 1e3)
        else:
            log.info(action.event, model=model, error_code=action.code or None, why=action.reason)

    def swapped(self, op: Operation, left: Known | None) -> None:
        """The lane crossed for this operation."""
        self._view.swapped(op.swap_id, left)

    def publish_state(self, state: State, now: Instant, *, always: bool = False) -> None:
        """The retained `model/state`, when it says something new."""
        shown = self._view.model_state(state, now)
        if shown != self.model_state or always:
            self.model_state = shown
            body = payloads.encode(shown)
            self._with.carrier.publish(self._with.topics.model_state, body, qos=1, retain=True)

    # ------------------------------------------------------------------ snapshots

    def snapshot(self, request: Request) -> None:
        """Accept at once; the picture is made elsewhere."""
        reply = Reply(request, Status.ACCEPTED)
        now = self._with.clock.now()
        state = State("", ())
        try:
            self.commit(state, state, (reply,), now)
        except StateError as error:
            self.cannot_accept(request, error)
            return
        self._answer(reply, now)
        self._with.take_snapshot(request)

    def finish_snapshot(self, request: Request, refusal: Refusal | None) -> None:
        """The outcome of a snapshot, once the picture was published or could not be made."""
        status = refusal.status if refusal else Status.SUCCEEDED
        reply = Reply(request, status, refusal=refusal)
        now = self._with.clock.now()
        state = State("", ())
        try:
            self.commit(state, state, (reply,), now)
        except StateError as error:
            _log.error("state_not_saved", error=error.message, hint=error.hint)
        self._answer(reply, now)


def _ended_at_once(actions: Iterable[Action]) -> set[str]:
    """Requests whose outcome is in the same step as their acceptance."""
    replies = [action for action in actions if isinstance(action, Reply)]
    accepted = {reply.request.id for reply in replies if reply.status is Status.ACCEPTED}
    return accepted & {reply.request.id for reply in replies if reply.status in _FINAL}


def _request_facts(request: Request) -> dict[str, object]:
    return {
        "id": request.id,
        "verb": request.verb.value,
        "model": str(request.model) if request.model else None,
        "by": request.by,
        "reason": request.reason,
    }
