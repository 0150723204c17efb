"""What is asked of a rollout: that one begins, that it enters its next stage, or that it ends."""

from __future__ import annotations

from dataclasses import replace

from edge_daemon.core import candidates
from edge_daemon.core.admission import admit
from edge_daemon.core.effects import MakeForecast
from edge_daemon.core.event_names import EventName
from edge_daemon.core.events import ForecastMade, RequestReceived
from edge_daemon.core.records import Announce, Reply
from edge_daemon.core.rollout.plan import digest
from edge_daemon.core.rollout.values import Plan
from edge_daemon.core.state import Rollout, State
from edge_daemon.core.step_draft import StepDraft
from edge_daemon.core.values import Refusal, Request, Status, StoredBundle
from edge_daemon.core.verbs import Verb
from edge_daemon.errors import Code


def asked(draft: StepDraft, event: RequestReceived) -> None:
    """A rollout, the next stage of one, or its end."""
    request = event.request
    if request.verb is Verb.ROLLOUT:
        _begin(draft, event)
        return
    rollout = draft.durable.rollout
    refusal = _unfit(draft, rollout, request)
    if rollout is None or refusal is not None:
        assert refusal is not None
        draft.record(Reply(request, Status.REJECTED, refusal=refusal))
        return
    by = f" by {request.by}" if request.by else ""
    why = f": {request.reason}" if request.reason else ""
    draft.record(Reply(request, Status.ACCEPTED))
    if request.verb is Verb.ADVANCE:
        candidates.enter_next(draft, rollout, f"Advanced{by}{why}")
    else:
        candidates.end(draft, rollout, Status.SUPERSEDED, f"Aborted{by}{why}")
    draft.record(Reply(request, Status.SUCCEEDED))


def _begin(draft: StepDraft, event: RequestReceived) -> None:
    request, state = event.request, draft.state
    target = admit(state, request)
    refusal = target if isinstance(target, Refusal) else _no_place(state, target)
    if refusal is None and isinstance(event.plan, Refusal):
        refusal = event.plan
    if refusal is not None or not isinstance(event.plan, Plan):
        draft.record(Reply(request, Status.REJECTED, refusal=refusal or NO_PLAN))
        return
    assert isinstance(target, StoredBundle)
    reference = state.active_bundle
    assert reference is not None
    if request.dry_run:
        draft.record(Reply(request, Status.ACCEPTED))
        draft.act(MakeForecast(request, event.plan))
        return
    if state.durable.rollout is not None:
        why = f"A rollout of {target.ref} begins."
        candidates.end(draft, state.durable.rollout, Status.SUPERSEDED, why)
    skipped = draft.state.skipped - {target.ref}
    draft.state = replace(draft.state, swaps=state.swaps + 1, skipped=skipped)
    rollout = Rollout(
        f"{state.boot}-{draft.state.swaps}",
        target,
        reference,
        event.plan,
        digest(event.plan),
        request.id,
        request.by,
        request.reason,
        draft.now.utc,
        stage_utc=draft.now.utc,
    )
    draft.durable = replace(draft.durable, rollout=rollout)
    draft.record(Reply(request, Status.ACCEPTED, rollout.id, rollout=rollout.id))
    draft.record(
        Announce(EventName.REQUESTED, model=target.ref, reason=request.reason, rollout=rollout.id)
    )


def foretold(draft: StepDraft, event: ForecastMade) -> None:
    """The outcome of a dry run."""
    status = event.refusal.status if event.refusal else Status.SUCCEEDED
    told = None if event.refusal else event.forecast
    draft.record(Reply(event.request, status, refusal=event.refusal, forecast=told))


NO_PLAN = Refusal(
    Code.INVALID_PLAN, "The rollout has no plan.", "Send one, or leave `plan` out for the usual."
)


def _no_place(state: State, target: StoredBundle) -> Refusal | None:
    """Why this box cannot try it now."""
    rollout, active = state.durable.rollout, state.active_bundle
    if len(state.slots) < 2:
        message = "A rollout needs two slots, and this station has one."
        return Refusal(
            Code.PRECONDITION_FAILED, message, "Set slots.count to 2, or ask for a swap."
        )
    if rollout is not None and not rollout.is_back:
        message = f"{rollout.candidate.ref} is rolled out already, as {rollout.id}."
        return Refusal(Code.PRECONDITION_FAILED, message, "Wait for its end, or abort it.")
    if active is None or state.unfit:
        message = "No good model judges now, so there is nothing to compare a candidate with."
        return Refusal(Code.PRECONDITION_FAILED, message, "Ask again when one does.")
    if active == target:
        message = f"{target.ref} is active already."
        return Refusal(Code.PRECONDITION_FAILED, message, "Name another version of it.")
    if active.ref.name != target.ref.name:
        message = f"{active.ref} is active; {target.ref} judges other parts than that."
        hint = f"A rollout compares two versions of one name: ask when {target.ref.name} is active."
        return Refusal(Code.PRECONDITION_FAILED, message, hint)
    return None


def _unfit(draft: StepDraft, rollout: Rollout | None, request: Request) -> Refusal | None:
    """Why the rollout cannot be advanced or aborted now."""
    if rollout is None or request.rollout not in ("", rollout.id):
        message = "No rollout runs." if rollout is None else f"{rollout.id} is the one that runs."
        hint = "Read rollout/state; edge-daemon rollouts list shows those that are over."
        return Refusal(Code.PRECONDITION_FAILED, message, hint)
    if rollout.is_full:
        message = f"{rollout.candidate.ref} becomes the active model already."
        return Refusal(Code.PRECONDITION_FAILED, message, "Use confirm or rollback.")
    if request.verb is Verb.ABORT:
        return None
    if draft.state.split is None:
        message = f"{rollout.candidate.ref} does not judge beside the line now."
        return Refusal(Code.PRECONDITION_FAILED, message, "Ask again when it does.")
    if rollout.stage + 1 == len(rollout.plan.stages):
        message = f"{candidates.word(rollout.now)} is the last stage of its plan."
        return Refusal(Code.PRECONDITION_FAILED, message, "Abort it, or ask for a swap.")
    return None


def overtaken(draft: StepDraft, target: StoredBundle, request: Request) -> None:
    """Somebody asks for a version of the same name by hand: the rollout is over."""
    rollout = draft.durable.rollout
    if rollout is not None and rollout.candidate.ref.name == target.ref.name:
        candidates.end(
            draft, rollout, Status.SUPERSEDED, f"A {request.verb.value} to {target.ref} came."
        )
