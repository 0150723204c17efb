"""The planner's state space, searched exhaustively: every interleaving of requests, orders, late
answers, failures, losses, trials and restarts in a small world, with the invariants at each step.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import pytest

from edge_daemon.core.actions import AskCutover, Prepare, Reply, Restore, Withdraw
from edge_daemon.core.events import (
    BundleProven,
    BundleRefused,
    BundleVerified,
    CutoverDone,
    CutoverWithdrawn,
    Event,
    OrderReceived,
    RequestReceived,
    SlotFreed,
    SlotLost,
    Started,
    TimePassed,
    TrialJudged,
)
from edge_daemon.core.lifecycle import Phase
from edge_daemon.core.planner import step
from edge_daemon.core.state import TRIES, Durable, Operation, SlotState, Stage, State
from edge_daemon.core.values import (
    AtFrame,
    AtNextOrder,
    BundleRef,
    Instant,
    JobOrder,
    Known,
    ModelChoice,
    OrderState,
    Refusal,
    Request,
    Status,
    Verb,
)

B1, B2, C1 = (Known(BundleRef.parse(r), r) for r in ("b@1", "b@2", "c@1"))
NOW, LATER = Instant(0.0, 0.0), Instant(1000.0, 1000.0)
GATE = Refusal("gate_failed", "bad")
BOX = Refusal("no_memory", "full", blames_box=True)
FRESH = Durable()
OUTCOMES = {
    Status.SUCCEEDED,
    Status.REJECTED,
    Status.FAILED,
    Status.SUPERSEDED,
    Status.EXPIRED,
    Status.INTERRUPTED,
}


@dataclass(frozen=True)
class World:
    """The planner's state, and what its surroundings know."""

    state: State
    proven: frozenset[str] = frozenset()  # slots whose content passed the gate in this boot
    open: frozenset[str] = frozenset()  # accepted, not yet answered
    asked: int = 0  # requests and orders used up
    faults: int = 0
    confirmed_tries: int = TRIES


def requests_for(budget: int) -> list[Request]:
    name = f"r{budget}"
    swap = Request(name, Verb.SWAP, ModelChoice("b", "2"))
    return [
        swap,
        replace(swap, model=ModelChoice("c", "1")),
        replace(swap, model=ModelChoice("b", "1"), at=AtFrame(99)),
        replace(swap, at=AtNextOrder(), expires_utc=500.0),
        replace(swap, verb=Verb.PREPARE),
        replace(swap, dry_run=True),
        Request(name, Verb.ROLLBACK),
        Request(name, Verb.CONFIRM),
        Request(name, Verb.HOLD),
        Request(name, Verb.RELEASE),
    ]


def orders_for(budget: int) -> list[JobOrder]:
    return [
        JobOrder(product, state, NOW, id=f"wo-{product}")
        for product, state in (
            ("P", OrderState.RUNNING),
            ("Q", OrderState.RUNNING),
            ("X", OrderState.RUNNING),
            ("Q", OrderState.DISPATCHED),
            ("P", OrderState.COMPLETED),
        )
    ]


def answers(state: State, faults: bool) -> list[tuple[Event, bool]]:
    """What the surroundings may report now, and whether it spends a fault."""
    found: list[tuple[Event, bool]] = []
    for slot in state.slots:
        if slot.phase is Phase.PREPARING:
            found.append((BundleProven(slot.token), False))
            found += [(BundleRefused(slot.token, r), True) for r in (GATE, BOX)] if faults else []
        elif slot.phase is Phase.RESTORING:
            found.append((BundleProven(slot.token), False))
            found += [(BundleRefused(slot.token, BOX), True)] if faults else []
        elif slot.phase is Phase.DRAINING:
            found.append((SlotFreed(slot.token), False))
        elif slot.phase is Phase.READY and faults:
            found.append((SlotLost(slot.token, "killed"), True))
    op = state.op
    if op is not None and op.stage is Stage.VERIFYING:
        found.append((BundleVerified(op.token), False))
        found += [(BundleRefused(op.token, GATE), True)] if faults else []
    if op is not None and op.stage in (Stage.CUTTING, Stage.VACATING, Stage.WITHDRAWING):
        found.append((CutoverDone(op.token, 7), False))
    if op is not None and op.stage is Stage.WITHDRAWING:
        found.append((CutoverWithdrawn(op.token), False))
    if state.durable.trial is not None and state.active:
        found.append((TrialJudged(state.durable.trial, True, "good"), False))
        found += [(TrialJudged(state.durable.trial, False, "bad"), True)] if faults else []
    return found


def stale(state: State) -> list[Event]:
    """Late answers of jobs that are over."""
    current = {s.token for s in state.slots} | ({state.op.token} if state.op else set())
    tokens = [t for t in (state.token - 1, state.token + 1) if t not in current and t > 0]
    makers = (BundleProven, BundleVerified, SlotFreed)
    found: list[Event] = [make(t) for t in tokens for make in makers]
    found += [BundleRefused(t, GATE) for t in tokens] + [CutoverDone(t, 3) for t in tokens]
    return [*found, *(SlotLost(t, "late") for t in tokens), TrialJudged("other", False, "late")]


def apply(world: World, event: Event, now: Instant, *, fault: bool, asks: bool) -> World:
    """One step, with every invariant of the core checked on it."""
    old = world.state
    new, actions = step(old, event, now)
    proven, open_ = set(world.proven), set(world.open)
    if isinstance(event, BundleProven):
        slot = old.slot_of_job(event.token)
        if slot is not None and slot.phase in (Phase.PREPARING, Phase.RESTORING):
            proven.add(slot.name)
    for action in actions:
        if isinstance(action, Reply):
            if action.status is Status.ACCEPTED:
                assert action.request.id not in open_, "accepted twice"
                open_.add(action.request.id)
            elif action.status in OUTCOMES and action.request.id in open_:
                open_.remove(action.request.id)
            elif action.status is not Status.PROGRESS:
                assert action.status is Status.REJECTED, f"an outcome without acceptance: {action}"
                assert isinstance(event, RequestReceived)
        if isinstance(action, AskCutover) and action.slot is not None:
            slot = new.slot(action.slot)
            assert slot.phase is Phase.READY, "asked to cross to a slot that is not READY"
            assert action.slot in proven, "asked to cross to what passed no gate in this boot"
            assert slot.bundle == action.target
            assert old.quarantine_reason(slot.bundle.ref) is None, "quarantined"
            if new.line.requires and action.at_frame is None:
                assert slot.bundle.ref.name == new.line.requires, "another product's model"
        if isinstance(action, Prepare):
            assert action.slot != new.active, "prepared over the active bundle"
            proven.discard(action.slot)
        if isinstance(action, Restore):
            proven.discard(action.slot)
    check(old, event, new, actions, frozenset(open_))
    return World(
        canonical(new),
        frozenset(proven),
        frozenset(open_),
        world.asked + asks,
        world.faults + fault,
        new.durable.tries,
    )


def check(old: State, event: Event, new: State, actions: tuple, open_: frozenset[str]) -> None:
    if old.active != new.active:
        assert isinstance(event, CutoverDone), "the pointer moved without the lane's word"
    heavy = [a for a in actions if isinstance(a, (Prepare, AskCutover, Restore))]
    assert len(heavy) <= 2, "too much at once"
    hands = {o.request.id for o in (new.op, new.queued, new.parked) if o and o.request}
    assert open_ == hands, f"open {open_} but in hand {hands}"
    loading = [s for s in new.slots if s.phase is Phase.PREPARING]
    assert len(loading) <= 1, "two bundles are prepared at once"
    if new.active and new.durable.active:
        bundle = new.slot(new.active).bundle
        assert bundle == new.durable.active, "the durable active version is not the active one"
    assert not set(new.durable.confirmed) & {r for r, _ in new.durable.quarantined}
    for action in actions:
        if isinstance(action, Withdraw):
            assert new.op is not None


def check_stale(world: World) -> None:
    for event in stale(world.state):
        new, actions = step(world.state, event, NOW)
        assert (new, actions) == (world.state, ()), f"stale {event} changed something: {actions}"


def canonical(state: State) -> State:
    """The same state with small numbers: tokens and counters matter only by their order."""
    awaited = state.op is not None and state.op.stage is not Stage.PREPARING
    op_tokens = [state.op.token] if state.op and awaited else []
    tokens = sorted({s.token for s in state.slots} | set(op_tokens) | {0})
    rank = {t: i for i, t in enumerate(tokens)}
    uses = {u: i for i, u in enumerate(sorted({s.used for s in state.slots} | {0}))}
    ids: dict[str, str] = {}

    def named(swap_id: str) -> str:
        return ids.setdefault(swap_id, f"s-{len(ids)}")

    def renamed(op: Operation | None) -> Operation | None:
        if op is None:
            return None
        return replace(
            op, swap_id=named(op.swap_id), token=rank[op.token] if awaited and op is state.op else 0
        )

    trial = state.durable.trial
    durable = replace(state.durable, trial=named(trial) if trial else None)
    upcoming = state.upcoming
    return replace(
        state,
        slots=tuple(replace(s, token=rank[s.token], used=uses[s.used]) for s in state.slots),
        durable=durable,
        op=renamed(state.op),
        queued=renamed(state.queued),
        parked=renamed(state.parked),
        line=replace(state.line, epoch=0),
        upcoming=upcoming,
        token=max(rank.values()) + 1,
        uses=max(uses.values()) + 1,
        swaps=1000 + len(ids),
        losses=min(state.losses, TRIES),
        lost_at=0.0,
        retry_at=1.0 if state.retry_at is not None else None,
    )


def restarted(world: World) -> World:
    """The box lost power: only what was durable is left; open requests are `interrupted`."""
    durable = world.state.durable
    fresh = start_state(len(world.state.slots), durable)
    after = apply(World(fresh), Started(), NOW, fault=False, asks=False)
    if durable.trial is not None and after.state.durable.trial is not None:
        assert after.state.durable.tries < durable.tries, "tries do not fall"
    known = {*after.state.durable.confirmed, *(r for r, _ in after.state.durable.quarantined)}
    assert set(durable.confirmed) <= known, "a confirmed version was forgotten"
    return replace(after, asked=world.asked, faults=world.faults + 1)


def start_state(slots: int, durable: Durable = FRESH) -> State:
    return State(
        boot="t",
        slots=tuple(SlotState(n) for n in "ABCD"[:slots]),
        links=(("P", "b"), ("Q", "c")),
        initial=ModelChoice("b", "1"),
        available=(B1, B2, C1),
        durable=durable,
    )


def choices(world: World, asks: int, faults: int) -> list[tuple[Event, Instant, bool, bool]]:
    """Every event that may come next: (event, when, spends a fault, spends an ask)."""
    state = world.state
    found: list[tuple[Event, Instant, bool, bool]] = [
        (event, NOW, fault, False) for event, fault in answers(state, world.faults < faults)
    ]
    if state.op or state.parked or state.queued or state.retry_at is not None:
        found.append((TimePassed(), LATER, False, False))
    if world.asked < asks:
        found += [(RequestReceived(r, 5), NOW, False, True) for r in requests_for(world.asked)]
        found += [(OrderReceived(o), NOW, False, True) for o in orders_for(world.asked)]
    if world.faults < faults:
        found.append((Started(), NOW, True, False))
    return found


def follow(world: World, choice: tuple[Event, Instant, bool, bool]) -> World:
    event, now, fault, asks = choice
    if isinstance(event, Started):
        return restarted(world)
    return apply(world, event, now, fault=fault, asks=asks)


def resumes(world: World) -> bool:
    """Without further faults, the surroundings only answering, inspection goes on."""
    state = world.state
    for _ in range(60):
        if state.active and not needs_more(state):
            return True
        events = [e for e, fault in answers(state, False) if not isinstance(e, TrialJudged)]
        event, now = (events[0], NOW) if events else (TimePassed(), LATER)
        after, _ = step(state, event, now)
        if after == state and not events:
            return nothing_fit(state)
        state = after
    return False


def needs_more(state: State) -> bool:
    bundle = state.active_bundle
    slot = state.slot(state.active) if state.active else None
    right = state.line.requires in (None, bundle.ref.name if bundle else None)
    return state.unfit or not right or slot is None or slot.phase is not Phase.READY


def nothing_fit(state: State) -> bool:
    """No version may be tried: quarantined, refused as it lies on disk, or without a link."""
    if not state.line.linked:
        return True
    assert state.retry_at is None, "it is at rest, though it meant to try again"
    last = state.durable.active.ref.name if state.durable.active else "b"
    names = {state.line.requires} if state.line.requires else {last, "b"}
    fit = [
        k
        for k in state.available
        if state.quarantine_reason(k.ref) is None and k.ref not in state.given_up
    ]
    confirmed = {r.name for r in state.durable.confirmed} | dict(state.durable.selected).keys()
    return not [
        k
        for k in fit
        if k.ref.name in names
        and (k.ref in state.durable.confirmed or k.ref.name not in confirmed or k == B1)
    ]


def explore(slots: int, asks: int, faults: int) -> int:
    first = apply(World(start_state(slots)), Started(), NOW, fault=False, asks=False)
    came_from: dict[World, tuple[World, Event] | None] = {first: None}
    queue = deque([first])
    while queue:
        world = queue.popleft()
        choice: object = "at rest"
        try:
            check_stale(world)
            assert resumes(world), "inspection does not resume"
            for choice in choices(world, asks, faults):
                neighbour = follow(world, choice)
                if neighbour not in came_from:
                    came_from[neighbour] = (world, choice[0])
                    queue.append(neighbour)
        except AssertionError as broken:
            raise AssertionError(f"{broken}\n{story(world, came_from)}\n-> {choice}") from broken
    return len(came_from)


def story(world: World, came_from: dict[World, tuple[World, Event] | None]) -> str:
    """The shortest way to a world, event by event."""
    lines = [str(world.state)]
    step_before = came_from[world]
    while step_before is not None:
        world, event = step_before
        lines.insert(0, str(event))
        step_before = came_from[world]
    return "\n".join(lines)


@pytest.mark.parametrize(("slots", "asks", "faults"), [(1, 2, 1), (2, 2, 1), (3, 2, 1)])
def test_no_interleaving_breaks_an_invariant(slots: int, asks: int, faults: int) -> None:
    """Every reachable state of the small world keeps every invariant, and recovers by itself."""
    states = explore(slots, asks, faults)
    assert states > 1000
