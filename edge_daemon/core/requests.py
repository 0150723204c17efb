"""What each verb of ops does to the state."""

from __future__ import annotations

from edge_daemon.core import health, orders, pursuit
from edge_daemon.core.admission import admit
from edge_daemon.core.effects import TakeSnapshot
from edge_daemon.core.event_names import EventName
from edge_daemon.core.events import RequestReceived, SnapshotTaken
from edge_daemon.core.records import Announce, Reply
from edge_daemon.core.state import Kind, Operation
from edge_daemon.core.turn import Turn
from edge_daemon.core.values import Refusal, Request, Status, Verb
from edge_daemon.errors import Code

_KINDS = {
    Verb.PREPARE: Kind.PREPARE,
    Verb.SWAP: Kind.SWAP,
    Verb.ROLLBACK: Kind.ROLLBACK,
}


def received(turn: Turn, event: RequestReceived) -> None:
    """Accept or reject at once; what is accepted gets exactly one outcome later."""
    request = event.request
    if request.verb in _KINDS:
        answer = admit(turn.state, request, turn.now, event.next_frame)
        if isinstance(answer, Refusal):
            _reject(turn, request, answer)
            return
        op = turn.operation(_KINDS[request.verb], answer, request, request.at)
        turn.record(Reply(request, Status.ACCEPTED, op.swap_id))
        turn.record(Announce(EventName.REQUESTED, op.swap_id, answer.ref, reason=request.reason))
        pursuit.take_place(turn, op)
        return
    refusal = _refusal(turn, request)
    if refusal is not None:
        _reject(turn, request, refusal)
        return
    turn.record(Reply(request, Status.ACCEPTED))
    if request.verb is Verb.SNAPSHOT:
        turn.act(TakeSnapshot(request))
        return
    if request.verb is Verb.CONFIRM:
        health.confirm(turn, f"confirmed by {request.by or 'an operator'}")
    else:
        _hold(turn, held=request.verb is Verb.HOLD)
    turn.record(Reply(request, Status.SUCCEEDED))


def snapshot_taken(turn: Turn, event: SnapshotTaken) -> None:
    """The outcome of a snapshot: the picture was published, or could not be made."""
    status = event.refusal.status if event.refusal else Status.SUCCEEDED
    turn.record(Reply(event.request, status, refusal=event.refusal))


def _refusal(turn: Turn, request: Request) -> Refusal | None:
    if request.expires_utc is not None and request.expires_utc <= turn.now.utc:
        hint = "Check both clocks and send it anew."
        return Refusal(Code.EXPIRED, "The request came after its expiry.", hint)
    if request.verb is Verb.CONFIRM and turn.state.durable.trial is None:
        message = "No version is on trial."
        return Refusal(Code.PRECONDITION_FAILED, message, "Read model/state: active.trial.")
    return None


def _reject(turn: Turn, request: Request, refusal: Refusal) -> None:
    turn.record(Reply(request, Status.REJECTED, refusal=refusal))


def _hold(turn: Turn, *, held: bool) -> None:
    waiting = turn.state.durable.held_orders
    if held == turn.state.durable.held:
        return
    turn.remember(held=held, held_orders=())
    turn.record(Announce(EventName.HELD if held else EventName.RELEASED))
    for order in () if held else waiting:
        orders.apply(turn, order)


def start(turn: Turn, op: Operation) -> None:
    """Begin an operation that waited, if it may still be done."""
    assert op.request is not None
    answer = admit(turn.state, op.request, turn.now)
    if isinstance(answer, Refusal):
        turn.finish(op, Status.REJECTED, answer)
        return
    turn.set(op=op)
