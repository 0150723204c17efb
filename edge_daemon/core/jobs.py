"""What the loader's results mean: a bundle was verified, proven or refused, or a slot is free."""

from __future__ import annotations

from dataclasses import replace

from edge_daemon.core import candidates, health
from edge_daemon.core.event_names import EventName
from edge_daemon.core.events import (
    BundleProven,
    BundleRefused,
    BundleVerified,
    SlotFreed,
    StageReached,
)
from edge_daemon.core.lifecycle import Move, Phase, Stage, Step
from edge_daemon.core.records import Announce, Reply
from edge_daemon.core.state import Kind, Operation
from edge_daemon.core.step_draft import StepDraft
from edge_daemon.core.values import Refusal, Status
from edge_daemon.core.verdicts import is_acceptable
from edge_daemon.errors import Code

PROVED_BAD = frozenset({Code.LOAD_FAILED, Code.LOAD_TIMEOUT, Code.GATE_FAILED})
"""Refusals after the bundle was tried: it is quarantined. Those before cost nothing to repeat."""

RETRY_S = 30.0  # after this long the daemon tries again what failed for this box's own fault


def stage_reached(draft: StepDraft, event: StageReached) -> None:
    """Tell who asked for the work how far it is."""
    slot, op = draft.state.slot_of_job(event.token), draft.state.op
    if op is None:
        return
    request, rollout = op.request, ""
    if op.kind is Kind.ROLLOUT:
        request, rollout = candidates.waits_for_gate(draft)
    is_preparing = slot and slot.phase is Phase.PREPARING and slot.bundle == op.target
    if request is not None and (is_preparing or _is_verifying(op, event.token)):
        stage = event.stage
        draft.record(Reply(request, Status.PROGRESS, op.swap_id, stage, rollout=rollout))


def _is_verifying(op: Operation, token: int) -> bool:
    return op.stage is Stage.VERIFYING and op.token == token


def verified(draft: StepDraft, event: BundleVerified) -> None:
    """The bundle is what was signed: its weights may be loaded."""
    op = draft.state.op
    if op is not None and _is_verifying(op, event.token):
        draft.advance(replace(op, verified=True), Step.VERIFIED)


def proven(draft: StepDraft, event: BundleProven) -> None:
    """The bundle is loaded and passed the gate: its slot is ready."""
    slot = draft.state.slot_of_job(event.token)
    if slot is None or slot.phase not in (Phase.PREPARING, Phase.RESTORING):
        return
    restored, bundle, op = slot.phase is Phase.RESTORING, slot.bundle, draft.state.op
    assert bundle is not None
    since = slot.since_utc if slot.name == draft.state.active else draft.now.utc
    draft.move(replace(slot, since_utc=since), Move.PROVEN)
    if not restored:
        draft.ended(bundle)
    name = EventName.RESTORED if restored else EventName.PREPARED
    swap_id = op.swap_id if op is not None and op.target == bundle else ""
    draft.record(Announce(name, swap_id, bundle.ref))
    draft.need_no_more(bundle.ref.name)


def refused(draft: StepDraft, event: BundleRefused) -> None:
    """End what needed the bundle; quarantine it where it was tried and proved bad."""
    op, refusal = draft.state.op, event.refusal
    if op is not None and _is_verifying(op, event.token):
        _give_up(draft, op, refusal)
        return
    slot = draft.state.slot_of_job(event.token)
    if slot is None:
        return
    if slot.phase is Phase.RESTORING:
        lost = draft.move(slot, Move.REFUSED)
        if lost.name == draft.state.active:
            health.count_loss(draft, lost, refusal.message)
        else:
            draft.free(lost)
    elif slot.phase is Phase.PREPARING:
        bundle = slot.bundle
        assert bundle is not None
        draft.move(slot, Move.REFUSED)
        draft.forget_starts(bundle.ref)
        if _is_proved_bad(refusal):
            draft.quarantine(bundle.ref, refusal.message)
            health.unselect(draft, bundle.ref)
        if op is not None and op.target == bundle and op.stage is Stage.PREPARING:
            _give_up(draft, op, refusal)


def _is_proved_bad(refusal: Refusal) -> bool:
    """Whether it is proved bad; what a person may still accept by name is only in doubt."""
    tried = refusal.code in PROVED_BAD and not refusal.blames_box
    return tried and not is_acceptable(refusal.checks)


def _give_up(draft: StepDraft, op: Operation, refusal: Refusal) -> None:
    """The operation's bundle was refused; the daemon does not choose it again at once."""
    draft.finish(op, refusal.status, refusal)
    if op.kind is Kind.ROLLOUT:
        candidates.refused(draft, refusal)
    draft.need_no_more(op.target.ref.name)
    draft.state = replace(draft.state, skipped=draft.state.skipped | {op.target.ref})
    if refusal.blames_box:
        draft.state = replace(draft.state, retry_at=draft.now.at + RETRY_S)


def freed(draft: StepDraft, event: SlotFreed) -> None:
    """Nothing is loaded in the slot any more."""
    slot = draft.state.slot_of_job(event.token)
    if slot is not None and slot.phase is Phase.DRAINING:
        draft.move(replace(slot, used=0), Move.FREED)
