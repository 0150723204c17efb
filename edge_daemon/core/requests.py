"""What each verb of ops does to the state."""

from __future__ import annotations

from dataclasses import replace

from edge_daemon.core import health, orders, pursuit, tuning
from edge_daemon.core.admission import admit
from edge_daemon.core.effects import Retune, TakeSnapshot
from edge_daemon.core.event_names import EventName
from edge_daemon.core.events import RequestReceived, SnapshotTaken
from edge_daemon.core.lifecycle import Step
from edge_daemon.core.records import Announce, Reply
from edge_daemon.core.state import Kind, Operation
from edge_daemon.core.turn import Turn
from edge_daemon.core.values import Refusal, Request, Status
from edge_daemon.core.verbs import Verb, unlisted
from edge_daemon.errors import Code


def received(turn: Turn, event: RequestReceived) -> None:
    """Accept or reject at once; what is accepted gets exactly one outcome later."""
    match event.request.verb:
        case Verb.PREPARE:
            _change_model(turn, event, Kind.PREPARE)
        case Verb.SWAP:
            _change_model(turn, event, Kind.SWAP)
        case Verb.ROLLBACK:
            _change_model(turn, event, Kind.ROLLBACK)
        case Verb.CONFIRM:
            _confirm(turn, event.request)
        case Verb.HOLD:
            _hold(turn, event.request, held=True)
        case Verb.RELEASE:
            _hold(turn, event.request, held=False)
        case Verb.SNAPSHOT:
            _snapshot(turn, event.request)
        case Verb.TRIGGER:
            _reject(turn, event.request, NO_TRIGGERS)
        case Verb.TUNE:
            _tune(turn, event)
        case verb:
            unlisted(verb)


NO_TRIGGERS = Refusal(
    Code.PRECONDITION_FAILED,
    "On this station no trigger opens a part.",
    "Set parts.by: trigger in the settings, and restart the daemon.",
)
"""Where triggers do, the parts answer them, and none comes here."""


def _change_model(turn: Turn, event: RequestReceived, kind: Kind) -> None:
    request = event.request
    answer = admit(turn.state, request, turn.now, event.next_frame)
    if isinstance(answer, Refusal):
        _reject(turn, request, answer)
        return
    op = turn.operation(kind, answer, request, request.at)
    turn.record(Reply(request, Status.ACCEPTED, op.swap_id))
    turn.record(Announce(EventName.REQUESTED, op.swap_id, answer.ref, reason=request.reason))
    pursuit.take_place(turn, op)


def _confirm(turn: Turn, request: Request) -> None:
    if _came_late(turn, request):
        return
    if turn.durable.trial is None:
        hint = "Read model/state: active.trial."
        _reject(turn, request, Refusal(Code.PRECONDITION_FAILED, "No version is on trial.", hint))
        return
    turn.record(Reply(request, Status.ACCEPTED))
    health.confirm(turn, f"confirmed by {request.by or 'an operator'}")
    turn.record(Reply(request, Status.SUCCEEDED))


def _hold(turn: Turn, request: Request, *, held: bool) -> None:
    if _came_late(turn, request):
        return
    turn.record(Reply(request, Status.ACCEPTED))
    waiting = turn.durable.held_orders
    if held != turn.durable.held:
        turn.durable = replace(turn.durable, held=held, held_orders=())
        turn.record(Announce(EventName.HELD if held else EventName.RELEASED))
        for order in () if held else waiting:
            orders.apply(turn, order)
    turn.record(Reply(request, Status.SUCCEEDED))


def _snapshot(turn: Turn, request: Request) -> None:
    if not _came_late(turn, request):
        turn.record(Reply(request, Status.ACCEPTED))
        turn.act(TakeSnapshot(request))


def _tune(turn: Turn, event: RequestReceived) -> None:
    request, signed = event.request, event.recipe
    if _came_late(turn, request):
        return
    wanted = tuning.asked(turn.state, request, signed, turn.now)
    if isinstance(wanted, Refusal) or signed is None:
        assert isinstance(wanted, Refusal)
        _reject(turn, request, wanted)
        return
    turn.record(Reply(request, Status.ACCEPTED))
    held = tuning.of(turn.durable, wanted.target)
    before = held.changes if held is not None else ()
    if wanted.changes != before:
        turn.durable = tuning.put(turn.durable, wanted)
        said = tuning.told(dict(before), wanted, signed)
        turn.record(Announce(EventName.TUNED, model=wanted.target.ref, reason=said))
        turn.act(Retune(wanted.target))
    turn.record(Reply(request, Status.SUCCEEDED))


def snapshot_taken(turn: Turn, event: SnapshotTaken) -> None:
    """The outcome of a snapshot: the picture was published, or could not be made."""
    status = event.refusal.status if event.refusal else Status.SUCCEEDED
    turn.record(Reply(event.request, status, refusal=event.refusal))


def _came_late(turn: Turn, request: Request) -> bool:
    """Whether it came after its expiry; it is rejected then."""
    if request.expires_utc is None or request.expires_utc > turn.now.utc:
        return False
    hint = "Check both clocks and send it anew."
    _reject(turn, request, Refusal(Code.EXPIRED, "The request came after its expiry.", hint))
    return True


def _reject(turn: Turn, request: Request, refusal: Refusal) -> None:
    turn.record(Reply(request, Status.REJECTED, refusal=refusal))


def start(turn: Turn, op: Operation) -> None:
    """Begin an operation that waited, if it may still be done."""
    assert op.request is not None
    answer = admit(turn.state, op.request, turn.now)
    if isinstance(answer, Refusal):
        turn.finish(op, Status.REJECTED, answer)
        return
    turn.advance(op, Step.BEGIN)
