"""The planner: `step(state, event, now) -> (state, effects, records)`. No clock, no I/O, no log.

Each step takes the event in, then settles: it looks for what is needed most (a model for frames
that wait, an operation under way, one that is queued, one that is due, one that an order will
need) and asks for the next piece of work. The driver performs the effects.
"""

from __future__ import annotations

from dataclasses import replace

from edge_daemon.core import (
    admission,
    candidates,
    cutover,
    events,
    health,
    jobs,
    operations,
    orders,
    requests,
    rollout_requests,
    selection,
)
from edge_daemon.core.effects import Effect
from edge_daemon.core.events import Event
from edge_daemon.core.lifecycle import WITH_LANE, Step
from edge_daemon.core.records import Record
from edge_daemon.core.state import Kind, Operation, State
from edge_daemon.core.step_draft import StepDraft
from edge_daemon.core.values import AtNow, Instant, Status
from edge_daemon.core.verbs import unlisted


def step(
    state: State, event: Event, now: Instant
) -> tuple[State, tuple[Effect, ...], tuple[Record, ...]]:
    """Decide. The same inputs always give the same answer."""
    draft = StepDraft(state, now)
    _take_in(draft, event)
    _expire(draft)
    _settle(draft)
    return draft.state, tuple(draft.effects), tuple(draft.records)


def _take_in(draft: StepDraft, event: Event) -> None:  # noqa: PLR0912 - the table of events
    match event:
        case events.RequestReceived():
            requests.received(draft, event)
        case events.OrderReceived():
            orders.received(draft, event.order)
        case events.StageReached():
            jobs.stage_reached(draft, event)
        case events.BundleVerified():
            jobs.verified(draft, event)
        case events.BundleProven():
            jobs.proven(draft, event)
        case events.BundleRefused():
            jobs.refused(draft, event)
        case events.SlotFreed():
            jobs.freed(draft, event)
        case events.SlotLost():
            candidates.slot_lost(draft, event)
            health.slot_lost(draft, event)
        case events.FailedOver():
            health.stood_in(draft, event)
        case events.CutoverDone():
            cutover.done(draft, event)
        case events.CutoverWithdrawn():
            cutover.withdrawn(draft, event)
        case events.TrialJudged():
            health.trial_judged(draft, event)
        case events.QuarantineChanged():
            health.quarantine_changed(draft, event)
        case events.SnapshotTaken():
            requests.snapshot_taken(draft, event)
        case events.LinksChanged():
            orders.relink(draft, event.links)
        case events.StoreChanged(available, refused, below):
            state = replace(draft.state, available=available, refused=refused, below=below)
            draft.state = replace(state, skipped=frozenset())
        case events.RolloutDecided():
            candidates.decided(draft, event)
        case events.CandidateLost():
            candidates.lost(draft, event)
        case events.ForecastMade():
            rollout_requests.foretold(draft, event)
        case events.Started():
            health.started(draft)
            orders.resume(draft)
        case events.TimePassed():
            health.forget_given_up(draft)
        case _:
            unlisted(event)


# --------------------------------------------------------------------------- time


def _expire(draft: StepDraft) -> None:
    """End accepted requests whose time is over before their cutover."""
    for op in draft.state.operations:
        if op.request is None or not op.request.is_expired(draft.now):
            continue
        if op.stage in WITH_LANE:
            operations.withdraw(draft, op)
        else:
            draft.finish(op, Status.EXPIRED, admission.EXPIRED)


# --------------------------------------------------------------------------- what is next


def _settle(draft: StepDraft) -> None:
    """Continue until nothing more can be requested; each round ends or starts one operation."""
    for _ in range(16):
        before = draft.state
        candidates.look(draft)
        _advance(draft)
        if draft.state == before:
            return
    raise AssertionError("the planner does not come to rest")


def _advance(draft: StepDraft) -> None:
    if _is_needed(draft.state):
        _meet_need(draft)
    else:
        _drop_own(draft)
    op, others = draft.state.op, draft.state.queued or _due(draft)
    if others and op is not None and op.kind.can_wait and op.stage not in WITH_LANE:
        draft.advance(op, Step.END)
    if draft.state.op is None:
        _choose_next(draft)
    if draft.state.op is not None:
        operations.pursue(draft, draft.state.op)


def _is_needed(state: State) -> bool:
    """Whether frames wait for another model than the active one, or it proved bad."""
    active, line = state.active_bundle, state.line
    is_other = active is None or line.requires not in (None, active.ref.name)
    return line.linked and (is_other or state.unfit)


def _fulfils(state: State, op: Operation | None) -> bool:
    """Whether a requested change meets the need as well as the daemon's own choice would."""
    if op is None or op.kind not in (Kind.SWAP, Kind.ROLLBACK) or not isinstance(op.at, AtNow):
        return False
    if op.request is not None and op.request.dry_run:
        return False
    return state.line.requires in (None, op.target.ref.name)


def _meet_need(draft: StepDraft) -> None:
    state = draft.state
    op = state.op
    if op is not None and op.stage in WITH_LANE:
        if op.kind.is_asked and not _fulfils(state, op):
            operations.withdraw(draft, op)
        return
    leaving = state.unfit and state.active is not None
    if not leaving and _fulfils(state, op):
        return
    if not leaving and _fulfils(state, state.queued) and (op is None or op.kind.is_asked):
        return
    targets = [
        known for known in selection.wanted(state) if not (leaving and known == state.active_bundle)
    ]
    if not targets:
        early = op is not None and op.kind.can_wait  # needs nothing of what is missing
        if leaving and (op is None or early):
            _leave(draft, op)
        elif op is not None and not op.kind.is_asked and not early:
            draft.advance(op, Step.END)
        return
    if op is not None and not op.kind.is_asked and op.target == targets[0]:
        return
    if op is not None and op.kind.is_asked:
        _requeue(draft, op)
    elif op is not None:
        draft.advance(op, Step.END)
    draft.advance(draft.operation(_own_kind(draft.state), targets[0]), Step.BEGIN)


def _own_kind(state: State) -> Kind:
    if state.active is None:
        return Kind.BOOT
    return Kind.REVERT if state.unfit else Kind.CHANGEOVER


def _requeue(draft: StepDraft, op: Operation) -> None:
    """The request continues after what is needed more."""
    if draft.state.queued is None:
        draft.advance(op, Step.QUEUE)
    else:
        draft.finish(op, Status.SUPERSEDED)


def _leave(draft: StepDraft, early: Operation | None) -> None:
    """The active version is bad and there is no other: judge with nothing."""
    bad = draft.state.active_bundle
    assert bad is not None
    if early is not None:
        draft.advance(early, Step.END)
    op = draft.advance(draft.operation(Kind.REVERT, bad), Step.BEGIN)
    operations.vacate(draft, op, expecting=False)


def _drop_own(draft: StepDraft) -> None:
    """The need is gone: so is the daemon's own operation, unless its cutover is under way."""
    op = draft.state.op
    if op is None or op.kind.is_asked or op.kind.can_wait:
        return
    if op.stage not in WITH_LANE:
        draft.advance(op, Step.END)


def _due(draft: StepDraft) -> bool:
    parked = draft.state.parked
    return parked is not None and operations.is_due(draft, parked)


def _choose_next(draft: StepDraft) -> None:
    state = draft.state
    if state.queued is not None:
        requests.start(draft, state.queued)
    elif state.parked is not None and _due(draft):
        requests.start(draft, state.parked)
    elif (candidate := candidates.wanted(state)) is not None:
        draft.advance(draft.operation(Kind.ROLLOUT, candidate), Step.BEGIN)
    elif not state.durable.held:
        _prefetch(draft)


def _prefetch(draft: StepDraft) -> None:
    """Prepare the bundle of the next announced order once, if it has a slot beside the active."""
    state = draft.state
    order = next((u for u in state.upcoming if not u.done), None)
    if order is None or len(state.slots) == 1 or not selection.has_room(state):
        return
    targets = selection.for_name(state, order.name)
    if not targets or selection.resident(state, targets[0]):
        draft.need_no_more(order.name)
    else:
        draft.advance(draft.operation(Kind.PREFETCH, targets[0]), Step.BEGIN)
