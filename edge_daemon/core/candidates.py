"""What a rollout does to the state: its candidate is prepared, tried, and made active or dropped.

The share that the line is told is a function of the state: `look` compares it with what was told
last. So no event can be forgotten: an order, a quarantine, a lost worker and a stop all end it in
the same place, in the step in which they come.
"""

from __future__ import annotations

from dataclasses import replace

from edge_daemon.core import health, selection
from edge_daemon.core.effects import EndSplit, SetSplit
from edge_daemon.core.event_names import EventName
from edge_daemon.core.events import CandidateLost, Decision, RolloutDecided, SlotLost
from edge_daemon.core.lifecycle import WITH_LANE, Step
from edge_daemon.core.records import Announce, Reply
from edge_daemon.core.rollout.plan import digest
from edge_daemon.core.rollout.shadow_back import back_plan
from edge_daemon.core.rollout.values import Mode
from edge_daemon.core.rollout.values import Stage as RolloutStage
from edge_daemon.core.state import Kind, Rollout, State
from edge_daemon.core.step_draft import StepDraft
from edge_daemon.core.values import Check, Refusal, Request, Status, StoredBundle
from edge_daemon.errors import Code

BACK = "-back"  # what the id of a look back ends with, after that of its rollout

# --------------------------------------------------------------------------- questions


def wanted(state: State) -> StoredBundle | None:
    """What must be prepared, or made active, for the rollout; None while nothing must."""
    rollout = state.durable.rollout
    if rollout is None or not _judges(state, rollout) or rollout.candidate.ref in state.skipped:
        return None
    resident = selection.resident(state, rollout.candidate) is not None
    is_due = rollout.is_full or not resident or not rollout.is_begun
    return rollout.candidate if is_due else None


def is_to_cross(state: State) -> bool:
    """Whether the candidate is to become active as soon as it can."""
    rollout = state.durable.rollout
    return rollout is not None and rollout.is_full and _judges(state, rollout)


def split_of(state: State) -> SetSplit | None:
    """What the line is to do with the candidate now; None: nothing, and its share is 0."""
    rollout = state.durable.rollout
    if rollout is None or not rollout.is_begun or rollout.is_full or not _judges(state, rollout):
        return None
    slot = selection.resident(state, rollout.candidate)
    if slot is None or slot.name == state.active:
        return None
    stage, plan = rollout.now, rollout.plan
    return SetSplit(
        rollout.id,
        slot.name,
        rollout.candidate,
        stage.mode,
        plan.unit,
        rollout.share,
        _COVERAGE.get(stage.mode, stage.share),
        stage.either,
        plan.slices,
        rollout.reference.ref,
    )


_COVERAGE = {Mode.SHARE: 1.0, Mode.COMPARE: 0.0}
"""Of the parts that the candidate sees besides; in blocks of time one model looks at a time."""


def waits_for_gate(draft: StepDraft) -> tuple[Request | None, str]:
    """Who asked for the rollout while its candidate was not proven yet, and its id."""
    rollout = draft.durable.rollout
    if rollout is None or rollout.is_begun or rollout.is_back:
        return None, ""
    return rollout.request, rollout.id


def _judges(state: State, rollout: Rollout) -> bool:
    """Whether the reference is what judges, and the line makes what it judges."""
    line = state.line
    fits = line.linked and line.requires in (None, rollout.reference.ref.name)
    return fits and state.active_bundle == rollout.reference and not state.unfit


def word(stage: RolloutStage) -> str:
    """A stage as answers and events name it."""
    if stage.is_back:
        return "shadow_back"
    return f"share {stage.share:g}" if stage.mode is Mode.SHARE else stage.mode.value


# --------------------------------------------------------------------------- what happens to it


def stands_by(draft: StepDraft) -> None:
    """The candidate is in its slot, and passed the gate."""
    rollout = draft.durable.rollout
    if rollout is None or rollout.is_begun:
        return
    rollout = replace(rollout, is_begun=True, stage_utc=draft.now.utc)
    draft.durable = replace(draft.durable, rollout=rollout)
    _announce(draft, rollout, EventName.ROLLOUT_STARTED, f"Beside {rollout.reference.ref}.")
    _entered(draft, rollout, "The candidate passed the gate.")


def refused(draft: StepDraft, refusal: Refusal) -> None:
    """The candidate could not be brought; one that was judging before may come back later."""
    rollout = draft.durable.rollout
    if rollout is None or (rollout.is_begun and refusal.blames_box):
        return
    if rollout.is_begun:
        _stop(draft, rollout, refusal.message, refusal.checks)
    else:
        end(draft, rollout, refusal.status, refusal.message, refusal)


def decided(draft: StepDraft, event: RolloutDecided) -> None:
    """What the evidence of the present stage says. A hold freezes an advance, never a stop."""
    rollout = draft.durable.rollout
    if rollout is None or (event.rollout, event.stage) != (rollout.id, rollout.stage):
        return
    if rollout.is_full or not rollout.is_begun:
        return
    if rollout.is_back and event.decision in (Decision.STOP, Decision.ADVANCE):
        _looked_back(draft, rollout, event)
    elif event.decision is Decision.STOP:
        _stop(draft, rollout, event.why, event.checks)
    elif event.decision is Decision.ADVANCE:
        if draft.state.split is not None and not draft.durable.held:
            enter_next(draft, rollout, event.why)
    else:
        asks = event.why if event.decision is Decision.HOLD else ""
        if bool(asks) != bool(rollout.asks):
            rollout = replace(rollout, asks=asks, is_alarmed=False)
            draft.durable = replace(draft.durable, rollout=rollout)
            if asks:
                _announce(draft, rollout, EventName.ROLLOUT_HELD, asks, event.checks)


def _looked_back(draft: StepDraft, rollout: Rollout, event: RolloutDecided) -> None:
    """The time is over, or labels show that the version before finds what this one misses."""
    if event.decision is Decision.ADVANCE:
        _complete(draft, rollout, event.why)
    elif rollout.now.on_alarm == "rollback" and not draft.durable.held:
        end(draft, rollout, Status.SUPERSEDED, event.why)
        health.condemn(draft, event.why)
    elif not rollout.is_alarmed:
        rollout = replace(rollout, asks=event.why, is_alarmed=True)
        draft.durable = replace(draft.durable, rollout=rollout)
        _announce(draft, rollout, EventName.ROLLOUT_HELD, event.why, event.checks)


def lost(draft: StepDraft, event: CandidateLost) -> None:
    """A guard broke while the candidate judged. A loss after its share was taken is no fault of
    its own: its worker was ended for another model.
    """
    rollout, told = draft.durable.rollout, draft.state.split
    if rollout is not None and told is not None and told.rollout == event.rollout:
        _stop(draft, rollout, event.why, (Check(f"guard.{event.guard}", False, event.why),))


def slot_lost(draft: StepDraft, event: SlotLost) -> None:
    """Its worker died; beside the line that speaks against it as any fault does."""
    slot, told = draft.state.slot_of_job(event.token), draft.state.split
    if slot is not None and told is not None and told.slot == slot.name:
        lost(draft, CandidateLost(told.rollout, "worker_lost", event.why))


def look(draft: StepDraft) -> None:
    """End what cannot go on, and have the line do what the state says."""
    rollout = draft.durable.rollout
    if rollout is not None:
        _look_at(draft, rollout)
    split = split_of(draft.state)
    if split != draft.state.split:
        draft.state = replace(draft.state, split=split)
        draft.act(split or EndSplit())


def _look_at(draft: StepDraft, rollout: Rollout) -> None:
    state, candidate = draft.state, rollout.candidate
    active = state.active_bundle
    reason, told = state.quarantine_reason(candidate.ref), state.split
    is_on = told is not None and told.rollout == rollout.id
    if rollout.is_back and is_on and selection.resident(state, candidate) is None:
        end(draft, rollout, Status.SUPERSEDED, "Another model needs its slot.")
    elif reason is not None:
        _stop(draft, rollout, reason)
    elif not rollout.is_full and state.quarantine_reason(rollout.reference.ref) is not None:
        end(draft, rollout, Status.SUPERSEDED, f"{rollout.reference.ref} was quarantined.")
    elif rollout.is_full and active == candidate:
        if candidate.ref in state.durable.confirmed:
            _complete(draft, rollout, "The candidate is active and confirmed.")
    elif active and active != rollout.reference and active.ref.name == candidate.ref.name:
        end(draft, rollout, Status.SUPERSEDED, f"{active.ref} became active.")


def enter_next(draft: StepDraft, rollout: Rollout, why: str) -> None:
    """Begin the stage after this one; after the last the rollout is complete."""
    number = rollout.stage + 1
    if number == len(rollout.plan.stages):
        _complete(draft, rollout, f"{why} The plan ends here.")
        return
    rollout = replace(rollout, stage=number, stage_utc=draft.now.utc, asks="")
    draft.durable = replace(draft.durable, rollout=rollout)
    _entered(draft, rollout, why)


def _entered(draft: StepDraft, rollout: Rollout, why: str) -> None:
    stage = word(rollout.now)
    if not rollout.is_back:
        draft.record(Reply(rollout.request, Status.PROGRESS, rollout.id, stage, None, rollout.id))
    _announce(draft, rollout, EventName.STAGE_ENTERED, f"{stage}: {why}")


def _complete(draft: StepDraft, rollout: Rollout, why: str) -> None:
    """It is over, and all is well; the version before may go on beside the new one."""
    back = _back_of(draft, rollout)
    draft.durable = replace(draft.durable, rollout=back)
    if not rollout.is_back:
        swap_id = draft.state.swap_id if rollout.is_full else None
        draft.record(Reply(rollout.request, Status.SUCCEEDED, swap_id or "", rollout=rollout.id))
    if back is not None:
        why = f"{why} {back.candidate.ref} goes on beside it for {back.plan.at_most_h:g} h."
    _announce(draft, rollout, EventName.ROLLOUT_COMPLETED, why)


def _back_of(draft: StepDraft, rollout: Rollout) -> Rollout | None:
    """The reference beside what was tried, where the plan says so."""
    before = rollout.reference
    is_wanted = rollout.is_full and rollout.now.shadow_back_h > 0.0
    if not is_wanted or draft.state.quarantine_reason(before.ref) is not None:
        return None
    plan, utc = back_plan(rollout.plan), draft.now.utc
    made = Rollout(f"{rollout.id}{BACK}", before, rollout.candidate, plan, digest(plan), "")
    return replace(made, by=rollout.by, reason=rollout.reason, began_utc=utc, stage_utc=utc)


def _stop(draft: StepDraft, rollout: Rollout, why: str, checks: tuple[Check, ...] = ()) -> None:
    """The candidate is bad: it is not tried again before an operator says so.

    One that judged here before, and only looks on, is left alone.
    """
    if rollout.is_back:
        end(draft, rollout, Status.SUPERSEDED, why)
        return
    ref = rollout.candidate.ref
    hint = f"Read the report: edge-daemon rollouts report {rollout.id}"
    refusal = Refusal(Code.ROLLOUT_STOPPED, why, hint, checks)
    if draft.state.quarantine_reason(ref) is None:
        draft.quarantine(ref, why)
        health.unselect(draft, ref)
    end(draft, rollout, Status.REJECTED, why, refusal)


def end(
    draft: StepDraft, rollout: Rollout, status: Status, why: str, refusal: Refusal | None = None
) -> None:
    """It is over without its candidate; what is under way for it ends too."""
    op = draft.state.op
    if op is not None and op.kind is Kind.ROLLOUT and op.stage not in WITH_LANE:
        draft.advance(op, Step.END)
    draft.durable = replace(draft.durable, rollout=None)
    if not rollout.is_back:
        draft.record(Reply(rollout.request, status, refusal=refusal, rollout=rollout.id))
    checks = refusal.checks if refusal is not None else ()
    _announce(draft, rollout, EventName.ROLLOUT_STOPPED, why, checks)


def _announce(
    draft: StepDraft, rollout: Rollout, event: EventName, why: str, checks: tuple[Check, ...] = ()
) -> None:
    ref = rollout.candidate.ref
    code = Code.ROLLOUT_STOPPED if event is EventName.ROLLOUT_STOPPED else None
    notify = rollout.plan.notify
    draft.record(Announce(event, "", ref, code, why, checks, rollout.id, notify))
