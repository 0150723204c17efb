"""Good, bad and unknown: trials, lost workers, quarantine."""

from __future__ import annotations

from dataclasses import replace

from edge_daemon.core import selection
from edge_daemon.core.effects import Restore, StopTrial
from edge_daemon.core.event_names import EventName
from edge_daemon.core.events import QuarantineChanged, SlotLost, StoodIn, TrialJudged
from edge_daemon.core.lifecycle import Move, Phase
from edge_daemon.core.records import Announce
from edge_daemon.core.state import TRIES, SlotState
from edge_daemon.core.turn import Turn
from edge_daemon.core.values import BundleRef

LOSSES = 5
"""Losses in a row after which another confirmed version is preferred to one more restart."""

CALM_S = 60.0
"""A loss this long after the last one counts as the first."""


def confirm(turn: Turn, reason: str) -> None:
    """End the trial of the active version well: it is what a rollback returns to later."""
    durable = turn.durable
    active = turn.state.active_bundle
    if durable.trial is None or active is None:
        return
    turn.act(StopTrial(durable.trial))
    turn.record(Announce(EventName.CONFIRMED, durable.trial, active.ref, reason=reason))
    others = tuple(ref for ref in durable.confirmed if ref != active.ref)
    turn.durable = replace(turn.durable, trial=None, tries=TRIES, confirmed=(*others, active.ref))


def trial_judged(turn: Turn, event: TrialJudged) -> None:
    """Take the verdict of the trial that is on; an older one's changes nothing."""
    if event.swap_id != turn.durable.trial:
        return
    if event.passed:
        if event.warning:
            active = turn.state.active_bundle
            ref = active.ref if active else None
            turn.record(
                Announce(EventName.VERDICTS_SHIFTED, event.swap_id, ref, reason=event.warning)
            )
        confirm(turn, event.reason)
    else:
        condemn(turn, event.reason)


def condemn(turn: Turn, reason: str) -> None:
    """The version on trial is bad: quarantine it, and leave it as soon as another is ready."""
    durable = turn.durable
    bad = turn.state.active_bundle or durable.active
    if bad is None:
        return
    if durable.trial is not None:
        turn.act(StopTrial(durable.trial))
        turn.record(Announce(EventName.TRIAL_FAILED, durable.trial, bad.ref, reason=reason))
    turn.quarantine(bad.ref, reason)
    turn.durable = replace(turn.durable, trial=None, tries=TRIES)
    unselect(turn, bad.ref)
    turn.state = replace(turn.state, unfit=turn.state.active is not None)


def unselect(turn: Turn, ref: BundleRef) -> None:
    """Orders must not ask for a bad version: they go back to the last confirmed one."""
    if selection.selected(turn.state, ref.name) != ref:
        return
    kept = tuple((n, v) for n, v in turn.durable.selected if n != ref.name)
    turn.durable = replace(turn.durable, selected=kept)
    good = [r for r in turn.durable.confirmed if r.name == ref.name]
    if good:
        turn.select(good[-1])


def started(turn: Turn) -> None:
    """Count a start against the version on trial; one that was started too often is left."""
    if turn.durable.trial is not None and not _spend_try(turn):
        condemn(turn, f"It did not end its trial within {TRIES} starts.")
    for ref, starts in turn.durable.begun:
        if starts >= TRIES:
            _leave_alone(turn, ref)


def _spend_try(turn: Turn) -> bool:
    """One start of the version on trial came to nothing; whether it has another one."""
    left = turn.durable.tries - 1
    turn.durable = replace(turn.durable, tries=left)
    return left > 0


def _leave_alone(turn: Turn, ref: BundleRef) -> None:
    """The daemon died each time that it brought this version by itself.

    A good one rests for a while, for the power may have failed as well; any other one is bad.
    """
    state = turn.state
    configured = selection.choose(state, state.initial) if state.initial else None
    if ref in state.durable.confirmed or (configured is not None and configured.ref == ref):
        turn.state = replace(
            turn.state, resting=state.resting | {ref}, retry_at=turn.now.at + CALM_S
        )
        reason = f"The daemon ended {TRIES} times while it was brought."
        turn.record(Announce(EventName.RESTS, model=ref, reason=reason))
        return
    turn.quarantine(ref, f"The daemon ended {TRIES} times while it was brought.")
    unselect(turn, ref)


def slot_lost(turn: Turn, event: SlotLost) -> None:
    """The worker behind a READY slot is gone."""
    slot = turn.state.slot_of_job(event.token)
    if slot is None or slot.phase is not Phase.READY:
        return
    slot = turn.move(slot, Move.LOST)
    ref = slot.bundle.ref if slot.bundle else None
    turn.record(Announce(EventName.SLOT_LOST, model=ref, reason=event.why))
    op = turn.state.op
    if slot.name == turn.state.active:
        count_loss(turn, slot, event.why)
    elif op is None or op.slot != slot.name:
        turn.free(slot)


def stood_in(turn: Turn, event: StoodIn) -> None:
    """The twin goes on as if nothing was; the loss speaks against the bundle all the same."""
    slot = turn.state.slot_of_job(event.token)
    if slot is None or slot.phase is not Phase.READY or slot.name != turn.state.active:
        return
    ref = slot.bundle.ref if slot.bundle else None
    turn.record(Announce(EventName.STOOD_IN, model=ref, reason=event.why))
    _weigh_loss(turn, slot, event.why)


def count_loss(turn: Turn, slot: SlotState, why: str) -> None:
    """Load the active bundle again, unless too many losses speak against it."""
    if not _weigh_loss(turn, slot, why):
        restore(turn, slot)


def _weigh_loss(turn: Turn, slot: SlotState, why: str) -> bool:
    """One more loss of the active slot; True when another bundle is to take its place."""
    state = turn.state
    losses = state.losses + 1 if turn.now.at - state.lost_at < CALM_S else 1
    turn.state = replace(turn.state, losses=losses, lost_at=turn.now.at)
    if state.durable.trial is not None and not _spend_try(turn):
        condemn(turn, f"It did not end its trial within {TRIES} starts: {why}")
        return True
    if losses > LOSSES and slot.bundle is not None:
        turn.state = replace(turn.state, given_up=state.given_up | {slot.bundle.ref})
        others = [known for known in selection.wanted(turn.state) if known != slot.bundle]
        turn.state = replace(turn.state, given_up=turn.state.given_up if others else state.given_up)
        if others:
            turn.state = replace(turn.state, unfit=True, retry_at=turn.now.at + CALM_S)
            return True
    return False


def restore(turn: Turn, slot: SlotState) -> None:
    """Ask for the same bundle in the same slot."""
    assert slot.bundle is not None
    token = turn.new_token()
    turn.move(replace(slot, token=token), Move.RESTORE)
    turn.act(Restore(token, slot.name, slot.bundle, turn.state.losses))


def quarantine_changed(turn: Turn, event: QuarantineChanged) -> None:
    """An operator's word: a version may not, or may again, become active."""
    if event.reason is not None:
        _end_trial_of(turn, event.ref, event.reason)
        turn.quarantine(event.ref, event.reason)
        unselect(turn, event.ref)
        return
    durable = turn.durable
    kept = tuple((r, why) for r, why in durable.quarantined if r != event.ref)
    turn.durable = replace(turn.durable, quarantined=kept)
    turn.state = replace(turn.state, given_up=turn.state.given_up - {event.ref})
    turn.record(Announce(EventName.UNQUARANTINED, model=event.ref))


def _end_trial_of(turn: Turn, ref: BundleRef, reason: str) -> None:
    """What an operator quarantined must not be confirmed by the trial that it is on."""
    trial, last = turn.durable.trial, turn.state.last_bundle
    if trial is not None and last is not None and last.ref == ref:
        turn.act(StopTrial(trial))
        turn.record(Announce(EventName.TRIAL_FAILED, trial, ref, reason=reason))
        turn.durable = replace(turn.durable, trial=None, tries=TRIES)


def began(turn: Turn, swap_id: str, ref: BundleRef, *, trusted: bool) -> bool:
    """Put what just became active on trial unless it was confirmed before; True if on trial.

    `trusted`: the operator's configuration names it, which counts as a confirmation.
    """
    durable = turn.durable
    if durable.trial is not None:
        turn.act(StopTrial(durable.trial))
    if ref in durable.confirmed:
        turn.durable = replace(turn.durable, trial=None, tries=TRIES)
        return False
    if trusted:
        turn.durable = replace(
            turn.durable, trial=None, tries=TRIES, confirmed=(*durable.confirmed, ref)
        )
        return False
    tries = (
        durable.tries if durable.trial and durable.active and durable.active.ref == ref else TRIES
    )
    turn.durable = replace(turn.durable, trial=swap_id, tries=tries)
    return True


def reconfirmed(turn: Turn, ref: BundleRef) -> None:
    """An operator swapped back to a confirmed version: it is the latest again."""
    confirmed = turn.durable.confirmed
    if ref in confirmed:
        turn.durable = replace(turn.durable, confirmed=(*(r for r in confirmed if r != ref), ref))


def forget_given_up(turn: Turn) -> None:
    """Try again what failed for this box's own fault, some time later."""
    state = turn.state
    if state.retry_at is not None and turn.now.at >= state.retry_at:
        turn.state = replace(state, given_up=frozenset(), resting=frozenset(), retry_at=None)
