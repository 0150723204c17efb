"""How one operation proceeds: find or prepare its bundle, then ask the lane for the cutover.

Each function looks at the slots as they are and asks for at most one next thing; the answer
comes back as an event and leads here again.
"""

from __future__ import annotations

from dataclasses import replace

from edge_daemon.core import candidates, selection
from edge_daemon.core.admission import quarantined
from edge_daemon.core.effects import AskCutover, Prepare, Stamp, Verify, Withdraw
from edge_daemon.core.lifecycle import WITH_LANE, Move, Phase, Stage, Step
from edge_daemon.core.state import Kind, Operation, SlotState
from edge_daemon.core.step_draft import StepDraft
from edge_daemon.core.values import (
    Assignment,
    AtFrame,
    AtNextOrder,
    AtNow,
    AtTime,
    BundleRef,
    Refusal,
    Status,
    StoredBundle,
)
from edge_daemon.core.verdicts import ACCEPTABLE
from edge_daemon.errors import Code


def pursue(draft: StepDraft, op: Operation) -> None:
    """Do the next thing for the current operation; nothing while an answer is awaited."""
    if op.stage is not Stage.PREPARING:
        return
    slot = selection.resident(draft.state, op.target)
    if slot is not None:
        _use(draft, op, slot)
    elif not _is_preparing(draft, op.target):
        _make_room(draft, op)


def _is_preparing(draft: StepDraft, target: StoredBundle) -> bool:
    """Whether a job for it is under way; one for another bundle is cancelled."""
    for slot in draft.state.slots:
        if slot.phase is Phase.RESTORING and slot.bundle == target:
            return True
        if slot.phase is Phase.LOST and slot.bundle == target:
            return slot.name == draft.state.active
        if slot.phase is Phase.PREPARING:
            if slot.bundle == target:
                return True
            draft.ended(slot.bundle)
            draft.free(slot, Move.CANCEL)
    return False


def _make_room(draft: StepDraft, op: Operation) -> None:
    state = draft.state
    empty = next((s for s in state.slots if s.phase is Phase.EMPTY), None)
    if empty is not None:
        token = draft.new_token()
        draft.move(replace(empty, bundle=op.target, token=token), Move.PREPARE)
        draft.amend(replace(op, slot=empty.name))
        draft.begin(op)
        draft.act(_prepare(draft, op, token, empty.name))
    elif any(s.phase is Phase.DRAINING for s in state.slots):
        return
    elif (op.kind.is_asked or op.kind.can_wait) and not op.verified:
        # No frame waits for it, and a broken bundle must not cost the place of a good one.
        _verify(draft, op)
    # A model that frames need, or that somebody wants active, goes before a rollout's candidate.
    elif leaving := selection.victim(
        state, even_candidate=op.kind not in (Kind.PREPARE, Kind.PREFETCH)
    ):
        restoring = leaving.phase is Phase.RESTORING
        draft.free(leaving, Move.CANCEL if restoring else Move.FREE)
    elif state.active is not None:
        _replace(draft, op)


def _prepare(draft: StepDraft, op: Operation, token: int, slot: str) -> Prepare:
    """Prepare it with what a person accepts, or what was confirmed here before."""
    state, request = draft.state, op.request
    reference = selection.reference(state, op.target)
    names: tuple[str, ...] = ()
    why = ""
    if op.target.ref in state.durable.confirmed and op.kind not in (Kind.PREPARE, Kind.SWAP):
        # The way back must stay open: it judged here before, and was found good.
        names, why = ACCEPTABLE, "confirmed on this device before"
    elif request is not None and request.accept:
        names = request.accept
        why = f"accepted by {request.by or 'the request'}: {request.reason}"
    name, active = op.target.ref.name, state.active_bundle
    urgent = state.line.requires == name and (active is None or active.ref.name != name)
    return Prepare(token, slot, op.target, op.swap_id, reference, names, why, urgent)


def _replace(draft: StepDraft, op: Operation) -> None:
    """No slot is left beside the active bundle: check the new one on disk, then free the active."""
    if op.kind in (Kind.PREPARE, Kind.PREFETCH, Kind.ROLLOUT):
        draft.finish(op, Status.REJECTED, _no_room(draft))
    elif not op.verified:
        _verify(draft, op)
    elif op.request is not None and op.request.dry_run:
        draft.finish(op, Status.SUCCEEDED)
    elif _must_wait(draft, op):
        draft.advance(op, Step.PARK)
    else:
        vacate(draft, op)


def _no_room(draft: StepDraft) -> Refusal:
    rollout = draft.durable.rollout
    why = "The only slot holds the active model, so nothing can be prepared beside it."
    hint = "Ask for a swap, or set slots.count to 2."
    if rollout is not None and len(draft.state.slots) > 1:
        held = rollout.candidate.ref
        why = f"The slot beside the active model holds {held}, which is rolled out."
        hint = "Wait for the end of the rollout, abort it, or set slots.count to 3."
    return Refusal(Code.PRECONDITION_FAILED, why, hint)


def _verify(draft: StepDraft, op: Operation) -> None:
    """Have the bundle checked on disk; what it needs of the slots comes later."""
    token = draft.new_token()
    draft.advance(replace(op, token=token), Step.VERIFY)
    draft.act(Verify(token, op.target, op.swap_id))


def vacate(draft: StepDraft, op: Operation, *, expecting: bool = True) -> None:
    """Ask the lane to judge with nothing from the operation's boundary on."""
    op, epoch, frame = _boundary(draft, op)
    token = draft.new_token()
    draft.advance(replace(op, token=token), Step.VACATE)
    draft.act(AskCutover(token, None, None, op.swap_id, epoch, frame, expecting))


def _use(draft: StepDraft, op: Operation, slot: SlotState) -> None:
    """The bundle is READY in `slot`: continue with the purpose of the operation."""
    if (refusal := quarantined(draft.state, op.target.ref)) is not None:
        draft.finish(op, Status.REJECTED, refusal)
    elif (distrust := _distrust(draft, op.target.ref)) is not None:
        draft.finish(op, Status.REJECTED, distrust)
        if op.kind is Kind.ROLLOUT:
            candidates.refused(draft, distrust)
    elif op.kind is Kind.ROLLOUT and not candidates.is_to_cross(draft.state):
        draft.advance(op, Step.END)
        candidates.stands_by(draft)
    elif op.kind is Kind.PREFETCH:
        draft.advance(op, Step.END)
    elif op.kind is Kind.PREPARE or slot.name == draft.state.active:
        draft.finish(op, Status.SUCCEEDED)
    elif op.request is not None and op.request.dry_run:
        draft.finish(op, Status.SUCCEEDED)
        if op.slot == slot.name and not slot.used:
            draft.free(slot)
    elif _must_wait(draft, op):
        draft.advance(op, Step.PARK)
    else:
        _cut(draft, op, slot)


def _distrust(draft: StepDraft, ref: BundleRef) -> Refusal | None:
    """Resident since before its key or digest was revoked: it must not judge (again)."""
    refused = (why for each, why in draft.state.refused if each == ref)
    return next((why for why in refused if why.code is Code.NOT_TRUSTED), None)


def _must_wait(draft: StepDraft, op: Operation) -> bool:
    if isinstance(op.at, AtTime):
        return draft.now.utc < op.at.utc or draft.durable.held
    return isinstance(op.at, AtNextOrder)


def is_due(draft: StepDraft, op: Operation) -> bool:
    """Whether a parked operation's time has come; orders wake the others."""
    return isinstance(op.at, AtTime) and not _must_wait(draft, op)


def _cut(draft: StepDraft, op: Operation, slot: SlotState) -> None:
    op, epoch, frame = _boundary(draft, op)
    token = draft.new_token()
    draft.advance(replace(op, token=token, slot=slot.name), Step.CUT)
    draft.begin(op)
    # What goes back, or was told its frame, does not wait: a part in view may be uninspected then.
    may_wait = op.kind in (Kind.SWAP, Kind.ROLLOUT) and frame is None
    draft.act(AskCutover(token, slot.name, op.target, op.swap_id, epoch, frame, may_wait=may_wait))


def _boundary(draft: StepDraft, op: Operation) -> tuple[Operation, int, int | None]:
    """The earliest assignment and the exact frame for the operation's cutover.

    A model for another product than the line's last one ends that assignment: its frames must not
    be labelled with a product that they are not judged for.
    """
    frame = op.at.number if isinstance(op.at, AtFrame) else None
    line = draft.state.line
    if line.requires == op.target.ref.name:
        return op, line.epoch, frame
    if line.requires is None and line.linked and line.product is None:
        return op, 0, frame
    op = draft.amend(replace(op, left=line))
    line = Assignment(line.epoch + 1)
    draft.state = replace(draft.state, line=line)
    draft.durable = replace(draft.durable, product=None, job_order=None)
    draft.act(Stamp(line, since_at=None if frame is not None else draft.now.at, from_frame=frame))
    return op, line.epoch, frame


def take_place(draft: StepDraft, op: Operation) -> None:
    """A newer request: it ends what it supersedes, and comes next as soon as possible."""
    draft.state = replace(
        draft.state,
        skipped=frozenset(),
        retry_at=draft.state.retry_at if draft.state.backing_off else None,
    )
    if op.kind is not Kind.PREPARE and draft.state.parked is not None:
        draft.finish(draft.state.parked, Status.SUPERSEDED)
    if draft.state.queued is not None:
        draft.finish(draft.state.queued, Status.SUPERSEDED)
    current = draft.state.op
    if current is not None and current.kind.can_wait and current.stage not in WITH_LANE:
        draft.advance(current, Step.END)
        current = None
    if current is None:
        draft.advance(op, Step.BEGIN)
    elif not current.kind.is_asked or (op.kind is Kind.PREPARE and current.kind is not op.kind):
        draft.advance(op, Step.QUEUE)
    elif current.stage not in WITH_LANE:
        draft.finish(current, Status.SUPERSEDED)
        draft.advance(op, Step.BEGIN)
    elif current.stage is Stage.VACATING and op.kind is not Kind.PREPARE:
        draft.finish(current, Status.SUPERSEDED, step=Step.HAND_OVER)
        draft.advance(replace(op, token=current.token, at=AtNow()), Step.TAKE_OVER)
    else:
        draft.advance(op, Step.QUEUE)
        withdraw(draft, current)


def withdraw(draft: StepDraft, op: Operation) -> None:
    """Cancel a cutover that waits for a distant frame; one for now is as good as done."""
    if op.stage is Stage.CUTTING and isinstance(op.at, AtFrame):
        draft.advance(op, Step.WITHDRAW)
        draft.act(Withdraw(op.token))
