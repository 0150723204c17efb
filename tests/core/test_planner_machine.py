"""The planner with the real ring, active slot and lane, in long random lives.

One thread plays everything: the surroundings answer, late or never, workers die, orders and
requests come at any moment, the box restarts. Each step keeps the core's invariants, and each
captured frame has one verdict, by a model that was in force and linked to its product.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from edge_daemon.core.effects import AskCutover, Effect, Free, PassOver, Stamp, Withdraw
from edge_daemon.core.events import (
    BundleProven,
    CutoverDone,
    CutoverWithdrawn,
    Event,
    OrderReceived,
    QuarantineChanged,
    RequestReceived,
    SlotLost,
    Started,
    TimePassed,
)
from edge_daemon.core.job_orders import (
    JobOrder,
    OrderState,
)
from edge_daemon.core.judged import Judged
from edge_daemon.core.planner import step
from edge_daemon.core.values import (
    AtFrame,
    AtNextOrder,
    AtNow,
    AtTime,
    BundleRef,
    ModelChoice,
    Request,
    StoredBundle,
)
from edge_daemon.core.verbs import Verb
from edge_daemon.errors import BundleError
from edge_daemon.frames.captured import Captured
from edge_daemon.frames.lane import Lane
from edge_daemon.frames.ledger import Ledger
from edge_daemon.frames.ring import Ring
from edge_daemon.host.memory import FrameShape
from edge_daemon.slots.active import ActiveSlot, Crossed, Cutover, Pointer
from edge_daemon.slots.slot import LoadOrder
from tests.sim.clock import SimClock
from tests.sim.planner_world import (
    World,
    answers,
    apply,
    check_stale,
    needs_more,
    nothing_fit,
    restarted,
    start_state,
)
from tests.sim.slot import Script, SimSlot

SHAPE = FrameShape(2, 4)
BUNDLES = tuple(StoredBundle(BundleRef.parse(r), r) for r in ("b@1", "b@2", "b@3", "c@1", "c@2"))
CHOICES = st.sampled_from(
    [*(ModelChoice(k.ref.name, k.ref.version) for k in BUNDLES), ModelChoice("b"), ModelChoice("c")]
)
PRODUCTS = st.sampled_from(["P", "P", "Q", "Q", "X"])
PLACES = 200


class Line:
    """Ring, active slot, lane and slots of one life, and what they have told."""

    def __init__(self, names: tuple[str, ...], clock: SimClock) -> None:
        self.clock = clock
        self.ring = Ring(PLACES)
        self.slots = {name: SimSlot(name, script=Script(inference_ms=1.0)) for name in names}
        self.active_slot = ActiveSlot(self.slots, self.ring.wake)
        self.lane = Lane(self.ring, self.active_slot, self, clock.now)
        self.ledger = Ledger()
        self.told: deque[Event] = deque()
        self.verdicts: list[Judged] = []
        self.reigns: list[tuple[int, str | None]] = [(0, None)]  # from this frame on, this bundle
        self.targets: dict[int, str | None] = {}

    def judged(self, judged: Judged, captured: Captured) -> None:
        self.ledger.record(judged)
        self.verdicts.append(judged)

    def crossed(self, crossed: Crossed) -> None:
        self.reigns.append((crossed.frame, self.targets[crossed.token]))
        self.told.append(CutoverDone(crossed.token))

    def lost(self, load: int, why: str) -> None:
        self.told.append(SlotLost(load, why))

    def failed(self, error: BundleError) -> None:
        pass

    def waits(self) -> None:
        pass

    def capture(self) -> None:
        now = self.clock.advance(0.01)
        lease = self.ring.begin(SHAPE)
        self.ring.commit(lease, now)

    def turn(self) -> None:
        self.ring.wake()  # or it would wait for a camera that is this very thread
        self.lane.turn()

    def load(self, name: str, bundle: StoredBundle, token: int) -> None:
        order = LoadOrder(bundle.ref, bundle.sha256, Path(), Path(), "detect", ("x",), 32, 0.2)
        self.slots[name].load(order, 1.0)
        self.active_slot.ready(name, token)

    def perform(self, action: Effect) -> None:
        if isinstance(action, AskCutover):
            self._ask(action)
        elif isinstance(action, Withdraw):
            if self.active_slot.withdraw(action.token):
                self.told.append(CutoverWithdrawn(action.token))
        elif isinstance(action, Free):
            self.slots[action.slot].free()
        elif isinstance(action, PassOver):
            self.ring.pass_over(action.epoch)
        elif isinstance(action, Stamp) and action.from_frame is not None:
            self.ring.stamp_from(action.assignment, action.from_frame)
        elif isinstance(action, Stamp):
            self.ring.stamp(action.assignment, action.since_at or 0.0)

    def _ask(self, action: AskCutover) -> None:
        pointer = Pointer(expecting=action.expecting)
        if action.slot is not None and action.target is not None:
            pointer = Pointer(self.slots[action.slot], action.target)
        self.targets[action.token] = action.target.sha256 if action.target else None
        cutover = Cutover(action.token, pointer, action.swap_id, action.at_epoch, action.at_frame)
        self.active_slot.ask(cutover)

    def check(self) -> None:
        """Every verdict so far is the one that the cutovers put in force."""
        assert self.ledger.first_violation is None
        assert self.ledger.counts().dropped == 0, "frames waited until the ring was full"
        reigns = iter([*self.reigns, (1 << 60, None)])
        model, upcoming = next(reigns)[1], next(reigns)
        for verdict in self.verdicts:
            while verdict.frame >= upcoming[0]:
                model, upcoming = upcoming[1], next(reigns)
            assert verdict.sha256 in (None, model), f"frame {verdict.frame}"


class Lives(RuleBasedStateMachine):
    """One device: a state, its line, and a clock that only rules turn."""

    @initialize(slots=st.integers(1, 4))
    def begin(self, slots: int) -> None:
        self.clock = SimClock()
        self.number = 0
        self.world = World(replace(start_state(slots), available=BUNDLES))
        self.line = self._new_line()
        self.feed(Started())

    def _new_line(self) -> Line:
        return Line(tuple(slot.name for slot in self.world.state.slots), self.clock)

    def feed(self, event: Event) -> None:
        """One step, its effects, and what the line has to say to them."""
        now = self.clock.now()
        _, effects, _ = step(self.world.state, event, now)
        self.world = apply(self.world, event, now)
        for action in effects:
            self.line.perform(action)
        while self.line.told:
            self.feed(self.line.told.popleft())

    def turn(self) -> None:
        self.line.turn()
        while self.line.told:
            self.feed(self.line.told.popleft())

    # ------------------------------------------------------------------ frames

    @rule(count=st.integers(1, 4), turns=st.integers(0, 6))
    def frames(self, count: int, turns: int) -> None:
        if self.line.ring.depth < PLACES // 2:
            for _ in range(count):
                self.line.capture()
        for _ in range(turns):
            self.turn()

    # ------------------------------------------------------------------ people and orders

    @rule(data=st.data(), verb=st.sampled_from([Verb.SWAP, Verb.SWAP, Verb.PREPARE]))
    def ask(self, data: Any, verb: Verb) -> None:
        now, ahead = self.clock.now(), self.line.ring.next_number
        at = data.draw(
            st.one_of(
                st.just(AtNow()),
                st.just(AtNextOrder()),
                st.integers(0, 12).map(lambda n: AtFrame(ahead + n)),
                st.integers(1, 20).map(lambda s: AtTime(now.utc + s)),
            )
        )
        expires = data.draw(st.none() | st.integers(1, 20).map(lambda s: now.utc + s))
        choice, dry = data.draw(CHOICES), data.draw(st.booleans())
        plain = verb is Verb.PREPARE
        self.send(Request("", verb, choice, AtNow() if plain else at, None, expires, dry_run=dry))

    @rule(verb=st.sampled_from([Verb.ROLLBACK, Verb.CONFIRM, Verb.HOLD, Verb.RELEASE]))
    def ask_briefly(self, verb: Verb) -> None:
        self.send(Request("", verb))

    def send(self, request: Request) -> None:
        self.number += 1
        known = replace(request, id=f"r{self.number}")
        self.feed(RequestReceived(known, self.line.ring.next_number))

    @rule(product=PRODUCTS | st.none(), state=st.sampled_from(list(OrderState)), same=st.booleans())
    def order(self, product: str | None, state: OrderState, same: bool) -> None:
        assume(product is not None or state is not OrderState.DISPATCHED)
        self.number += not same
        order = JobOrder(product, state, self.clock.now(), id=f"wo-{self.number}")
        self.feed(OrderReceived(order))

    @rule(known=st.sampled_from(BUNDLES), lift=st.booleans())
    def quarantine(self, known: StoredBundle, lift: bool) -> None:
        self.feed(QuarantineChanged(known.ref, None if lift else "an operator's word"))

    # ------------------------------------------------------------------ the surroundings

    @rule(data=st.data(), faults=st.booleans())
    def answer(self, data: Any, faults: bool) -> None:
        found = [event for event, _ in answers(self.world.state, faults) if _is_a_jobs(event)]
        if found:
            self.give(data.draw(st.sampled_from(found)))

    def give(self, event: Event) -> None:
        if isinstance(event, BundleProven):
            slot = self.world.state.slot_of_job(event.token)
            assert slot is not None
            assert slot.bundle is not None
            self.line.load(slot.name, slot.bundle, event.token)
        self.feed(event)

    @precondition(lambda self: self.world.state.active is not None)
    @rule()
    def kill_the_worker(self) -> None:
        active = self.world.state.active
        assert active is not None
        self.line.slots[active].kill()

    @rule(seconds=st.sampled_from([0.1, 1.0, 15.0, 70.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.feed(TimePassed())

    @rule()
    def late_answers_change_nothing(self) -> None:
        check_stale(self.world)

    @rule()
    def restart(self) -> None:
        self.line.check()
        before = self.world
        after = restarted(before)
        durable = before.state.durable
        state = replace(start_state(len(before.state.slots), durable), available=BUNDLES)
        over = after.state.durable.trial is None
        assert after.state.durable.tries <= durable.tries or over
        self.world = World(state)
        self.line = self._new_line()
        self.feed(Started())

    # ------------------------------------------------------------------ the end

    def teardown(self) -> None:
        """Without further faults every frame gets its verdict, and inspection goes on."""
        if not hasattr(self, "world"):
            return
        for _ in range(80):
            self.line.capture() if self.line.ring.depth < PLACES // 2 else None
            for _ in range(4):
                self.turn()
            found = [e for e, _ in answers(self.world.state, faults=False) if _is_a_jobs(e)]
            if found:
                self.give(found[0])
            else:
                self.clock.advance(31.0)
                self.feed(TimePassed())
        self.line.check()
        state = self.world.state
        if state.active is None or needs_more(state):
            assert nothing_fit(state), "inspection does not resume"
        else:
            assert self.line.ring.depth <= 1, "frames wait though the right model is active"


def _is_a_jobs(event: Event) -> bool:
    """The lane speaks for itself here, and so do trials that are not simulated."""
    return not isinstance(event, (CutoverDone, CutoverWithdrawn, SlotLost))


Lives.TestCase.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, print_blob=True
)
TestLives = Lives.TestCase
