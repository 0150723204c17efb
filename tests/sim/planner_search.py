"""The planner's state space, searched exhaustively: every interleaving of requests, orders, late
answers, failures, losses, trials and restarts in a small world, with the invariants at each step.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from functools import cache

from edge_daemon.core.events import Event, OrderReceived, RequestReceived, Started, TimePassed
from edge_daemon.core.job_orders import (
    JobOrder,
    OrderState,
)
from edge_daemon.core.lifecycle import Stage as OpStage
from edge_daemon.core.rollout.values import Mode, Plan, Stage
from edge_daemon.core.state import TRIES, Operation, State
from edge_daemon.core.values import (
    Adjustable,
    AtFrame,
    AtNextOrder,
    Instant,
    ModelChoice,
    Recipe,
    Request,
    Rule,
)
from edge_daemon.core.verbs import Verb
from tests.sim.made_once import made_once
from tests.sim.planner_world import (
    LATER,
    NOW,
    World,
    answers,
    apply,
    check_stale,
    restarted,
    resumes,
    start_state,
)

ADJUSTABLE = Recipe(
    rules=(Rule("scratch", "scratch", 0.4, at_most=0),),
    adjustable=(Adjustable("scratch.confidence", 0.3, 0.6),),
)


PLAN = Plan((Stage(Mode.SHADOW), Stage(Mode.SHARE, 0.1), Stage(Mode.FULL)))
LOOKS_BACK = {
    on_alarm: replace(
        PLAN, stages=(Stage(Mode.SHADOW), Stage(Mode.FULL, shadow_back_h=1.0, on_alarm=on_alarm))
    )
    for on_alarm in ("ask", "rollback")
}
"""The version before goes on beside the new one, when that is confirmed."""


def requests_for(budget: int) -> list[Request]:
    name = f"r{budget}"
    swap = Request(name, Verb.SWAP, ModelChoice("b", "2"))
    return [
        swap,
        replace(swap, model=ModelChoice("c", "1")),
        replace(swap, model=ModelChoice("c", "1"), at=AtFrame(99)),
        replace(swap, at=AtNextOrder(), expires_utc=500.0),
        replace(swap, verb=Verb.PREPARE),
        replace(swap, dry_run=True),
        Request(name, Verb.ROLLBACK),
        Request(name, Verb.CONFIRM),
        Request(name, Verb.HOLD),
        Request(name, Verb.RELEASE),
        Request(name, Verb.TUNE, ModelChoice("b"), changes=(("scratch.confidence", 0.45),)),
        Request(name, Verb.TUNE, ModelChoice("b"), reset=True),
    ]


def requests_of_rollouts(budget: int) -> list[Request]:
    name = f"r{budget}"
    return [
        Request(name, Verb.ROLLOUT, ModelChoice("b", "2")),
        Request(name, Verb.ROLLOUT, ModelChoice("c", "1")),
        Request(name, Verb.ADVANCE),
        Request(name, Verb.ABORT),
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


def canonical(state: State) -> State:
    """The same state with small numbers: tokens and counters matter only by their order."""
    awaited = state.op is not None and state.op.stage is not OpStage.PREPARING
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
        left = op.left
        if left is not None:
            left = replace(left, epoch=left.epoch - state.line.epoch)
        return replace(
            op,
            swap_id=named(op.swap_id),
            token=rank[op.token] if awaited and op is state.op else 0,
            left=left,
        )

    trial = state.durable.trial
    tunings = sorted(state.durable.tunings, key=lambda each: str(each.target.ref))
    rollout, split = state.durable.rollout, state.split
    if rollout is not None:
        rollout = replace(rollout, id=named(rollout.id), began_utc=0.0, stage_utc=0.0)
    if split is not None:
        split = replace(split, rollout=named(split.rollout))
    durable = replace(
        state.durable,
        trial=named(trial) if trial else None,
        tunings=tuple(tunings),
        rollout=rollout,
    )
    upcoming = state.upcoming
    return replace(
        state,
        slots=tuple(
            replace(s, token=rank[s.token], used=uses[s.used], since_utc=0.0) for s in state.slots
        ),
        durable=durable,
        split=split,
        swap_id=None,
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


def choices(
    world: World, asks: int, faults: int, plan: Plan | None
) -> list[tuple[Event, Instant, bool, bool]]:
    """Every event that may come next: (event, when, spends a fault, spends an ask)."""
    state = world.state
    found: list[tuple[Event, Instant, bool, bool]] = [
        (event, NOW, fault, False) for event, fault in answers(state, world.faults < faults)
    ]
    if state.op or state.parked or state.queued or state.retry_at is not None:
        found.append((TimePassed(), LATER, False, False))
    more = requests_of_rollouts(world.asked)
    if world.asked < asks:
        found += [
            (RequestReceived(r, 5, ADJUSTABLE, plan=plan), NOW, False, True)
            for r in (*requests_for(world.asked), *(more if plan else ()))
        ]
        found += [(OrderReceived(o), NOW, False, True) for o in orders_for(world.asked)]
    if world.faults < faults:
        found.append((Started(), NOW, True, False))
    return found


def follow(world: World, choice: tuple[Event, Instant, bool, bool]) -> World:
    event, now, fault, asks = choice
    if isinstance(event, Started):
        after = restarted(world)
    else:
        after = apply(world, event, now, fault=fault, asks=asks)
    return replace(after, state=canonical(after.state))


@cache
def explore(slots: int, asks: int, faults: int, plan: Plan | None = None) -> frozenset[State]:
    """Every reachable state of a small world, the invariants checked on the way.

    With a plan it begins with a rollout: its candidate is about to be prepared.
    """
    name = f"explored {slots} {asks} {faults} {plan}"
    return made_once(name, lambda: _explored(slots, asks, faults, plan))


def _explored(slots: int, asks: int, faults: int, plan: Plan | None) -> frozenset[State]:
    first = apply(World(start_state(slots)), Started(), NOW, fault=False, asks=False)
    if plan is not None:
        asked = Request("rollout", Verb.ROLLOUT, ModelChoice("b", "2"))
        for _ in range(2):  # the first model is proven, and crosses
            first = apply(first, answers(first.state, faults=False)[0][0], NOW)
        first = apply(first, RequestReceived(asked, 5, plan=plan), NOW)
    first = replace(first, state=canonical(first.state))
    came_from: dict[World, tuple[World, Event] | None] = {first: None}
    queue = deque([first])
    while queue:
        world = queue.popleft()
        choice: object = "at rest"
        try:
            check_stale(world)
            assert resumes(world), "inspection does not resume"
            for choice in choices(world, asks, faults, plan):
                neighbour = follow(world, choice)
                if neighbour not in came_from:
                    came_from[neighbour] = (world, choice[0])
                    queue.append(neighbour)
        except AssertionError as broken:
            raise AssertionError(f"{broken}\n{story(world, came_from)}\n-> {choice}") from broken
    return frozenset(world.state for world in came_from)


def story(world: World, came_from: dict[World, tuple[World, Event] | None]) -> str:
    """The shortest way to a world, event by event."""
    lines = [str(world.state)]
    step_before = came_from[world]
    while step_before is not None:
        world, event = step_before
        lines.insert(0, str(event))
        step_before = came_from[world]
    return "\n".join(lines)
