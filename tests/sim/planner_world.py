"""What surrounds the planner in its tests, and the invariants that every step must keep."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edge_daemon.core.effects import (
    AskCutover,
    Effect,
    EndSplit,
    Prepare,
    Restore,
    SetSplit,
    Withdraw,
)
from edge_daemon.core.events import (
    BundleProven,
    BundleRefused,
    BundleVerified,
    CandidateLost,
    CutoverDone,
    CutoverWithdrawn,
    Decision,
    Event,
    RequestReceived,
    RolloutDecided,
    SlotFreed,
    SlotLost,
    Started,
    TimePassed,
    TrialJudged,
)
from edge_daemon.core.lifecycle import Phase, Stage
from edge_daemon.core.planner import step
from edge_daemon.core.records import Reply
from edge_daemon.core.rollout.values import Mode
from edge_daemon.core.state import TRIES, Durable, Rollout, SlotState, State
from edge_daemon.core.values import (
    BundleRef,
    Instant,
    ModelChoice,
    Refusal,
    Status,
    StoredBundle,
)
from edge_daemon.core.verbs import Verb
from edge_daemon.errors import Code

B1, B2, C1 = (StoredBundle(BundleRef.parse(r), r) for r in ("b@1", "b@2", "c@1"))
NOW, LATER = Instant(0.0, 0.0), Instant(1000.0, 1000.0)
GATE = Refusal(Code.GATE_FAILED, "bad")
FRESH = Durable()
BOX = Refusal(Code.NO_MEMORY, "full", blames_box=True)
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
    proven: frozenset[str] = frozenset()  # slots whose content was proven in this boot
    open: frozenset[str] = frozenset()  # accepted, not yet answered
    asked: int = 0  # requests and orders used up
    faults: int = 0
    confirmed_tries: int = TRIES


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
        found.append((CutoverDone(op.token), False))
    if op is not None and op.stage is Stage.WITHDRAWING:
        found.append((CutoverWithdrawn(op.token), False))
    rollout = state.durable.rollout
    if rollout is not None and rollout.is_begun:
        stage = rollout.stage
        advance = RolloutDecided(rollout.id, stage, Decision.ADVANCE, "enough")
        found += [(advance, False)]
        if faults:
            found.append((RolloutDecided(rollout.id, stage, Decision.STOP, "worse"), True))
            found.append((CandidateLost(rollout.id, "raise", "it raised"), True))
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
    found += [BundleRefused(t, GATE) for t in tokens] + [CutoverDone(t) for t in tokens]
    found += [SlotLost(t, "late") for t in tokens]
    found += [RolloutDecided("other", 0, Decision.STOP, "late"), CandidateLost("other", "hang", "")]
    if state.durable.rollout is not None:
        rollout = state.durable.rollout
        found += [RolloutDecided(rollout.id, rollout.stage + 1, d, "late") for d in Decision]
    return [*found, TrialJudged("other", False, "late")]


def apply(
    world: World, event: Event, now: Instant, *, fault: bool = False, asks: bool = False
) -> World:
    """One step, with every invariant of the core checked on it."""
    old = world.state
    new, effects, records = step(old, event, now)
    proven, open_ = set(world.proven), set(world.open)
    if isinstance(event, BundleProven):
        slot = old.slot_of_job(event.token)
        if slot is not None and slot.phase in (Phase.PREPARING, Phase.RESTORING):
            proven.add(slot.name)
    for action in records:
        if isinstance(action, Reply):
            if action.status is Status.ACCEPTED:
                assert action.request.id not in open_, "accepted twice"
                open_.add(action.request.id)
            elif action.status in OUTCOMES and action.request.id in open_:
                open_.remove(action.request.id)
            elif action.status is not Status.PROGRESS:
                assert action.status is Status.REJECTED, f"an outcome without acceptance: {action}"
                assert isinstance(event, RequestReceived)
    for effect in effects:
        if isinstance(effect, AskCutover) and effect.slot is not None:
            slot = new.slot(effect.slot)
            assert slot.phase is Phase.READY, "asked to cross to a slot that is not READY"
            assert effect.slot in proven, "asked to cross to what passed no gate in this boot"
            assert slot.bundle == effect.target
            assert old.quarantine_reason(slot.bundle.ref) is None, "quarantined"
            if new.line.requires and effect.at_frame is None:
                assert slot.bundle.ref.name == new.line.requires, "another product's model"
        if isinstance(effect, Prepare):
            assert effect.slot != new.active, "prepared over the active bundle"
            proven.discard(effect.slot)
        if isinstance(effect, Restore):
            proven.discard(effect.slot)
    check(old, event, new, effects, frozenset(open_))
    check_rollout(old, event, new, effects, frozenset(proven))
    return World(
        new,
        frozenset(proven),
        frozenset(open_),
        world.asked + asks,
        world.faults + fault,
        new.durable.tries,
    )


def check(
    old: State, event: Event, new: State, effects: tuple[Effect, ...], open_: frozenset[str]
) -> None:
    if old.active != new.active:
        assert isinstance(event, CutoverDone), "the pointer moved without the lane's word"
    heavy = [a for a in effects if isinstance(a, (Prepare, AskCutover, Restore))]
    assert len(heavy) <= 2, "too much at once"
    hands = {o.request.id for o in (new.op, new.queued, new.parked) if o and o.request}
    rollout = new.durable.rollout
    hands |= {rollout.request_id} if rollout is not None and not rollout.is_back else set()
    assert open_ == hands, f"open {open_} but in hand {hands}"
    assert new.queued is None or new.queued.stage is Stage.QUEUED
    assert new.parked is None or new.parked.stage is Stage.PARKED
    loading = [s for s in new.slots if s.phase is Phase.PREPARING]
    assert len(loading) <= 1, "two bundles are prepared at once"
    if new.active and new.durable.active:
        bundle = new.slot(new.active).bundle
        assert bundle == new.durable.active, "the durable active version is not the active one"
    assert not set(new.durable.confirmed) & {r for r, _ in new.durable.quarantined}
    for tuning in new.durable.tunings:
        assert tuning.changes, "a tuning that tunes nothing"
        judging = new.durable.active
        if judging is not None and judging.ref.name == tuning.target.ref.name:
            assert judging == tuning.target, "another version than the one that judges is tuned"
    for effect in effects:
        if isinstance(effect, Withdraw):
            assert new.op is not None


def check_rollout(
    old: State, event: Event, new: State, effects: tuple[Effect, ...], proven: frozenset[str]
) -> None:
    """Whose verdict counts: what the line is told, and what may change it."""
    told = [e for e in effects if isinstance(e, (SetSplit, EndSplit))]
    last = told[-1] if told else old.split
    assert (last if isinstance(last, SetSplit) else None) == new.split, "the line was told else"
    rollout, split = new.durable.rollout, new.split
    if split is not None:
        assert rollout is not None
        assert split.rollout == rollout.id
        assert split.share <= rollout.share, "a wider share than that of the stage"
        assert split.mode is not Mode.FULL
        assert new.slot(split.slot).bundle == split.candidate == rollout.candidate
        assert new.slot(split.slot).phase is Phase.READY
        assert split.slot in proven, "a candidate that passed no gate in this boot"
        assert split.slot != new.active
        assert new.active_bundle == rollout.reference, "beside another model than its reference"
        assert new.line.requires in (None, rollout.candidate.ref.name), "another product's parts"
        assert new.quarantine_reason(rollout.candidate.ref) is None
    before = old.durable.rollout
    if before is not None and rollout is not None:
        if before.id != rollout.id:
            check_succession(event, old, before, rollout)
            return
        assert replace_stage(before) == replace_stage(rollout), "a plan changed"
        if before.stage != rollout.stage:
            assert rollout.stage == before.stage + 1
            assert may_advance(event, before.id, before.stage), "a stage without its evidence"
            assert old.split is not None, "a stage entered while it did not judge"
            by_hand = isinstance(event, RequestReceived)
            assert by_hand or not old.durable.held, "advanced while held"
    if before is not None and before.is_back and isinstance(event, CandidateLost):
        assert split is None, "it looks on after its fault"
        assert new.quarantine_reason(before.candidate.ref) is None, "the way back is closed"
    elif before is not None and is_stop(event, old) and not (before.is_full or before.is_back):
        assert rollout is None, "a stop was delayed"
        assert split is None, "its share outlives a stop"
        assert new.quarantine_reason(before.candidate.ref) is not None
    if before is None and rollout is not None:
        assert isinstance(event, RequestReceived)
        assert event.request.verb is Verb.ROLLOUT
        assert rollout.share == 0.0


def check_succession(event: Event, old: State, before: Rollout, after: Rollout) -> None:
    """What may follow on a rollout in one step: it looked back, or was over and looks back."""
    if before.is_back:
        assert isinstance(event, RequestReceived), "a look back was replaced by nobody"
        assert event.request.verb is Verb.ROLLOUT
        return
    assert after.is_back, "a second rollout took its place"
    assert before.is_full, "it looks back before it was full"
    assert (after.candidate, after.reference) == (before.reference, before.candidate)
    assert old.active_bundle == before.candidate, "what was tried does not judge"


def replace_stage(rollout: Rollout) -> Rollout:
    """The rollout without what changes of it."""
    return replace(rollout, stage=0, stage_utc=0.0, is_begun=False, asks="", is_alarmed=False)


def may_advance(event: Event, rollout: str, stage: int) -> bool:
    """Whether an event is one of the two that enter a stage."""
    if isinstance(event, RequestReceived):
        return event.request.verb is Verb.ADVANCE
    is_decided = isinstance(event, RolloutDecided) and event.decision is Decision.ADVANCE
    return is_decided and (event.rollout, event.stage) == (rollout, stage)  # type: ignore[union-attr]


def is_stop(event: Event, old: State) -> bool:
    """Whether an event must end the rollout that runs, whatever else goes on."""
    rollout = old.durable.rollout
    assert rollout is not None
    if isinstance(event, RolloutDecided):
        is_now = (event.rollout, event.stage) == (rollout.id, rollout.stage)
        return rollout.is_begun and is_now and event.decision is Decision.STOP
    judged = old.split is not None
    return judged and isinstance(event, CandidateLost) and event.rollout == rollout.id


def check_stale(world: World) -> None:
    for event in stale(world.state):
        done = step(world.state, event, NOW)
        assert done == (world.state, (), ()), f"stale {event} changed something: {done[1:]}"


def restarted(world: World) -> World:
    """The box lost power: only what was durable is left; open requests are `interrupted`."""
    durable = world.state.durable
    fresh = start_state(len(world.state.slots), durable)
    rollout = durable.rollout
    going_on = {rollout.request_id} if rollout is not None and not rollout.is_back else set()
    after = apply(World(fresh, open=frozenset(going_on)), Started(), NOW, fault=False, asks=False)
    kept = after.state.durable.rollout
    assert kept is None or kept == durable.rollout, "the rollout is another one after a restart"
    assert after.state.split is None, "a candidate judges before it was proven anew"
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


def resumes(world: World) -> bool:
    """Without further faults, the surroundings only answering, inspection goes on."""
    state = world.state
    for _ in range(60):
        if state.active and not needs_more(state):
            return True
        events = [e for e, _ in answers(state, False) if not isinstance(e, UNPRESSED)]
        event, now = (events[0], NOW) if events else (TimePassed(), LATER)
        after, *_ = step(state, event, now)
        if after == state and not events:
            return nothing_fit(state)
        state = after
    return False


UNPRESSED = (TrialJudged, RolloutDecided)
"""Nobody needs them for inspection to go on."""


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
        if state.quarantine_reason(k.ref) is None
        and k.ref not in state.skipped
        and k.ref not in state.backing_off
    ]
    confirmed = {r.name for r in state.durable.confirmed} | dict(state.durable.selected).keys()
    return not [
        k
        for k in fit
        if k.ref.name in names
        and (k.ref in state.durable.confirmed or k.ref.name not in confirmed or k == B1)
    ]
