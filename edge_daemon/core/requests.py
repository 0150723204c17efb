"""What each verb does to the state."""

from __future__ import annotations

from dataclasses import replace

from edge_daemon.core import health, operations, orders, rollout_requests, tuning
from edge_daemon.core.admission import CAME_LATE, admit
from edge_daemon.core.effects import ApplyTuning, TakeSnapshot
from edge_daemon.core.event_names import EventName
from edge_daemon.core.events import RequestReceived, SnapshotTaken
from edge_daemon.core.lifecycle import Step
from edge_daemon.core.records import Announce, Reply
from edge_daemon.core.state import Kind, Operation
from edge_daemon.core.step_draft import StepDraft
from edge_daemon.core.values import Refusal, Request, Status
from edge_daemon.core.verbs import Verb, unlisted
from edge_daemon.errors import Code


def received(draft: StepDraft, event: RequestReceived) -> None:  # noqa: PLR0912 - the table
    """Accept or reject at once; what is accepted gets exactly one outcome later."""
    if event.request.is_expired(draft.now):
        _reject(draft, event.request, CAME_LATE)
        return
    match event.request.verb:
        case Verb.PREPARE:
            _change_model(draft, event, Kind.PREPARE)
        case Verb.SWAP:
            _change_model(draft, event, Kind.SWAP)
        case Verb.ROLLBACK:
            _change_model(draft, event, Kind.ROLLBACK)
        case Verb.CONFIRM:
            _confirm(draft, event.request)
        case Verb.HOLD:
            _hold(draft, event.request, held=True)
        case Verb.RELEASE:
            _hold(draft, event.request, held=False)
        case Verb.SNAPSHOT:
            draft.record(Reply(event.request, Status.ACCEPTED))
            draft.act(TakeSnapshot(event.request))
        case Verb.TRIGGER:
            _reject(draft, event.request, NO_TRIGGERS)
        case Verb.TUNE:
            _tune(draft, event)
        case Verb.ROLLOUT | Verb.ADVANCE | Verb.ABORT:
            rollout_requests.asked(draft, event)
        case Verb.FEEDBACK:
            _reject(draft, event.request, NO_FEEDBACK)
        case verb:
            unlisted(verb)


# Where triggers open parts, or parts are kept, other handlers answer, and none of these comes here.
NO_TRIGGERS = Refusal(
    Code.PRECONDITION_FAILED,
    "On this station no trigger opens a part.",
    "Set parts.by: trigger in the settings, and restart the daemon.",
)
NO_FEEDBACK = Refusal(
    Code.PRECONDITION_FAILED,
    "On this station no parts are kept, so nothing can be said of them.",
    "Add parts to the settings, and restart the daemon.",
)


def _change_model(draft: StepDraft, event: RequestReceived, kind: Kind) -> None:
    request = event.request
    answer = admit(draft.state, request, event.next_frame)
    if isinstance(answer, Refusal):
        _reject(draft, request, answer)
        return
    op = draft.operation(kind, answer, request, request.at)
    draft.record(Reply(request, Status.ACCEPTED, op.swap_id))
    draft.record(Announce(EventName.REQUESTED, op.swap_id, answer.ref, reason=request.reason))
    if kind is not Kind.PREPARE and not request.dry_run:
        rollout_requests.overtaken(draft, answer, request)
    operations.take_place(draft, op)


def _confirm(draft: StepDraft, request: Request) -> None:
    if draft.durable.trial is None or draft.state.active is None:
        hint = "Read model/state: active.trial."
        _reject(draft, request, Refusal(Code.PRECONDITION_FAILED, "No version is on trial.", hint))
        return
    draft.record(Reply(request, Status.ACCEPTED))
    health.confirm(draft, f"confirmed by {request.by or 'an operator'}")
    draft.record(Reply(request, Status.SUCCEEDED))


def _hold(draft: StepDraft, request: Request, *, held: bool) -> None:
    draft.record(Reply(request, Status.ACCEPTED))
    waiting = draft.durable.held_orders
    if held != draft.durable.held:
        draft.durable = replace(draft.durable, held=held, held_orders=())
        draft.record(Announce(EventName.HELD if held else EventName.RELEASED))
        for order in () if held else waiting:
            orders.apply(draft, order)
    draft.record(Reply(request, Status.SUCCEEDED))


def _tune(draft: StepDraft, event: RequestReceived) -> None:
    request = event.request
    wanted = tuning.asked(draft.state, event, draft.now)
    if isinstance(wanted, Refusal):
        _reject(draft, request, wanted)
        return
    draft.record(Reply(request, Status.ACCEPTED))
    held = tuning.of(draft.durable, wanted.target)
    before = held.changes if held is not None else ()
    if wanted.changes != before:
        assert event.recipe is not None
        draft.durable = tuning.put(draft.durable, wanted)
        said = tuning.told(dict(before), wanted, event.recipe)
        draft.record(Announce(EventName.TUNED, model=wanted.target.ref, reason=said))
        draft.act(ApplyTuning(wanted.target))
    draft.record(Reply(request, Status.SUCCEEDED))


def snapshot_taken(draft: StepDraft, event: SnapshotTaken) -> None:
    """The outcome of a snapshot: the picture was published, or could not be made."""
    status = event.refusal.status if event.refusal else Status.SUCCEEDED
    draft.record(Reply(event.request, status, refusal=event.refusal))


def _reject(draft: StepDraft, request: Request, refusal: Refusal) -> None:
    draft.record(Reply(request, Status.REJECTED, refusal=refusal))


def start(draft: StepDraft, op: Operation) -> None:
    """Begin an operation that waited, if it is still allowed."""
    assert op.request is not None
    answer = admit(draft.state, op.request)
    if isinstance(answer, Refusal):
        draft.finish(op, Status.REJECTED, answer)
    else:
        draft.advance(op, Step.BEGIN)
