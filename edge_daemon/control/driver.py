"""The driver: one thread that feeds the planner and performs what it decides.

Everything that reaches the control room ends in its queue: requests and orders as they arrived,
what came of jobs, the lane's word, trials, time. Each event is one step; what the step changed
is made durable in one transaction, and only then is anything done or told.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from edge_daemon.control.arrivals import (
    Arrival,
    Call,
    LaneCrossed,
    OrderArrived,
    QuarantineOrdered,
    RequestArrived,
    Stop,
)
from edge_daemon.control.desk import Desk
from edge_daemon.control.loader import Loader
from edge_daemon.control.newcomers import Newcomers
from edge_daemon.control.order_desk import OrderDesk
from edge_daemon.control.receipts import Receipts
from edge_daemon.control.trial_watch import TrialWatch
from edge_daemon.control.waiting_room import Orders, WaitingRoom
from edge_daemon.core import selection
from edge_daemon.core.actions import (
    Action,
    Announce,
    AskCutover,
    Free,
    PassOver,
    Prepare,
    Reply,
    Restore,
    Stamp,
    StartTrial,
    StopTrial,
    TakeSnapshot,
    Verify,
    Withdraw,
)
from edge_daemon.core.events import (
    CutoverDone,
    CutoverWithdrawn,
    Event,
    QuarantineChanged,
    RequestReceived,
    SlotLost,
    Started,
    StoreChanged,
    TimePassed,
)
from edge_daemon.core.lifecycle import BUSY, Phase, Stage
from edge_daemon.core.planner import step
from edge_daemon.core.state import Kind, Operation, State
from edge_daemon.core.trial import TrialLimits
from edge_daemon.core.values import Instant, Request
from edge_daemon.errors import Code, SenderError, StateError
from edge_daemon.host.clock import Clock
from edge_daemon.slots.crossing import UNPLANNED, Crossed, Crossing, Cutover, Pointer
from edge_daemon.slots.line import Line

_log = structlog.get_logger(__name__)

TICK_S = 0.25
"""How often time itself is an event, while something waits for it."""

USUAL_S = 5.0
"""How often the window moves that a swap's `before` is measured from."""


def _nothing() -> None:
    """Nobody wants to know."""


@dataclass(frozen=True)
class Rooms:
    """What the driver acts on."""

    desk: Desk
    loader: Loader
    crossing: Crossing
    line: Line
    receipts: Receipts
    clock: Clock
    orders: OrderDesk
    newcomers: Newcomers
    look_again: Callable[[], StoreChanged]
    """Reads the store at once: a bundle may have come a moment before the request for it."""
    take_snapshot: Callable[[Request], None]
    """Makes and publishes a picture in a thread of its own, and posts `SnapshotTaken`."""
    quarantine_changed: Callable[[], None] = _nothing
    """Told after a version was quarantined or freed; what the store offers reads otherwise now."""


class Driver:
    """Owns the planner's state; nobody else steps it."""

    def __init__(self, rooms: Rooms, state: State, trial: TrialLimits) -> None:
        self._rooms = rooms
        self._state = state
        self._trial = TrialWatch(trial, rooms.line, rooms.receipts)
        self._queue = WaitingRoom()
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

    def post(self, arrival: Arrival) -> None:
        """Hand in what happened; returns at once."""
        self._queue.put(arrival)

    def call(self, work: Callable[[], None]) -> None:
        """Have brief work for the desk done between two steps."""
        self._queue.put(Call(work))

    def set_trial_limits(self, limits: TrialLimits) -> None:
        """Judge trials by these from now on; on the driver's own thread, by `call`."""
        self._trial.limits = limits

    def start(self) -> None:
        self._queue.put(Started())
        self._thread.start()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self, timeout_s: float) -> None:
        """End after what is in the queue; what is open will be `interrupted` at the next start."""
        self._queue.put(Stop())
        self._thread.join(timeout_s)

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        try:
            while self._turn():
                pass
        except BaseException as error:  # the thread's end: the daemon must not go on without it
            _log.critical("driver_failed", error=repr(error), exc_info=error)
            self.failure = error

    def _turn(self) -> bool:
        """One arrival, all orders that wait, or one tick."""
        arrival = self._queue.take(TICK_S)
        if arrival is None:
            self._tick()
            return True
        if isinstance(arrival, Stop):
            return False
        if isinstance(arrival, RequestArrived):
            self._request_arrived(arrival)
        elif isinstance(arrival, tuple):
            self._orders_arrived(arrival)
        elif isinstance(arrival, LaneCrossed):
            self._lane_crossed(arrival.crossed)
        elif isinstance(arrival, QuarantineOrdered):
            self._quarantine_ordered(arrival)
        elif isinstance(arrival, Call):
            arrival.work()
        elif not isinstance(arrival, OrderArrived):  # those come together
            self._step(arrival)
        self._look_at_trial()
        return True

    def _tick(self) -> None:
        now = self._rooms.clock.now()
        if now.at - self._usual_at >= USUAL_S:
            self._usual_at = now.at
            self._rooms.receipts.tick()
            self._rooms.desk.settle()
            self._rooms.orders.tick()
        self._look_after_slots()
        state = self._state
        if state.op or state.queued or state.parked or state.retry_at is not None:
            self._step(TimePassed())
        self._look_at_trial()

    def _look_after_slots(self) -> None:
        """A bundle that only stands by is asked nothing: its worker's death is looked for.

        The lane itself finds out about the slot that judges, and about the one that is next.
        """
        op = self._state.op
        next_one = op.slot if op is not None else None
        for slot in self._state.slots:
            stands_by = slot.phase is Phase.READY and slot.name not in (
                self._state.active,
                next_one,
            )
            if stands_by and self._rooms.crossing.slots[slot.name].is_lost:
                self._step(SlotLost(slot.token, "The worker died while it stood by."))

    # ------------------------------------------------------------------ arrivals

    def _request_arrived(self, arrival: RequestArrived) -> None:
        request = self._rooms.desk.read(arrival.verb, arrival.incoming)
        if request is None:  # refused or a repeat: answered already
            return
        self._look_for(request)
        self._step(RequestReceived(request, self._rooms.line.next_frame))

    def _look_for(self, request: Request) -> None:
        """A model, or a newer version of it, may be in the store without being known yet."""
        choice = request.model
        if choice is None:
            return
        is_open = choice.version is None or selection.choose(self._state, choice) is None
        if is_open and self._rooms.newcomers.may_hide(choice, self._state):
            seen = self._rooms.look_again()
            if (seen.available, seen.refused) != (self._state.available, self._state.refused):
                self._step(seen)

    def _orders_arrived(self, arrivals: Orders) -> None:
        """One commit for all of them; each stamps its own frames."""
        try:
            events = self._rooms.orders.read(arrivals)
            if events:
                self._step(*events)
            else:
                self._rooms.desk.flush()
        finally:
            for arrival in arrivals:
                if arrival.is_fenced:
                    self._rooms.line.lift(arrival.incoming.received.at)
        for arrival in arrivals:
            arrival.incoming.done()

    def _lane_crossed(self, crossed: Crossed) -> None:
        op = self._state.op
        crossing = op is not None and op.stage in (Stage.CUTTING, Stage.WITHDRAWING)
        if op is not None and crossing and op.token == crossed.token:
            self._rooms.receipts.crossed(op.swap_id, crossed, self._state.last_bundle)
        self._step(CutoverDone(crossed.token, crossed.frame))

    def _quarantine_ordered(self, order: QuarantineOrdered) -> None:
        """Do as an operator says, put it on record, and answer once it is durable."""
        ref, desk = order.ref, self._rooms.desk
        held_back = self._state.quarantine_reason(ref) is not None
        if order.reason is None and not held_back:
            order.answered(SenderError(f"{ref} is not quarantined.", code=Code.PRECONDITION_FAILED))
            return
        if selection.find(self._state, ref) is None and not held_back:
            self._step(self._rooms.look_again())
            if selection.find(self._state, ref) is None:
                hint = "See: edge-daemon models list"
                order.answered(
                    SenderError(f"{ref} is not in the store.", hint=hint, code=Code.UNKNOWN_MODEL)
                )
                return
        desk.note_quarantine(ref, order.reason, order.by)
        self._step(QuarantineChanged(ref, order.reason))
        order.answered(None if desk.is_saved else _not_saved())

    # ------------------------------------------------------------------ a step

    def _step(self, *events: Event) -> None:
        """Let the planner take them in, one after the other, and make all of it durable at once.

        A request comes alone: it is refused where the journal cannot take it.
        """
        rooms = self._rooms
        now = rooms.clock.now()
        old = new = self._state
        actions: list[Action] = []
        begun: list[str] = []
        for event in events:
            before = new
            new, more = step(before, event, now)
            actions += more
            begun += self._open_receipts(before, new, now)
        try:
            rooms.desk.commit(old, new, actions, now)
        except StateError as error:
            for event in events:
                if isinstance(event, RequestReceived):
                    rooms.receipts.discard(begun)
                    rooms.desk.cannot_accept(event.request, error)
                    return
            rooms.desk.tell_not_saved(error)
        self._state = new
        for action in actions:
            self._perform(action)
        rooms.desk.tell(old, new, actions, now)
        if old.durable.quarantined != new.durable.quarantined:
            rooms.quarantine_changed()
        self._open_line(new)

    def _open_receipts(self, old: State, new: State, now: Instant) -> list[str]:
        ops = [op for op in (new.op, new.queued, new.parked) if op is not None]
        receipts, left = self._rooms.receipts, old.last_bundle
        return [op.swap_id for op in ops if receipts.open(op, now, _by(op, new), left)]

    def _open_line(self, state: State) -> None:
        """Frames count from the first model on, or from when it is clear that there is none."""
        idle = state.op is None and not any(s.phase in BUSY for s in state.slots)
        if state.active is not None:
            self._hopeless = False
        elif idle and not self._hopeless:
            self._hopeless = True
            self._rooms.crossing.ask(Cutover(UNPLANNED, Pointer(expecting=False), ""))
        if not self._line_is_open and (state.active is not None or self._hopeless):
            self._line_is_open = True
            self._rooms.line.open()

    # ------------------------------------------------------------------ actions

    def _perform(self, action: Action) -> None:  # noqa: PLR0912 - the table of actions
        rooms = self._rooms
        if isinstance(action, Prepare):
            rooms.loader.prepare(action)
        elif isinstance(action, Restore):
            rooms.loader.restore(action)
        elif isinstance(action, Verify):
            rooms.loader.verify(action)
        elif isinstance(action, Free):
            rooms.loader.free(action)
        elif isinstance(action, AskCutover):
            rooms.crossing.ask(self._cutover(action))
        elif isinstance(action, Withdraw):
            if rooms.crossing.withdraw(action.token):
                self.post(CutoverWithdrawn(action.token))
        elif isinstance(action, Stamp):
            self._stamp(action)
        elif isinstance(action, PassOver):
            rooms.line.pass_over(action.epoch)
        elif isinstance(action, StartTrial):
            self._trial.start(action)
        elif isinstance(action, StopTrial):
            self._trial.stop()
        elif isinstance(action, TakeSnapshot):
            rooms.take_snapshot(action.request)
        else:
            _told(action)

    def _cutover(self, action: AskCutover) -> Cutover:
        if action.slot is None or action.target is None:
            pointer = Pointer(expecting=action.expecting)
        else:
            dossier = self._rooms.loader.dossiers[action.slot]
            slot = self._rooms.crossing.slots[action.slot]
            pointer = Pointer(slot, action.target, dossier.recipe)
        return Cutover(action.token, pointer, action.swap_id, action.at_epoch, action.at_frame)

    def _stamp(self, action: Stamp) -> None:
        if action.from_frame is not None:
            self._rooms.line.stamp_from(action.assignment, action.from_frame)
        else:
            self._rooms.line.stamp(action.assignment, action.since_at or 0.0)

    # ------------------------------------------------------------------ the trial

    def _look_at_trial(self) -> None:
        judged = self._trial.look(self._rooms.clock.now())
        if judged is not None:
            self._step(judged)


def _told(action: Reply | Announce) -> None:
    """Answers and events were made durable with the step, and are told by the desk."""


def _not_saved() -> StateError:
    return StateError(
        "It counts from now on, but the journal could not be written.",
        hint="Free the disk: without it, a restart forgets this.",
    )


def _by(op: Operation, state: State) -> str:
    request: Request | None = op.request
    if request is not None:
        return request.by
    order = state.durable.job_order
    return f"order {order}" if op.kind is Kind.CHANGEOVER and order else "edge-daemon"
