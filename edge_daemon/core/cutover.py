"""What a report of the lane means: the pointer has moved to another slot, or it will not."""

from __future__ import annotations

from dataclasses import replace

from edge_daemon.core import health, selection, tuning
from edge_daemon.core.admission import EXPIRED
from edge_daemon.core.effects import Stamp, StartTrial
from edge_daemon.core.event_names import EventName
from edge_daemon.core.events import CutoverDone, CutoverWithdrawn
from edge_daemon.core.lifecycle import Phase, Stage, Step
from edge_daemon.core.records import Announce, Reply
from edge_daemon.core.state import Kind, Operation
from edge_daemon.core.step_draft import StepDraft
from edge_daemon.core.values import NOW, Status, StoredBundle


def done(draft: StepDraft, event: CutoverDone) -> None:
    """The cutover happened; only now is the new version active, selected, on trial."""
    op = draft.state.op
    if op is None or op.token != event.token:
        return
    if op.stage is Stage.VACATING:
        _vacated(draft, op)
    elif op.stage in (Stage.CUTTING, Stage.WITHDRAWING):
        _crossed(draft, op)


def withdrawn(draft: StepDraft, event: CutoverWithdrawn) -> None:
    """The cutover had not happened: the request ends without having changed anything."""
    op = draft.state.op
    if op is None or op.token != event.token or op.stage is not Stage.WITHDRAWING:
        return
    _restore_line(draft, op)
    draft.ended(op.target)
    if op.request is not None and op.request.is_expired(draft.now):
        draft.finish(op, Status.EXPIRED, EXPIRED, Step.WITHDRAWN)
    else:
        draft.finish(op, Status.SUPERSEDED, step=Step.WITHDRAWN)


def _restore_line(draft: StepDraft, op: Operation) -> None:
    """The assignment before the cutover continues, unless an order came meanwhile."""
    left, line = op.left, draft.state.line
    if left is None or line.epoch != left.epoch + 1:
        return
    line = replace(left, epoch=line.epoch + 1)
    draft.state = replace(draft.state, line=line)
    draft.durable = replace(draft.durable, product=left.product, job_order=left.job_order)
    draft.act(Stamp(line, since_at=draft.now.at))


def _vacated(draft: StepDraft, op: Operation) -> None:
    left = draft.state.active_bundle
    draft.state = replace(draft.state, active=None, unfit=False, left=left)
    op = draft.advance(replace(op, at=NOW), Step.VACATED)  # its boundary is this one
    if op.kind is Kind.REVERT and op.target == left:
        draft.advance(op, Step.END)


def _crossed(draft: StepDraft, op: Operation) -> None:
    state = draft.state
    left = state.last_bundle
    slot = draft.state.slot(op.slot)
    draft.state = replace(
        draft.state,
        active=slot.name,
        left=left,
        swap_id=op.swap_id,
        unfit=False,
        losses=0,
        uses=state.uses + 1,
    )
    draft.advance(op, Step.CROSSED)
    draft.forget_starts(op.target.ref)
    draft.state = draft.state.with_slot(
        replace(slot, used=draft.state.uses, since_utc=draft.now.utc)
    )
    if op.kind is Kind.ROLLBACK and left is not None and left != op.target:
        _leave_behind(draft, op, left)
    held_back = draft.state.quarantine_reason(op.target.ref) is not None
    on_trial = False if held_back else _judge_provenance(draft, op)
    draft.durable = tuning.kept(replace(draft.durable, active=op.target), op.target)
    chosen = op.kind.is_asked or op.kind in (Kind.REVERT, Kind.ROLLOUT)
    if held_back:  # an operator quarantined it just before the cutover: leave it again
        draft.end_trial()
        draft.state = replace(draft.state, unfit=True)
    elif chosen or selection.selected(draft.state, op.target.ref.name) is None:
        draft.select(op.target.ref)
    if op.request is not None:
        draft.record(Reply(op.request, Status.SUCCEEDED, op.swap_id))
    draft.record(Announce(EventName.SWAPPED, op.swap_id, op.target.ref, reason=op.kind.value))
    if op.kind in (Kind.ROLLBACK, Kind.REVERT):
        reason = f"left {left.ref}" if left else ""
        draft.record(Announce(EventName.ROLLED_BACK, op.swap_id, op.target.ref, reason=reason))
    if on_trial:
        draft.act(StartTrial(op.swap_id, op.target))
    if slot.phase is Phase.LOST:
        why = "Its worker was lost before its first frame."
        health.count_loss(draft, draft.state.slot(slot.name), why)


def _leave_behind(draft: StepDraft, op: Operation, left: StoredBundle) -> None:
    asked = op.request
    by = f" by {asked.by}" if asked and asked.by else ""
    why = f": {asked.reason}" if asked and asked.reason else ""
    draft.quarantine(left.ref, f"Rolled back{by} to {op.target.ref.version}{why}")


def _judge_provenance(draft: StepDraft, op: Operation) -> bool:
    """Whether the version starts a trial: not if it was confirmed before or is configured."""
    ref = op.target.ref
    is_configured = selection.configured(draft.state) == op.target
    known_name = any(r.name == ref.name for r in draft.durable.confirmed)
    trusted = op.kind is Kind.BOOT and is_configured and not known_name
    on_trial = health.began(draft, op.swap_id, ref, trusted=trusted)
    if op.kind is Kind.SWAP and not on_trial:
        health.reconfirmed(draft, ref)
    return on_trial
