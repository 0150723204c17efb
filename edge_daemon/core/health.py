"""Good, bad or unknown: trials, lost workers, quarantine."""

from __future__ import annotations

from dataclasses import replace

from edge_daemon.core import selection
from edge_daemon.core.effects import Restore
from edge_daemon.core.event_names import EventName
from edge_daemon.core.events import FailedOver, QuarantineChanged, SlotLost, TrialJudged
from edge_daemon.core.lifecycle import Move, Phase
from edge_daemon.core.records import Announce
from edge_daemon.core.state import TRIES, SlotState
from edge_daemon.core.step_draft import StepDraft
from edge_daemon.core.values import BundleRef, StoredBundle

LOSSES = 5
"""Losses in a row after which another confirmed version is preferred to one more restart."""

CALM_S = 60.0  # a loss this long after the last one counts as the first


def confirm(draft: StepDraft, reason: str) -> None:
    """End the trial of the active version well: a rollback returns to it later."""
    trial, active = draft.durable.trial, draft.state.active_bundle
    if trial is None or active is None:
        return
    draft.end_trial()
    draft.record(Announce(EventName.CONFIRMED, trial, active.ref, reason=reason))
    _confirm(draft, active.ref)


def _confirm(draft: StepDraft, ref: BundleRef) -> None:
    """It is the latest of the confirmed versions."""
    others = (each for each in draft.durable.confirmed if each != ref)
    draft.durable = replace(draft.durable, confirmed=(*others, ref))


def trial_judged(draft: StepDraft, event: TrialJudged) -> None:
    """Apply the result of the current trial; that of an older one changes nothing."""
    if event.swap_id != draft.durable.trial:
        return
    if not event.passed:
        condemn(draft, event.reason)
        return
    if event.warning:
        ref, why = _ref_of(draft.state.active_bundle), event.warning
        draft.record(Announce(EventName.VERDICTS_SHIFTED, event.swap_id, ref, reason=why))
    confirm(draft, event.reason)


def condemn(draft: StepDraft, reason: str) -> None:
    """The version on trial is bad: quarantine it, and leave it as soon as another one is ready."""
    bad = draft.state.last_bundle
    if bad is None:
        return
    _fail_trial(draft, bad.ref, reason)
    draft.quarantine(bad.ref, reason)
    unselect(draft, bad.ref)
    draft.state = replace(draft.state, unfit=draft.state.active is not None)


def _fail_trial(draft: StepDraft, ref: BundleRef, reason: str) -> None:
    if draft.durable.trial is not None:
        draft.record(Announce(EventName.TRIAL_FAILED, draft.durable.trial, ref, reason=reason))
    draft.end_trial()


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
    reason = f"The daemon ended {TRIES} times while it was brought."
    if ref in (*state.durable.confirmed, _ref_of(selection.configured(state))):
        resting, retry_at = state.backing_off | {ref}, draft.now.at + CALM_S
        draft.state = replace(state, backing_off=resting, retry_at=retry_at)
        draft.record(Announce(EventName.RESTS, model=ref, reason=reason))
        return
    draft.quarantine(ref, reason)
    unselect(draft, ref)


def slot_lost(draft: StepDraft, event: SlotLost) -> None:
    """The worker behind a READY slot is gone."""
    slot = draft.state.slot_of_job(event.token)
    if slot is None or slot.phase is not Phase.READY:
        return
    slot = draft.move(slot, Move.LOST)
    draft.record(Announce(EventName.SLOT_LOST, model=_ref_of(slot.bundle), reason=event.why))
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
    draft.record(Announce(EventName.STOOD_IN, model=_ref_of(slot.bundle), reason=event.why))
    _weigh_loss(draft, slot, event.why)


def count_loss(draft: StepDraft, slot: SlotState, why: str) -> None:
    """Load the active bundle again, unless too many losses speak against it."""
    if not _weigh_loss(draft, slot, why):
        assert slot.bundle is not None
        token = draft.new_token()
        draft.move(replace(slot, token=token), Move.RESTORE)
        draft.act(Restore(token, slot.name, slot.bundle, draft.state.losses))


def _weigh_loss(draft: StepDraft, slot: SlotState, why: str) -> bool:
    """One more loss of the active slot; True when another bundle is to replace it."""
    state = draft.state
    losses = state.losses + 1 if draft.now.at - state.lost_at < CALM_S else 1
    draft.state = replace(draft.state, losses=losses, lost_at=draft.now.at)
    if state.durable.trial is not None and not _spend_try(draft):
        condemn(draft, f"It did not end its trial within {TRIES} starts: {why}")
        return True
    if losses > LOSSES and slot.bundle is not None:
        without = replace(draft.state, skipped=state.skipped | {slot.bundle.ref})
        if selection.wanted(without):
            draft.state = replace(without, unfit=True, retry_at=draft.now.at + CALM_S)
            return True
    return False


def quarantine_changed(draft: StepDraft, event: QuarantineChanged) -> None:
    """An operator's decision: a version may not become active, or may again."""
    ref, reason = event.ref, event.reason
    if reason is not None:
        if _ref_of(draft.state.last_bundle) == ref:  # its trial must not confirm it
            _fail_trial(draft, ref, reason)
        draft.quarantine(ref, reason)
        unselect(draft, ref)
        return
    kept = tuple((r, why) for r, why in draft.durable.quarantined if r != ref)
    draft.durable = replace(draft.durable, quarantined=kept)
    draft.state = replace(draft.state, skipped=draft.state.skipped - {ref})
    draft.record(Announce(EventName.UNQUARANTINED, model=ref))


def began(draft: StepDraft, swap_id: str, ref: BundleRef, *, trusted: bool) -> bool:
    """Put what just became active on trial unless it was confirmed before; True if on trial.

    `trusted`: the operator's configuration names it, which counts as a confirmation.
    """
    before = draft.durable
    draft.end_trial()
    if ref in before.confirmed:
        return False
    if trusted:
        _confirm(draft, ref)
        return False
    is_again = before.trial is not None and _ref_of(before.active) == ref
    draft.durable = replace(draft.durable, trial=swap_id, tries=before.tries if is_again else TRIES)
    return True


def reconfirmed(draft: StepDraft, ref: BundleRef) -> None:
    """An operator swapped back to a confirmed version: it is the latest again."""
    if ref in draft.durable.confirmed:
        _confirm(draft, ref)


def forget_given_up(draft: StepDraft) -> None:
    """Try again, after some time, what failed through this box's own fault."""
    state = draft.state
    if state.retry_at is not None and draft.now.at >= state.retry_at:
        draft.state = replace(state, skipped=frozenset(), backing_off=frozenset(), retry_at=None)


def _ref_of(bundle: StoredBundle | None) -> BundleRef | None:
    return bundle.ref if bundle else None
