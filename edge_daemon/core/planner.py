"""The planner: `step(state, event, now) -> (state, effects, records)`. No clock, no I/O, no log.

Each step takes the event in, then settles: it looks for what is needed most (a model for frames
that wait, an operation under way, one that is queued, one that is due, one that an order will
need) and asks for the next piece of work. The driver performs the effects.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NoReturn

from edge_daemon.core import (
    candidates,
    cutover,
    health,
    jobs,
    operations,
    orders,
    requests,
    rollout_requests,
    selection,
)
from edge_daemon.core.effects import Effect, Stamp
from edge_daemon.core.events import (
    BundleProven,
    BundleRefused,
    BundleVerified,
    CandidateLost,
    CutoverDone,
    CutoverWithdrawn,
    Event,
    FailedOver,
    ForecastMade,
    LinksChanged,
    OrderReceived,
    QuarantineChanged,
    RequestReceived,
    RolloutDecided,
    SlotFreed,
    SlotLost,
    SnapshotTaken,
    StageReached,
    Started,
    StoreChanged,
    TimePassed,
    TrialJudged,
)
from edge_daemon.core.lifecycle import WITH_LANE, Step
from edge_daemon.core.records import Record
from edge_daemon.core.state import Kind, Operation, State
from edge_daemon.core.step_draft import StepDraft
from edge_daemon.core.values import Assignment, AtNow, Instant, Refusal, Status
from edge_daemon.errors import Code


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
    if isinstance(event, RequestReceived):
        requests.received(draft, event)
    elif isinstance(event, OrderReceived):
        orders.received(draft, event.order)
    elif isinstance(event, StageReached):
        jobs.stage_reached(draft, event)
    elif isinstance(event, BundleVerified):
        jobs.verified(draft, event)
    elif isinstance(event, BundleProven):
        jobs.proven(draft, event)
    elif isinstance(event, BundleRefused):
        jobs.refused(draft, event)
    elif isinstance(event, SlotFreed):
        jobs.freed(draft, event)
    elif isinstance(event, SlotLost):
        candidates.slot_lost(draft, event)
        health.slot_lost(draft, event)
    elif isinstance(event, FailedOver):
        health.stood_in(draft, event)
    elif isinstance(event, CutoverDone):
        cutover.done(draft, event)
    elif isinstance(event, CutoverWithdrawn):
        cutover.withdrawn(draft, event)
    elif isinstance(event, TrialJudged):
        health.trial_judged(draft, event)
    elif isinstance(event, QuarantineChanged):
        health.quarantine_changed(draft, event)
    elif isinstance(event, SnapshotTaken):
        requests.snapshot_taken(draft, event)
    elif isinstance(event, LinksChanged):
        orders.relink(draft, event.links)
    elif isinstance(event, StoreChanged):
        draft.state = replace(
            draft.state,
            available=event.available,
            refused=event.refused,
            below=event.below,
            skipped=frozenset(),
        )
    elif isinstance(event, RolloutDecided):
        candidates.decided(draft, event)
    elif isinstance(event, CandidateLost):
        candidates.lost(draft, event)
    elif isinstance(event, ForecastMade):
        rollout_requests.foretold(draft, event)
    elif isinstance(event, Started):
        _started(draft)
    elif isinstance(event, TimePassed):
        health.forget_given_up(draft)
    else:
        _unlisted(event)


def _unlisted(event: NoReturn) -> NoReturn:
    raise AssertionError(f"no rule for {event!r}")


def _started(draft: StepDraft) -> None:
    health.started(draft)
    durable = draft.durable
    if durable.product is not None or durable.job_order is not None:
        name = None if durable.product is None else draft.state.link(durable.product)
        line = Assignment(1, durable.product, durable.job_order, name, linked=name is not None)
        draft.state = replace(draft.state, line=line)
        draft.act(Stamp(line, since_at=0.0))


# --------------------------------------------------------------------------- time


def _expire(draft: StepDraft) -> None:
    """End accepted requests whose time is over before their cutover."""
    for op in (draft.state.op, draft.state.queued, draft.state.parked):
        request = op.request if op else None
        if op is None or request is None or request.expires_utc is None:
            continue
        if draft.now.utc < request.expires_utc:
            continue
        if op.stage in WITH_LANE:
            operations.withdraw(draft, op)
        else:
            draft.finish(op, Status.EXPIRED, EXPIRED)


EXPIRED = Refusal(
    Code.EXPIRED, "The request expired before its cutover.", "Send it anew with more time."
)


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
    state = draft.state
    early = _early(state)
    if early is not None and (state.queued or _due(draft)):
        draft.advance(early, Step.END)
    if draft.state.op is None:
        _choose_next(draft)
    if draft.state.op is not None:
        operations.pursue(draft, draft.state.op)


def _early(state: State) -> Operation | None:
    """The operation in hand, where it goes behind all others and the lane was not asked yet."""
    op = state.op
    is_early = op is not None and op.kind.can_wait and op.stage not in WITH_LANE
    return op if is_early else None


def _is_needed(state: State) -> bool:
    """Whether frames wait for another model than the active one, or it proved bad."""
    active = state.active_bundle
    if not state.line.linked:
        return False
    if active is None or state.unfit:
        return True
    return state.line.requires is not None and active.ref.name != state.line.requires


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
        known for known in selection.wanted(state) if not (leaving and _is_active(state, known))
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


def _is_active(state: State, known: object) -> bool:
    return state.active_bundle == known


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
    """Prepare the bundle of the next announced order once, if there is a slot beside the active
    one.
    """
    state = draft.state
    order = next((u for u in state.upcoming if not u.done), None)
    if order is None or len(state.slots) == 1 or not selection.has_room(state):
        return
    targets = selection.for_name(state, order.name)
    if not targets or selection.resident(state, targets[0]):
        done = tuple(replace(u, done=True) if u == order else u for u in state.upcoming)
        draft.state = replace(draft.state, upcoming=done)
        return
    draft.advance(draft.operation(Kind.PREFETCH, targets[0]), Step.BEGIN)
