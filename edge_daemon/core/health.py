"""Good, bad or unknown: trials, lost workers, quarantine."""

from __future__ import annotations

from dataclasses import replace

from edge_daemon.core import selection
from edge_daemon.core.effects import Restore, StopTrial
from edge_daemon.core.event_names import EventName
from edge_daemon.core.events import FailedOver, QuarantineChanged, SlotLost, TrialJudged
from edge_daemon.core.lifecycle import Move, Phase
from edge_daemon.core.records import Announce
from edge_daemon.core.state import TRIES, SlotState
from edge_daemon.core.step_draft import StepDraft
from edge_daemon.core.values import BundleRef

LOSSES = 5
"""Losses in a row after which another confirmed version is preferred to one more restart."""

CALM_S = 60.0
"""A loss this long after the last one counts as the first."""


def confirm(draft: StepDraft, reason: str) -> None:
    """End the trial of the active version well: a rollback returns to it later."""
    durable = draft.durable
    active = draft.state.active_bundle
    if durable.trial is None or active is None:
        return
    draft.act(StopTrial(durable.trial))
    draft.record(Announce(EventName.CONFIRMED, durable.trial, active.ref, reason=reason))
    others = tuple(ref for ref in durable.confirmed if ref != active.ref)
    draft.durable = replace(draft.durable, trial=None, tries=TRIES, confirmed=(*others, active.ref))


def trial_judged(draft: StepDraft, event: TrialJudged) -> None:
    """Apply the result of the current trial; that of an older one changes nothing."""
    if event.swap_id != draft.durable.trial:
        return
    if event.passed:
        if event.warning:
            active = draft.state.active_bundle
            ref = active.ref if active else None
            draft.record(
                Announce(EventName.VERDICTS_SHIFTED, event.swap_id, ref, reason=event.warning)
            )
        confirm(draft, event.reason)
    else:
        condemn(draft, event.reason)


def condemn(draft: StepDraft, reason: str) -> None:
    """The version on trial is bad: quarantine it, and leave it as soon as another one is ready."""
    durable = draft.durable
    bad = draft.state.active_bundle or durable.active
    if bad is None:
        return
    if durable.trial is not None:
        draft.act(StopTrial(durable.trial))
        draft.record(Announce(EventName.TRIAL_FAILED, durable.trial, bad.ref, reason=reason))
    draft.quarantine(bad.ref, reason)
    draft.durable = replace(draft.durable, trial=None, tries=TRIES)
    unselect(draft, bad.ref)
    draft.state = replace(draft.state, unfit=draft.state.active is not None)


def unselect(draft: StepDraft, ref: BundleRef) -> None:
    """Orders must not select a bad version: they return to the last confirmed one."""
    if selection.selected(draft.state, ref.name) != ref:
        return
    kept = tuple((n, v) for n, v in draft.durable.selected if n != ref.name)
    draft.durable = replace(draft.durable, selected=kept)
    good = [r for r in draft.durable.confirmed if r.name == ref.name]
    if good:
        draft.select(good[-1])


def started(draft: StepDraft) -> None:
    """Count a start against the version on trial; after too many it is left."""
    if draft.durable.trial is not None and not _spend_try(draft):
        condemn(draft, f"It did not end its trial within {TRIES} starts.")
    for ref, starts in draft.durable.begun:
        if starts >= TRIES:
            _leave_alone(draft, ref)


def _spend_try(draft: StepDraft) -> bool:
    """One start of the version on trial failed; whether it has another one."""
    left = draft.durable.tries - 1
    draft.durable = replace(draft.durable, tries=left)
    return left > 0


def _leave_alone(draft: StepDraft, ref: BundleRef) -> None:
    """The daemon died each time that it started this version by itself.

    A good version rests for a while, because the power may have failed too; any other one is bad.
    """
    state = draft.state
    configured = selection.choose(state, state.initial) if state.initial else None
    if ref in state.durable.confirmed or (configured is not None and configured.ref == ref):
        draft.state = replace(
            draft.state, backing_off=state.backing_off | {ref}, retry_at=draft.now.at + CALM_S
        )
        reason = f"The daemon ended {TRIES} times while it was brought."
        draft.record(Announce(EventName.RESTS, model=ref, reason=reason))
        return
    draft.quarantine(ref, f"The daemon ended {TRIES} times while it was brought.")
    unselect(draft, ref)


def slot_lost(draft: StepDraft, event: SlotLost) -> None:
    """The worker behind a READY slot is gone."""
    slot = draft.state.slot_of_job(event.token)
    if slot is None or slot.phase is not Phase.READY:
        return
    slot = draft.move(slot, Move.LOST)
    ref = slot.bundle.ref if slot.bundle else None
    draft.record(Announce(EventName.SLOT_LOST, model=ref, reason=event.why))
    op = draft.state.op
    if slot.name == draft.state.active:
        count_loss(draft, slot, event.why)
    elif op is None or op.slot != slot.name:
        draft.free(slot)


def stood_in(draft: StepDraft, event: FailedOver) -> None:
    """The standby continues seamlessly; the loss still counts against the bundle."""
    slot = draft.state.slot_of_job(event.token)
    if slot is None or slot.phase is not Phase.READY or slot.name != draft.state.active:
        return
    ref = slot.bundle.ref if slot.bundle else None
    draft.record(Announce(EventName.STOOD_IN, model=ref, reason=event.why))
    _weigh_loss(draft, slot, event.why)


def count_loss(draft: StepDraft, slot: SlotState, why: str) -> None:
    """Load the active bundle again, unless too many losses speak against it."""
    if not _weigh_loss(draft, slot, why):
        restore(draft, slot)


def _weigh_loss(draft: StepDraft, slot: SlotState, why: str) -> bool:
    """One more loss of the active slot; True when another bundle is to replace it."""
    state = draft.state
    losses = state.losses + 1 if draft.now.at - state.lost_at < CALM_S else 1
    draft.state = replace(draft.state, losses=losses, lost_at=draft.now.at)
    if state.durable.trial is not None and not _spend_try(draft):
        condemn(draft, f"It did not end its trial within {TRIES} starts: {why}")
        return True
    if losses > LOSSES and slot.bundle is not None:
        draft.state = replace(draft.state, skipped=state.skipped | {slot.bundle.ref})
        others = [known for known in selection.wanted(draft.state) if known != slot.bundle]
        draft.state = replace(draft.state, skipped=draft.state.skipped if others else state.skipped)
        if others:
            draft.state = replace(draft.state, unfit=True, retry_at=draft.now.at + CALM_S)
            return True
    return False


def restore(draft: StepDraft, slot: SlotState) -> None:
    """Load the same bundle into the same slot."""
    assert slot.bundle is not None
    token = draft.new_token()
    draft.move(replace(slot, token=token), Move.RESTORE)
    draft.act(Restore(token, slot.name, slot.bundle, draft.state.losses))


def quarantine_changed(draft: StepDraft, event: QuarantineChanged) -> None:
    """An operator's decision: a version may not become active, or may again."""
    if event.reason is not None:
        _end_trial_of(draft, event.ref, event.reason)
        draft.quarantine(event.ref, event.reason)
        unselect(draft, event.ref)
        return
    durable = draft.durable
    kept = tuple((r, why) for r, why in durable.quarantined if r != event.ref)
    draft.durable = replace(draft.durable, quarantined=kept)
    draft.state = replace(draft.state, skipped=draft.state.skipped - {event.ref})
    draft.record(Announce(EventName.UNQUARANTINED, model=event.ref))


def _end_trial_of(draft: StepDraft, ref: BundleRef, reason: str) -> None:
    """A version that an operator quarantined must not be confirmed by its trial."""
    trial, last = draft.durable.trial, draft.state.last_bundle
    if trial is not None and last is not None and last.ref == ref:
        draft.act(StopTrial(trial))
        draft.record(Announce(EventName.TRIAL_FAILED, trial, ref, reason=reason))
        draft.durable = replace(draft.durable, trial=None, tries=TRIES)


def began(draft: StepDraft, swap_id: str, ref: BundleRef, *, trusted: bool) -> bool:
    """Put what just became active on trial unless it was confirmed before; True if on trial.

    `trusted`: the operator's configuration names it, which counts as a confirmation.
    """
    durable = draft.durable
    if durable.trial is not None:
        draft.act(StopTrial(durable.trial))
    if ref in durable.confirmed:
        draft.durable = replace(draft.durable, trial=None, tries=TRIES)
        return False
    if trusted:
        draft.durable = replace(
            draft.durable, trial=None, tries=TRIES, confirmed=(*durable.confirmed, ref)
        )
        return False
    tries = (
        durable.tries if durable.trial and durable.active and durable.active.ref == ref else TRIES
    )
    draft.durable = replace(draft.durable, trial=swap_id, tries=tries)
    return True


def reconfirmed(draft: StepDraft, ref: BundleRef) -> None:
    """An operator swapped back to a confirmed version: it is the latest again."""
    confirmed = draft.durable.confirmed
    if ref in confirmed:
        draft.durable = replace(draft.durable, confirmed=(*(r for r in confirmed if r != ref), ref))


def forget_given_up(draft: StepDraft) -> None:
    """Try again, after some time, what failed through this box's own fault."""
    state = draft.state
    if state.retry_at is not None and draft.now.at >= state.retry_at:
        draft.state = replace(state, skipped=frozenset(), backing_off=frozenset(), retry_at=None)
