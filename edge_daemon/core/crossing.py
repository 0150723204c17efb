"""What the lane's word means: the pointer names another slot now, or will not."""

from __future__ import annotations

from dataclasses import replace

from edge_daemon.core import health, selection, tuning
from edge_daemon.core.effects import Stamp, StartTrial, StopTrial
from edge_daemon.core.event_names import EventName
from edge_daemon.core.events import CutoverDone, CutoverWithdrawn
from edge_daemon.core.lifecycle import Phase, Stage, Step
from edge_daemon.core.records import Announce, Reply
from edge_daemon.core.state import TRIES, Kind, Operation
from edge_daemon.core.turn import Turn
from edge_daemon.core.values import NOW, Known, Refusal, Status
from edge_daemon.errors import Code


def done(turn: Turn, event: CutoverDone) -> None:
    """The lane crossed; only now is the new version active, selected, on trial."""
    op = turn.state.op
    if op is None or op.token != event.token:
        return
    if op.stage is Stage.VACATING:
        _vacated(turn, op)
    elif op.stage in (Stage.CUTTING, Stage.WITHDRAWING):
        _crossed(turn, op)


def withdrawn(turn: Turn, event: CutoverWithdrawn) -> None:
    """The lane had not crossed: the request ends without having changed anything."""
    op = turn.state.op
    if op is None or op.token != event.token or op.stage is not Stage.WITHDRAWING:
        return
    _restore_line(turn, op)
    turn.ended(op.target)
    expires = op.request.expires_utc if op.request else None
    if expires is not None and turn.now.utc >= expires:
        message = "The request expired before its frame came."
        refusal = Refusal(Code.EXPIRED, message, "Send it anew with more time.")
        turn.finish(op, Status.EXPIRED, refusal, Step.WITHDRAWN)
    else:
        turn.finish(op, Status.SUPERSEDED, step=Step.WITHDRAWN)


def _restore_line(turn: Turn, op: Operation) -> None:
    """The assignment that the cutover would have ended goes on, unless an order came meanwhile."""
    left, line = op.left, turn.state.line
    if left is None or line.epoch != left.epoch + 1:
        return
    line = replace(left, epoch=line.epoch + 1)
    turn.state = replace(turn.state, line=line)
    turn.durable = replace(turn.durable, product=left.product, job_order=left.job_order)
    turn.act(Stamp(line, since_at=turn.now.at))


def _vacated(turn: Turn, op: Operation) -> None:
    left = turn.state.active_bundle
    turn.state = replace(turn.state, active=None, unfit=False, left=left)
    op = turn.advance(replace(op, at=NOW), Step.VACATED)  # its boundary is this one
    if op.kind is Kind.REVERT and op.target == left:
        turn.advance(op, Step.END)


def _crossed(turn: Turn, op: Operation) -> None:
    state = turn.state
    left = state.last_bundle
    slot = turn.state.slot(op.slot)
    turn.state = replace(
        turn.state,
        active=slot.name,
        left=left,
        swap_id=op.swap_id,
        unfit=False,
        losses=0,
        uses=state.uses + 1,
    )
    turn.advance(op, Step.CROSSED)
    turn.forget_starts(op.target.ref)
    turn.state = turn.state.with_slot(replace(slot, used=turn.state.uses, since_utc=turn.now.utc))
    if op.kind is Kind.ROLLBACK and left is not None and left != op.target:
        _leave_behind(turn, op, left)
    held_back = turn.state.quarantine_reason(op.target.ref) is not None
    on_trial = False if held_back else _judge_provenance(turn, op)
    turn.durable = tuning.kept(replace(turn.durable, active=op.target), op.target)
    chosen = op.kind.is_asked or op.kind is Kind.REVERT
    if held_back:
        _turn_away(turn)
    elif chosen or selection.selected(turn.state, op.target.ref.name) is None:
        turn.select(op.target.ref)
    if op.request is not None:
        turn.record(Reply(op.request, Status.SUCCEEDED, op.swap_id))
    turn.record(Announce(EventName.SWAPPED, op.swap_id, op.target.ref, reason=op.kind.value))
    if op.kind in (Kind.ROLLBACK, Kind.REVERT):
        reason = f"left {left.ref}" if left else ""
        turn.record(Announce(EventName.ROLLED_BACK, op.swap_id, op.target.ref, reason=reason))
    if on_trial:
        turn.act(StartTrial(op.swap_id, op.target))
    if slot.phase is Phase.LOST:
        why = "Its worker was lost before its first frame."
        health.count_loss(turn, turn.state.slot(slot.name), why)


def _turn_away(turn: Turn) -> None:
    """An operator quarantined it while the lane was about to cross: away from it again."""
    if turn.durable.trial is not None:
        turn.act(StopTrial(turn.durable.trial))
    turn.durable = replace(turn.durable, trial=None, tries=TRIES)
    turn.state = replace(turn.state, unfit=True)


def _leave_behind(turn: Turn, op: Operation, left: Known) -> None:
    asked = op.request
    by = f" by {asked.by}" if asked and asked.by else ""
    why = f": {asked.reason}" if asked and asked.reason else ""
    turn.quarantine(left.ref, f"Rolled back{by} to {op.target.ref.version}{why}")


def _judge_provenance(turn: Turn, op: Operation) -> bool:
    """Whether the version starts a trial: not when confirmed before, nor when configured."""
    ref = op.target.ref
    initial = turn.state.initial
    configured = initial is not None and selection.choose(turn.state, initial) == op.target
    known_name = any(r.name == ref.name for r in turn.durable.confirmed)
    trusted = op.kind is Kind.BOOT and configured and not known_name
    on_trial = health.began(turn, op.swap_id, ref, trusted=trusted)
    if op.kind is Kind.SWAP and not on_trial:
        health.reconfirmed(turn, ref)
    return on_trial
