"""The desk: what comes in is read and answered once, what is told is durable first.

Requests are checked, matched with what was answered before, and journalled before the broker
hears that we have them. Outcomes and events go out through the journal's outbox.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import msgspec
import structlog

from edge_daemon.control import payloads
from edge_daemon.control.answer import FINAL, Answer, accepted, kept, outcome, progress, refused
from edge_daemon.control.clerk import Clerk, Exchange
from edge_daemon.control.draft import NOTHING, Draft
from edge_daemon.control.inbox import RefusedRequest, has_own_id, read_request
from edge_daemon.control.messages import Incoming, ReplyTo, WaysBack
from edge_daemon.control.payloads import ModelState
from edge_daemon.control.refusals import Told
from edge_daemon.control.repeats import is_repeat, scoped_id, used_id
from edge_daemon.control.storm import Storm
from edge_daemon.control.view import model_state
from edge_daemon.core.actions import Action, Announce, Reply
from edge_daemon.core.event_names import EventName
from edge_daemon.core.state import State
from edge_daemon.core.values import (
    BundleRef,
    Instant,
    JobOrder,
    Refusal,
    Request,
    Status,
)
from edge_daemon.errors import Code, StateError
from edge_daemon.host.journal_orders import ProductRow, TopicRow
from edge_daemon.host.journal_rows import OutboxRow, OutcomeRow, RequestRow

_log = structlog.get_logger(__name__)


class Desk:
    """Only the driver's thread calls it, except `finish_snapshot` and `model_state`."""

    def __init__(self, exchange: Exchange, encode: Callable[[State], bytes]) -> None:
        self._with = exchange
        self._clerk = Clerk(exchange)
        self._encode = encode
        self._open: dict[str, WaysBack] = {}  # of each request that has no outcome yet
        self._arriving: Incoming | None = None
        self._gathered = Draft()  # to be written with the next step
        self._unsaved = Storm()
        self._owed = NOTHING  # has happened, and the journal could not take it yet
        self._last_outcome: dict[str, Answer] = {}  # to be told once they are durable
        self.model_state = ModelState()

    # ------------------------------------------------------------------ in

    def read(self, verb: str, incoming: Incoming) -> Request | None:
        """The request, or None when it was answered here: refused, or one that is known."""
        if incoming.retained and not incoming.payload:  # somebody clears a retained request
            incoming.done()
            return None
        try:
            request = read_request(verb, incoming, uuid.uuid4().hex, self._with.journal.newest_utc)
        except RefusedRequest as error:
            self._refuse(verb, incoming, error)
            return None
        self._arriving = incoming
        try:
            row = self._with.journal.find_request(request.id)
            return request if row is None else self._known(row, request, incoming)
        except StateError as error:
            self.cannot_accept(request, error)
            return None

    def _known(self, row: RequestRow, request: Request, incoming: Incoming) -> Request | None:
        """Answer a repeat with the first outcome; None. Another sender's request goes on."""
        if not is_repeat(row, request, incoming):
            if not has_own_id(incoming):
                return self._under_another_id(request, incoming)
            self._arriving = None
            self._refuse(request.verb.value, incoming, used_id(request))
            return None
        answer = kept(request.id, row.outcome) if row.outcome else accepted(request.id)
        self._arriving = None
        _log.info("request_repeated", request_id=request.id, verb=row.verb)
        self._respond(row.verb, answer, incoming.ways_back)
        if request.id in self._open:
            self._open[request.id].add(incoming.reply)
        incoming.done()
        return None

    def _under_another_id(self, request: Request, incoming: Incoming) -> Request | None:
        """Somebody else used the same Correlation Data, or the same sender long ago."""
        scoped = replace(request, id=scoped_id(request, incoming))
        if scoped.id == request.id:
            return replace(request, id=uuid.uuid4().hex)
        row = self._with.journal.find_request(scoped.id)
        return scoped if row is None else self._known(row, scoped, incoming)

    def _refuse(self, verb: str, incoming: Incoming, error: RefusedRequest) -> None:
        _log.warning(
            "request_refused",
            verb=verb,
            request_id=error.request_id,
            error_code=error.code.value,
            error=error.message,
        )
        self._with.metrics.swap(Status.REJECTED.value, error.code.value)
        self._respond(verb, refused(error.request_id, error), incoming.ways_back)
        incoming.done()

    def _respond(self, verb: str, answer: Answer, ways: WaysBack) -> None:
        """To `response/<verb>` always, and on these ways."""
        self._with.carrier.respond(verb, answer.body, ways.reply_to)
        ways.tell(answer)

    def cannot_accept(self, request: Request, error: StateError) -> None:
        """What cannot be journalled is not accepted, and not kept by the broker either."""
        incoming, self._arriving = self._arriving, None
        self._open.pop(request.id, None)
        self._last_outcome.pop(request.id, None)
        ways = incoming.ways_back if incoming else WaysBack()
        self._respond(request.verb.value, refused(request.id, error), ways)
        if incoming is not None:
            incoming.done()

    def refuse_order(self, told: Told) -> None:
        """An order that cannot be read changes nothing, and is told."""
        message = told.error if told.count else f"{told.topic}: {told.error}"
        name, code = EventName.ORDER_REFUSED, Code.MALFORMED
        self._note(Draft(outbox=[self._clerk.event(name, code=code, message=message)]))

    def note_event(
        self,
        event: EventName,
        *,
        message: str,
        reason: str | None = None,
        model: BundleRef | None = None,
    ) -> None:
        """Something that the box noticed of itself, for `model/event`; `reason`: its frames'."""
        which = str(model) if model else None
        row = self._clerk.event(event, reason=reason, model=which, message=message)
        self._note(Draft(outbox=[row]))

    def note_order(self, order: JobOrder, told: ProductRow | None) -> None:
        """Every order is on record, also one whose word means nothing here; with the next step."""
        body = {"order": order.id, "product": order.product, "word": order.word}
        self._gathered.audit.append(self._clerk.audit("order", body))
        if told is not None:
            self._gathered.products.append(told)

    def note_topic(self, row: TopicRow | None) -> None:
        """What came by a topic of orders is remembered with the next step."""
        if row is not None:
            self._gathered.topics.append(row)

    def flush(self) -> None:
        """Write what was noted, where no step follows."""
        self._note(Draft())

    def note_quarantine(self, ref: BundleRef, reason: str | None, by: str) -> None:
        """Who changed by hand what may become active; the event beside it says what changed."""
        kind = "unquarantine" if reason is None else "quarantine"
        body = {"model": str(ref), "by": by, "reason": reason}
        self._note(Draft(audit=[self._clerk.audit(kind, body)]))

    def note_settings(self, facts: Mapping[str, object]) -> None:
        """The settings that count from now on, by their digest: at each start and reload."""
        self._note(Draft(audit=[self._clerk.audit("settings", facts)]))

    def note_removal(self, ref: BundleRef, facts: Mapping[str, object]) -> None:
        """A bundle was taken out of the store, for want of room."""
        body = {"model": str(ref), "by": "quota", **facts}
        self._note(Draft(audit=[self._clerk.audit("removal", body)]))

    @property
    def is_saved(self) -> bool:
        """Whether all that has happened is in the journal."""
        return self._owed == NOTHING

    def interrupt_open(self) -> None:
        """At the start: what was accepted before and has no outcome was interrupted.

        A disk that takes no write now must not keep the line from running: it is told later.
        """
        for row in self._with.journal.open_requests():
            reply_to = ReplyTo.from_json(row.reply_to.decode())
            answer = outcome(row.id, Status.INTERRUPTED)
            outbox = self._clerk.answer_rows(row.verb, answer, reply_to)
            ended = OutcomeRow(row.id, Status.INTERRUPTED.value, answer.body, row.swap_id)
            audit = self._clerk.audit("outcome", {"id": row.id, "status": "interrupted"})
            self._note(Draft(outcomes=[ended], outbox=[*outbox], audit=[audit]))
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
                self._clerk.announce(action, now, draft)
            elif isinstance(action, Reply) and action.status is Status.ACCEPTED:
                self._accept(action, now, draft)
                draft.audit.append(self._clerk.audit("request", _request_facts(action.request)))
                if action.request.id in at_once:  # two ways to the broker could overtake each other
                    draft.outbox.extend(self._accepted_rows(action.request))
            elif isinstance(action, Reply) and action.status in FINAL:
                if action.status is Status.REJECTED and action.request.id not in self._open:
                    self._accept(action, now, draft)
                ways = self._open.get(action.request.id, WaysBack())
                ended = self._clerk.conclude(action, ways.reply_to, draft)
                self._last_outcome[action.request.id] = ended
        self._save(draft)

    def settle(self) -> None:
        """Try once more to write what the journal could not take."""
        if not self.is_saved:
            self._note(Draft())

    def _save(self, draft: Draft) -> None:
        before = self._gathered.after(self._owed)
        entry = draft.after(before)
        self._gathered = Draft()
        if entry == NOTHING:
            return
        try:
            self._with.journal.commit(entry)
        except StateError:
            self._owed = before if draft.accepted else entry
            raise
        self._owed = NOTHING
        self._acknowledge(draft.accepted)
        if entry.outbox:
            self._with.wake_outbox()

    def _note(self, draft: Draft) -> None:
        try:
            self._save(draft)
        except StateError as error:
            self.tell_not_saved(error)

    def tell_not_saved(self, error: StateError) -> None:
        """The journal took nothing: each step of a full disk finds out again."""
        count = self._unsaved.comes(self._with.clock.now().at)
        if count is not None:
            _log.error("state_not_saved", error=error.message, hint=error.hint, count=count)

    def _acknowledge(self, accepted: list[RequestRow]) -> None:
        if accepted and self._arriving is not None:
            self._arriving.done()
            self._arriving = None

    def _accept(self, action: Reply, now: Instant, draft: Draft) -> None:
        ways = self._arriving.ways_back if self._arriving else WaysBack()
        self._open[action.request.id] = ways
        self._clerk.accept(action, ways.reply_to, now, draft)

    def _accepted_rows(self, request: Request) -> tuple[OutboxRow, ...]:
        ways = self._open[request.id]
        return self._clerk.answer_rows(request.verb.value, accepted(request.id), ways.reply_to)

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
            self.publish_state(new)

    def _answer(self, action: Reply, now: Instant, *, at_once: bool = False) -> None:
        request = action.request
        verb = request.verb.value
        log = _log.bind(request_id=request.id, swap_id=action.swap_id, verb=verb)
        ways = self._open.get(request.id, WaysBack())
        if action.status is Status.ACCEPTED:
            if at_once:  # the outbox tells the broker
                ways.tell(accepted(request.id))
            else:
                self._respond(verb, accepted(request.id), ways)
            log.info("request_accepted", model=str(request.model or ""), by=request.by)
        elif action.status is Status.PROGRESS:
            elapsed_ms = self._with.receipts.elapsed_ms(action.swap_id, now)
            self._respond(verb, progress(request.id, action.stage, elapsed_ms), ways)
            log.info("request_progress", stage=action.stage)
        else:
            refusal = action.refusal
            self._open.pop(request.id, None)
            ways.tell(self._last_outcome.pop(request.id))
            self._with.metrics.swap(action.status.value, refusal.code.value if refusal else "")
            log.info(
                "request_ended",
                status=action.status.value,
                error_code=refusal.code.value if refusal else None,
                error=refusal.message if refusal else None,
            )

    def _log_event(self, action: Announce) -> None:
        log = _log.bind(swap_id=action.swap_id or None)
        model = str(action.model) if action.model else None
        receipt = self._with.receipts.get(action.swap_id)
        if action.event is EventName.SWAPPED and receipt is not None:
            log.info(
                action.event.value,
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
            code = action.code.value if action.code else None
            log.info(action.event.value, model=model, error_code=code, why=action.reason)

    def publish_state(self, state: State) -> None:
        """The retained `model/state`, when it says something new."""
        shown = model_state(state)
        if shown != self.model_state:
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
            self.tell_not_saved(error)
        self._answer(reply, now)


def _ended_at_once(actions: Iterable[Action]) -> set[str]:
    """Requests whose outcome is in the same step as their acceptance."""
    replies = [action for action in actions if isinstance(action, Reply)]
    accepted = {reply.request.id for reply in replies if reply.status is Status.ACCEPTED}
    return accepted & {reply.request.id for reply in replies if reply.status in FINAL}


def _request_facts(request: Request) -> dict[str, object]:
    return {
        "id": request.id,
        "verb": request.verb.value,
        "model": str(request.model) if request.model else None,
        "by": request.by,
        "reason": request.reason,
        **({"accept": list(request.accept)} if request.accept else {}),
    }
