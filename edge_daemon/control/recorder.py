"""Records what has happened first, and tells it afterwards.

The records of a step become one unit of work: rows for one transaction, and what is told once that
is on the disk. Outcomes and events go out through the journal's outbox.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping

import msgspec
import structlog

from edge_daemon.control.arrivals import Noticed
from edge_daemon.control.receipts import Receipts
from edge_daemon.control.refusals import LogThrottle, RefusalReport
from edge_daemon.control.rows import NOTHING, Rows, UnitOfWork, request_facts
from edge_daemon.core.event_names import WITH_RECEIPT, EventName
from edge_daemon.core.job_orders import JobOrder
from edge_daemon.core.records import Announce, Record, Reply
from edge_daemon.core.values import BundleRef, Instant, Status
from edge_daemon.errors import Code, StateError
from edge_daemon.host.journal import Journal
from edge_daemon.host.journal_orders import ProductRow, TopicRow
from edge_daemon.host.journal_rows import OutcomeRow, ReceiptRow
from edge_daemon.host.metrics import Metrics
from edge_daemon.messaging import payloads
from edge_daemon.messaging.answer import FINAL, TakeAnswer, accepted, outcome, progress
from edge_daemon.messaging.messages import Carrier, Incoming, ReplyRoutes, ReplyTo, respond
from edge_daemon.messaging.payloads import Receipt

_log = structlog.get_logger(__name__)


class Recorder:
    """Only the driver's thread calls it.

    Args:
        rows: words what the journal keeps.
        carrier: the broker's session, for answers that are not kept.
        receipts: the proofs that go with events and outcomes.
        wake_outbox: called where there is something to send.
    """

    def __init__(
        self,
        journal: Journal,
        rows: Rows,
        carrier: Carrier,
        receipts: Receipts,
        metrics: Metrics,
        wake_outbox: Callable[[], None],
    ) -> None:
        self._journal = journal
        self._rows = rows
        self._carrier = carrier
        self._receipts = receipts
        self._metrics = metrics
        self._wake_outbox = wake_outbox
        self._open: dict[str, ReplyRoutes] = {}  # of each request that has no outcome yet
        self._gathered = UnitOfWork()  # to be written with the next step
        self._owed = NOTHING  # has happened, and the journal could not take it yet
        self._unsaved = LogThrottle()

    # ------------------------------------------------------------------ a step

    def unit(
        self,
        records: Iterable[Record],
        now: Instant,
        state: bytes | None = None,
        incoming: Incoming | None = None,
    ) -> UnitOfWork:
        """The unit of work of one step.

        `state`: the durable one where it changed; `incoming`: the request that the step is about.
        """
        records = tuple(records)
        unit = UnitOfWork(state)
        at_once = _ended_at_once(records)
        for record in records:
            if isinstance(record, Announce):
                self._announce(unit, record, now)
            elif record.status is Status.ACCEPTED:
                self._accept(unit, record, now, incoming)
                self._tell_accepted(unit, record, ends_at_once=record.request.id in at_once)
            elif record.status is Status.PROGRESS:
                self._tell_progress(unit, record, now)
            else:
                if record.status is Status.REJECTED and record.request.id not in self._open:
                    self._keep(unit, record, now, incoming)
                self._conclude(unit, record)
        return unit

    def save(self, unit: UnitOfWork, incoming: Incoming | None = None) -> None:
        """Make it durable in one transaction, with what was noted and what is owed.

        `incoming` is acknowledged with the request that the unit accepts. Raises StateError: then a
        request is not accepted; anything else has happened all the same and is kept for the next
        time.
        """
        before = self._gathered.entry(self._owed)
        entry = unit.entry(before)
        self._gathered = UnitOfWork()
        if entry == NOTHING:
            return
        try:
            self._journal.commit(entry)
        except StateError:
            self._owed = before if unit.accepted else entry
            raise
        self._owed = NOTHING
        if unit.accepted and incoming is not None:
            incoming.done()
        if entry.outbox:
            self._wake_outbox()

    @property
    def is_saved(self) -> bool:
        """Whether everything that happened is in the journal."""
        return self._owed == NOTHING

    def settle(self) -> None:
        """Try again to write what the journal could not take."""
        if not self.is_saved:
            self.flush()

    def flush(self) -> None:
        """Write what was noted, if no step follows."""
        self._note(UnitOfWork())

    def tell_not_saved(self, error: StateError, now: Instant) -> None:
        """Report that the journal took nothing; called at each step of a full disk."""
        count = self._unsaved.comes(now.at)
        if count is not None:
            _log.error("state_not_saved", error=error.message, hint=error.hint, count=count)

    # ------------------------------------------------------------------ requests

    def wait_too(self, request_id: str, reply: TakeAnswer) -> None:
        """The same request came again; this sender gets the outcome too."""
        if request_id in self._open:
            self._open[request_id].add(reply)

    def forget(self, request_id: str) -> None:
        """This request was not accepted after all."""
        self._open.pop(request_id, None)

    def _keep(
        self, unit: UnitOfWork, reply: Reply, now: Instant, incoming: Incoming | None
    ) -> None:
        """The request's row; a repeat is answered by it."""
        ways = self._open[reply.request.id] = incoming.ways_back if incoming else ReplyRoutes()
        unit.accepted.append(self._rows.request(reply, ways.reply_to, now))

    def _accept(
        self, unit: UnitOfWork, reply: Reply, now: Instant, incoming: Incoming | None
    ) -> None:
        self._keep(unit, reply, now, incoming)
        unit.audit.append(self._rows.audit("request", request_facts(reply.request)))

    def _tell_accepted(self, unit: UnitOfWork, reply: Reply, *, ends_at_once: bool) -> None:
        request, answer = reply.request, accepted(reply.request.id, reply.rollout)
        verb, ways = request.verb.value, self._open[request.id]

        def tell() -> None:
            if ends_at_once:  # the outbox tells the broker
                ways.tell(answer)
            else:
                respond(self._carrier, verb, answer, ways)
            log = _log.bind(request_id=request.id, swap_id=reply.swap_id, verb=verb)
            log.info("request_accepted", model=str(request.model or ""), by=request.by)

        if ends_at_once:  # two ways to the broker could overtake each other
            unit.outbox += self._rows.answers(verb, answer, ways.reply_to)
        unit.then.append(tell)

    def _tell_progress(self, unit: UnitOfWork, reply: Reply, now: Instant) -> None:
        request, elapsed_ms = reply.request, self._receipts.elapsed_ms(reply.swap_id, now)
        answer = progress(request.id, reply.stage, elapsed_ms, reply.rollout)

        def tell() -> None:
            verb = request.verb.value
            respond(self._carrier, verb, answer, self._open.get(request.id, ReplyRoutes()))
            log = _log.bind(request_id=request.id, swap_id=reply.swap_id, verb=verb)
            log.info("request_progress", stage=reply.stage)

        unit.then.append(tell)

    def _conclude(self, unit: UnitOfWork, reply: Reply) -> None:
        """Record the outcome: for the sender, for repeats, and for the audit trail."""
        request, status, refusal = reply.request, reply.status, reply.refusal
        receipt = self._receipts.finished(reply.swap_id) if reply.swap_id else None
        answer = outcome(
            request.id,
            status,
            receipt=receipt if status is Status.SUCCEEDED else None,
            refusal=refusal,
            rollout=reply.rollout,
            forecast=reply.forecast,
        )
        verb, ways = request.verb.value, self._open.get(request.id, ReplyRoutes())
        unit.outcomes.append(self._rows.outcome(reply, answer))
        unit.outbox += self._rows.answers(verb, answer, ways.reply_to)
        facts: dict[str, object] = {"id": request.id, "status": status.value, "code": answer.code}
        if refusal is not None:  # one that is refused at once has no row of its own
            facts = {**request_facts(request), "reason": refusal.message, **facts}
        unit.audit.append(self._rows.audit("outcome", {**facts, "swap": reply.swap_id}))

        def tell() -> None:
            self._open.pop(request.id, None)
            ways.tell(answer)
            self._metrics.swap(status.value, answer.code)
            _log.bind(request_id=request.id, swap_id=reply.swap_id, verb=verb).info(
                "request_ended",
                status=status.value,
                error_code=answer.code or None,
                error=refusal.message if refusal else None,
            )

        unit.then.append(tell)

    def interrupt_open(self, going_on: str | None) -> None:
        """At the start: mark as interrupted what was accepted before and has no outcome.

        `going_on`: the request of a rollout, which a restart does not end; its sender is answered
        where it asked. A full disk must not stop the line: then it is recorded later.
        """
        for row in self._journal.open_requests():
            reply_to = ReplyTo.from_json(row.reply_to)
            if row.id == going_on:
                self._open[row.id] = ReplyRoutes(reply_to)
                continue
            answer = outcome(row.id, Status.INTERRUPTED)
            ended = OutcomeRow(row.id, Status.INTERRUPTED.value, answer.body, row.swap_id)
            audit = self._rows.audit("outcome", {"id": row.id, "status": "interrupted"})
            outbox = self._rows.answers(row.verb, answer, reply_to)
            self._note(UnitOfWork(outcomes=[ended], outbox=[*outbox], audit=[audit]))
            _log.warning("request_interrupted", request_id=row.id, verb=row.verb)

    # ------------------------------------------------------------------ events

    def _announce(self, unit: UnitOfWork, record: Announce, now: Instant) -> None:
        """Record an event, with its receipt if it has one."""
        receipt = self._receipt_of(record)
        body = payloads.encode(receipt) if receipt is not None else None
        if body is not None:
            unit.receipts.append(ReceiptRow(record.swap_id, now.utc, body))
        model = str(record.model) if record.model else None
        event = self._rows.event(
            record.event,
            swap_id=record.swap_id or None,
            model=model,
            frame=receipt.cutover_frame if receipt else None,
            from_=receipt.from_ if receipt else None,
            code=record.code,
            message=record.reason or None,
            receipt=receipt,
            rollout=record.rollout or None,
        )
        unit.outbox.append(event)
        unit.notices += self._rows.notices(record.notify, event)
        facts: dict[str, object] = {
            "event": record.event.value,
            "model": model,
            "swap": record.swap_id,
            "code": record.code.value if record.code else "",
            "reason": record.reason,
            **({"rollout": record.rollout} if record.rollout else {}),
        }
        checks = payloads.check_lines(record.checks)
        if record.event is EventName.PREPARED:
            checks = self._receipts.checks(record.swap_id)
        if checks:
            facts["checks"] = msgspec.to_builtins(checks)
        if body is not None:  # the chain of the trail covers the proof as well
            facts["receipt_sha256"] = hashlib.sha256(body).hexdigest()
        unit.audit.append(self._rows.audit("event", facts))
        unit.then.append(lambda: self._log_event(record, receipt))

    def _receipt_of(self, record: Announce) -> Receipt | None:
        if record.event not in WITH_RECEIPT:
            return None
        receipt = self._receipts.get(record.swap_id)
        if record.event is EventName.CONFIRMED:
            return self._receipts.trial_ended(record.swap_id, record.event.value) or receipt
        if record.event is EventName.TRIAL_FAILED:
            return self._receipts.trial_ended(record.swap_id, record.reason) or receipt
        return receipt

    def _log_event(self, record: Announce, receipt: Receipt | None) -> None:
        log = _log.bind(swap_id=record.swap_id or None)
        if record.event is EventName.SWAPPED and receipt is not None:
            log.info(
                record.event.value,
                model=receipt.to,
                left=receipt.from_,
                frame=receipt.cutover_frame,
                pause_ms=receipt.pause_ms,
                stages_ms=msgspec.to_builtins(receipt.stages_ms),
                by=receipt.by,
            )
            self._metrics.pause((receipt.pause_ms or 0.0) / 1e3)
            for stage, took_ms in msgspec.structs.asdict(receipt.stages_ms).items():
                if took_ms is not None:
                    self._metrics.stage(stage, took_ms / 1e3)
        else:
            model = str(record.model) if record.model else None
            code = record.code.value if record.code else None
            log.info(record.event.value, model=model, error_code=code, why=record.reason)

    # ------------------------------------------------------------------ notes

    def refuse_order(self, told: RefusalReport) -> None:
        """An unreadable order changes nothing, and is reported."""
        name, code = EventName.ORDER_REFUSED, Code.MALFORMED
        self._note(UnitOfWork(outbox=[self._rows.event(name, code=code, message=told.message)]))

    def note_event(self, noticed: Noticed) -> None:
        """Record something that the box noticed by itself, for `model/event`."""
        row = self._rows.event(
            noticed.event,
            reason=noticed.reason,
            model=str(noticed.model) if noticed.model else None,
            message=noticed.message,
            rollout=noticed.rollout or None,
        )
        notices = self._rows.notices(noticed.notify, row)
        self._note(UnitOfWork(outbox=[row], notices=[*notices]))

    def note_order(self, order: JobOrder, told: ProductRow | None) -> None:
        """Record every order, also one whose status means nothing here; with the next step."""
        body = {"order": order.id, "product": order.product, "word": order.word}
        self._gathered.audit.append(self._rows.audit("order", body))
        if told is not None:
            self._gathered.products.append(told)

    def note_topic(self, row: TopicRow | None) -> None:
        """Remember what came by a topic of orders; with the next step."""
        if row is not None:
            self._gathered.topics.append(row)

    def note_quarantine(self, ref: BundleRef, reason: str | None, by: str) -> None:
        """Record who changed a quarantine by hand; the event beside it says what changed."""
        kind = "unquarantine" if reason is None else "quarantine"
        self._audit(kind, {"model": str(ref), "by": by, "reason": reason})

    def note_settings(self, facts: Mapping[str, object]) -> None:
        """Record the digest of the settings that apply from now on: at each start and reload."""
        self._audit("settings", facts)

    def note_removal(self, ref: BundleRef, facts: Mapping[str, object]) -> None:
        """Record that a bundle was deleted from the store for lack of room."""
        self._audit("removal", {"model": str(ref), "by": "quota", **facts})

    def _audit(self, kind: str, facts: Mapping[str, object]) -> None:
        self._note(UnitOfWork(audit=[self._rows.audit(kind, facts)]))

    def _note(self, unit: UnitOfWork) -> None:
        try:
            self.save(unit)
        except StateError as error:
            self.tell_not_saved(error, self._rows.now())


def _ended_at_once(records: Iterable[Record]) -> set[str]:
    """Requests that are accepted and finished in the same step."""
    replies = [record for record in records if isinstance(record, Reply)]
    accepted = {reply.request.id for reply in replies if reply.status is Status.ACCEPTED}
    return accepted & {reply.request.id for reply in replies if reply.status in FINAL}
