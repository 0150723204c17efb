"""The driver: one thread that feeds the planner and performs what it decides.

Everything ends in its queue: requests and orders, results of jobs, reports of the lane, trials,
time. Each event is one step. What a step changed is committed in one transaction; only then is
anything done or told.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial

import structlog

from edge_daemon.control.arrivals import (
    Arrival,
    Call,
    Noticed,
    QuarantineOrdered,
    RequestArrived,
    StandbyTookOver,
    Stop,
)
from edge_daemon.control.driver_services import DriverServices
from edge_daemon.control.durable import encode_durable
from edge_daemon.control.mailbox import Mailbox, Orders
from edge_daemon.control.performer import Performer
from edge_daemon.control.receipts import by_whom
from edge_daemon.control.rows import UnitOfWork
from edge_daemon.control.trial_watch import TrialWatch
from edge_daemon.core import selection
from edge_daemon.core.effects import Effect
from edge_daemon.core.events import (
    CutoverDone,
    Event,
    FailedOver,
    QuarantineChanged,
    RequestReceived,
    SlotLost,
    Started,
    StoreChanged,
    TimePassed,
)
from edge_daemon.core.lifecycle import BUSY, Phase, Stage
from edge_daemon.core.planner import step
from edge_daemon.core.records import Record
from edge_daemon.core.rollout.values import Plan as RolloutPlan
from edge_daemon.core.state import State
from edge_daemon.core.trial import TrialLimits
from edge_daemon.core.values import Instant, Refusal, Request
from edge_daemon.core.verbs import Verb
from edge_daemon.errors import Code, SenderError, StateError
from edge_daemon.host.error_boundary import end_of
from edge_daemon.messaging.messages import Incoming
from edge_daemon.slots.active import UNPLANNED, Crossed, Cutover, Pointer

_log = structlog.get_logger(__name__)

TICK_S = 0.25
"""How often time itself is an event, while something waits for it."""

USUAL_S = 5.0
"""How often the window moves from which a swap's `before` is measured."""


class Driver:
    """Owns the planner's state; nothing else steps it."""

    def __init__(
        self, mailbox: Mailbox, services: DriverServices, state: State, trial: TrialLimits
    ) -> None:
        self._mailbox = mailbox
        self._services = services
        self._state = state
        self._trial = TrialWatch(trial, services.line, services.receipts)
        self._performer = Performer(mailbox, services, self._trial)
        self._thread = threading.Thread(target=self._run, name="driver", daemon=True)
        self._usual_at = 0.0
        self._line_is_open = False
        self._hopeless = False
        self.failure: BaseException | None = None

    # ------------------------------------------------------------------ any thread

    @property
    def state(self) -> State:
        """As of the last step; a frozen value."""
        return self._state

    def set_trial_limits(self, limits: TrialLimits) -> None:
        """Use these limits for trials from now on; on the driver's own thread."""
        self._trial.limits = limits

    def start(self) -> None:
        self._mailbox.put(Started())
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End after what is in the queue; what is open will be `interrupted` at the next start."""
        self._mailbox.put(Stop())
        self._thread.join(timeout_s)
        self._services.store_scan.close()

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        def take_turns() -> None:
            while self._turn():
                pass

        self.failure = end_of(take_turns, _log, "driver_failed")

    def _turn(self) -> bool:
        """One arrival, all orders that wait, or one tick."""
        arrival = self._mailbox.take(TICK_S)
        if arrival is None:
            self._tick()
            return True
        if isinstance(arrival, Stop):
            return False
        self._arrived(arrival)
        self._look_at_trial()
        return True

    def _arrived(self, arrival: Arrival | Orders) -> None:
        if isinstance(arrival, tuple):
            self._orders_arrived(arrival)
        elif isinstance(arrival, RequestArrived):
            self._services.store_scan.ask(partial(self._request_arrived, arrival))
        elif isinstance(arrival, Crossed):
            self._lane_crossed(arrival)
        elif isinstance(arrival, StandbyTookOver):
            self._step(FailedOver(self._state.slot(arrival.slot).token, arrival.why))
        elif isinstance(arrival, QuarantineOrdered):
            self._services.store_scan.ask(partial(self._quarantine_ordered, arrival))
        elif isinstance(arrival, Noticed):
            self._services.recorder.note_event(arrival)
        elif isinstance(arrival, Call):
            arrival.work()
        else:
            self._step(arrival)

    def _tick(self) -> None:
        now = self._services.clock.now()
        if now.at - self._usual_at >= USUAL_S:
            self._usual_at = now.at
            self._services.receipts.tick()
            self._services.recorder.settle()
            self._services.orders.tick()
        self._look_after_slots()
        state = self._state
        if state.op or state.queued or state.parked or state.retry_at is not None:
            self._step(TimePassed())
        self._look_at_trial()

    def _look_after_slots(self) -> None:
        """Look for dead workers in slots that only stand by: nothing else would notice.

        The lane itself notices in the slot that judges, and in the one that is next.
        """
        op = self._state.op
        next_one = op.slot if op is not None else None
        for slot in self._state.slots:
            if slot.phase is not Phase.READY or slot.name in (self._state.active, next_one):
                continue
            if self._services.active_slot.slots[slot.name].is_lost:
                self._step(SlotLost(slot.token, "The worker died while it stood by."))

    # ------------------------------------------------------------------ arrivals

    def _request_arrived(self, arrival: RequestArrived) -> None:
        request = self._services.intake.read(arrival.verb, arrival.incoming)
        if request is None:  # refused or a repeat: answered already
            return
        if self._services.store_scan.may_find(request.model, self._state):
            self._services.store_scan.look(partial(self._accept, request, arrival.incoming))
        else:
            self._accept(request, arrival.incoming)

    def _accept(
        self, request: Request, incoming: Incoming, seen: StoreChanged | None = None
    ) -> None:
        self._note(seen)
        received = RequestReceived(request, self._services.line.next_frame)
        active = self._state.active_bundle if request.verb is Verb.TUNE else None
        proof = self._services.loader.proof_of(active) if active is not None else None
        if proof is not None:  # the signed recipe, and what bounds it
            received = replace(
                received, recipe=proof.recipe, golden=proof.golden, limits=proof.limits
            )
        if request.verb is Verb.ROLLOUT:
            received = replace(received, plan=self._plan_of(request))
        self._step(received, incoming=incoming)

    def _plan_of(self, request: Request) -> RolloutPlan | Refusal | None:
        """Within the station's bounds; None for an unknown model."""
        choice = request.model
        target = selection.choose(self._state, choice) if choice is not None else None
        return self._services.plan_of(request.plan, target.ref) if target is not None else None

    def _note(self, seen: StoreChanged | None) -> None:
        known = (self._state.available, self._state.refused)
        if seen is not None and (seen.available, seen.refused) != known:
            self._step(seen)

    def _orders_arrived(self, arrivals: Orders) -> None:
        """One commit for all of them; each stamps its own frames."""
        try:
            events = self._services.orders.read(arrivals)
            if events:
                self._step(*events)
            else:
                self._services.recorder.flush()
        finally:
            fences = [each.incoming.received.at for each in arrivals if each.is_fenced]
            self._services.line.lift(*fences)
        for arrival in arrivals:
            arrival.incoming.done()

    def _lane_crossed(self, crossed: Crossed) -> None:
        op = self._state.op
        is_asked = op is not None and op.stage in (Stage.CUTTING, Stage.WITHDRAWING)
        if op is not None and is_asked and op.token == crossed.token:
            self._services.receipts.crossed(op.swap_id, crossed, self._state.last_bundle)
        self._step(CutoverDone(crossed.token))

    def _quarantine_ordered(self, order: QuarantineOrdered) -> None:
        """Do what an operator decided, record it, and answer once it is durable."""
        ref = order.ref
        held_back = self._state.quarantine_reason(ref) is not None
        if order.reason is None and not held_back:
            order.answered(SenderError(f"{ref} is not quarantined.", code=Code.PRECONDITION_FAILED))
        elif held_back or selection.find(self._state, ref) is not None:
            self._quarantine(order)
        else:
            self._services.store_scan.look(partial(self._quarantine_newcomer, order))

    def _quarantine_newcomer(self, order: QuarantineOrdered, seen: StoreChanged | None) -> None:
        self._note(seen)
        if selection.find(self._state, order.ref) is None:
            why, hint = f"{order.ref} is not in the store.", "See: edge-daemon models list"
            order.answered(SenderError(why, hint=hint, code=Code.UNKNOWN_MODEL))
        else:
            self._quarantine(order)

    def _quarantine(self, order: QuarantineOrdered) -> None:
        recorder = self._services.recorder
        recorder.note_quarantine(order.ref, order.reason, order.by)
        self._step(QuarantineChanged(order.ref, order.reason))
        error = StateError(
            "It takes effect now, but could not be written to the journal.",
            hint="Free space on the disk: until then a restart forgets it.",
        )
        order.answered(None if recorder.is_saved else error)

    # ------------------------------------------------------------------ a step

    def _step(self, *events: Event, incoming: Incoming | None = None) -> None:
        """Pass events to the planner one after the other, and make all of it durable at once.

        A request comes alone, with its `incoming`: it is refused if the journal cannot take it.
        """
        services = self._services
        now = services.clock.now()
        old = new = self._state
        effects: list[Effect] = []
        records: list[Record] = []
        begun: list[str] = []
        for event in events:
            before = new
            new, to_do, to_tell = step(before, event, now)
            effects += to_do
            records += to_tell
            begun += self._open_receipts(before, new, now)
        durable = encode_durable(new.durable) if new.durable != old.durable else None
        unit = services.recorder.unit(records, now, durable, incoming)
        if not self._is_on_record(unit, now, incoming):
            services.receipts.discard(begun)
            return
        self._state = new
        for effect in effects:
            self._performer.perform(effect, new.durable)
        unit.tell()
        if new is not old:
            services.publish(new)
            services.stepped(new, records)
        if old.durable.quarantined != new.durable.quarantined:
            services.quarantine_changed(new)
        self._open_line(new)

    def _is_on_record(self, unit: UnitOfWork, now: Instant, incoming: Incoming | None) -> bool:
        """Whether to go on. A request that could not be recorded counts as never received."""
        services = self._services
        try:
            services.recorder.save(unit, incoming)
        except StateError as error:
            if incoming is not None:
                services.intake.cannot_accept(unit.accepted[-1], incoming, error)
                return False
            services.recorder.tell_not_saved(error, now)
        return True

    def _open_receipts(self, old: State, new: State, now: Instant) -> list[str]:
        receipts, left = self._services.receipts, old.last_bundle
        return [
            op.swap_id for op in new.operations if receipts.open(op, now, by_whom(op, new), left)
        ]

    def _open_line(self, state: State) -> None:
        """Count frames from the first model on, or once it is clear that there is none."""
        idle = state.op is None and not any(s.phase in BUSY for s in state.slots)
        if state.active is not None:
            self._hopeless = False
        elif idle and not self._hopeless:
            self._hopeless = True
            self._services.active_slot.ask(Cutover(UNPLANNED, Pointer(expecting=False), ""))
        if not self._line_is_open and (state.active is not None or self._hopeless):
            self._line_is_open = True
            self._services.line.open()

    # ------------------------------------------------------------------ the trial

    def _look_at_trial(self) -> None:
        judged = self._trial.look(self._services.clock.now())
        if judged is not None:
            self._step(judged)
