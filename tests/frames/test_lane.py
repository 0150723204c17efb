"""The lane: one verdict for each captured frame, in order, by the model that may judge it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_daemon.core.judged import Judged
from edge_daemon.core.values import (
    Assignment,
    BundleRef,
    Counts,
    Detection,
    Reason,
    Recipe,
    Rule,
    StoredBundle,
    Verdict,
)
from edge_daemon.core.zones import Zone
from edge_daemon.errors import BoxError, BundleError, EdgeDaemonError, SlotLost
from edge_daemon.frames.captured import Captured
from edge_daemon.frames.lane import ERRAND_FRAMES, IDLE_S, PART_GAP_S, Lane
from edge_daemon.frames.ledger import Ledger
from edge_daemon.frames.ring import Ring
from edge_daemon.host.memory import FrameShape
from edge_daemon.slots.active import ActiveSlot, Crossed, Cutover, Pointer
from edge_daemon.slots.slot import LoadOrder
from tests.sim.clock import SimClock
from tests.sim.slot import Script, SimSlot

SHAPE = FrameShape(2, 4)
BOTTLE, BOTTLE2, CAN = (BundleRef.parse(r) for r in ("bottle@1", "bottle@2", "can@1"))
GENEROUS_S = 30.0


def product(name: str | None, epoch: int, *, linked: bool = True) -> Assignment:
    return Assignment(epoch, f"P-{name}", f"WO-{epoch}", name, linked=linked)


class RestingRing(Ring):
    """Tells when the lane waits with a frame at the head."""

    def __init__(self, places: int, *, latest: bool = False) -> None:
        super().__init__(places, latest=latest)
        self.rests = 0
        self.changed = threading.Condition()

    def rest(self, timeout_s: float | None) -> None:
        with self.changed:
            self.rests += 1
            self.changed.notify_all()
        super().rest(timeout_s)


class Harness:
    """A ring, two slots and a lane, whose listener this is."""

    def __init__(self, places: int = 16, *, latest: bool = False) -> None:
        self.clock = SimClock()
        self.ring = RestingRing(places, latest=latest)
        self.script = Script(inference_ms=1.0)
        self.slots = {name: SimSlot(name, script=self.script) for name in "AB"}
        self.active_slot = ActiveSlot(self.slots, self.ring.wake)
        self.lane = Lane(self.ring, self.active_slot, self, self.clock.now)
        self.verdicts: list[Judged] = []
        self.words: list[Crossed] = []
        self.losses: list[int] = []
        self.waited: list[int] = []
        self.failures: list[str] = []
        self.during: dict[int, Callable[[], None]] = {}  # done while this frame is told
        self.at_loss: Callable[[], None] = lambda: None
        self.ledger = Ledger()
        self._thread: threading.Thread | None = None

    # ------------------------------------------------------------------ the listener

    def judged(self, judged: Judged, captured: Captured) -> None:
        self.ledger.record(judged)
        with self.ring.changed:
            self.verdicts.append(judged)
            self.ring.changed.notify_all()
        self.during.pop(judged.frame, lambda: None)()

    def crossed(self, crossed: Crossed) -> None:
        with self.ring.changed:
            self.words.append(crossed)
            self.ring.changed.notify_all()

    def lost(self, load: int, why: str) -> None:
        self.losses.append(load)
        self.at_loss()

    def failed(self, error: EdgeDaemonError) -> None:
        self.failures.append(error.message)

    def waits(self) -> None:
        self.waited.append(len(self.verdicts))

    # ------------------------------------------------------------------ the story

    def load(self, slot: str, ref: BundleRef, load: int) -> None:
        order = LoadOrder(ref, str(ref), Path(), Path(), "detect", ("x",), 32, 0.2)
        self.slots[slot].load(order, 1.0)
        self.active_slot.ready(slot, load)

    def pointer(self, slot: str, ref: BundleRef) -> Pointer:
        return Pointer(self.slots[slot], StoredBundle(ref, str(ref)))

    def ask(
        self,
        slot: str,
        ref: BundleRef,
        token: int,
        *,
        at_epoch: int = 0,
        at_frame: int | None = None,
        may_wait: bool = False,
    ) -> None:
        pointer = self.pointer(slot, ref)
        self.active_slot.ask(Cutover(token, pointer, "swap", at_epoch, at_frame, may_wait))

    def capture(self, count: int = 1) -> None:
        for _ in range(count):
            now = self.clock.advance(0.001)
            lease = self.ring.begin(SHAPE)
            lease.pixels.fill(self.ring.next_number % 251)
            self.ring.commit(lease, now)

    def capture_flawed(self, flaw: Reason) -> None:
        self.ring.commit(self.ring.begin(SHAPE), self.clock.advance(0.001), flaw)

    def order(self, assignment: Assignment) -> None:
        """From the next captured frame on."""
        self.ring.stamp_from(assignment, self.ring.next_number)

    def run_dry(self) -> None:
        """The lane in this thread, until every frame has its verdict."""
        self.ring.close()
        self.lane.run()

    def start(self) -> None:
        self._thread = threading.Thread(target=self.lane.run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.ring.close()
        self.lane.give_up()
        if self._thread is not None:
            self._thread.join(GENEROUS_S)
            assert not self._thread.is_alive()

    def until(self, condition: Callable[[], bool]) -> None:
        with self.ring.changed:
            assert self.ring.changed.wait_for(condition, GENEROUS_S), self.told()

    def until_told(self, count: int) -> None:
        self.until(lambda: len(self.verdicts) >= count)

    def until_it_waits(self) -> None:
        before = self.ring.rests
        self.until(lambda: self.ring.rests > before)

    # ------------------------------------------------------------------ what came of it

    def told(self) -> list[tuple[int, str]]:
        """(frame, model or reason) of every verdict, as they came."""
        return [
            (v.frame, str(v.model) if v.model else v.reason.value if v.reason else "?")
            for v in self.verdicts
        ]


@pytest.fixture
def bench() -> Iterator[Harness]:
    made = Harness()
    made.load("A", BOTTLE, 1)
    made.active_slot.pointer = made.pointer("A", BOTTLE)
    yield made
    made.stop()


def models(bench: Harness) -> list[str]:
    return [what for _, what in bench.told()]


def test_every_frame_is_judged_once_and_in_order(bench: Harness) -> None:
    """A verdict names the frame, the model, its digest, the assignment and what was seen."""
    bench.order(product("bottle", 1))
    bench.capture(3)
    bench.run_dry()
    assert bench.told() == [(0, "bottle@1"), (1, "bottle@1"), (2, "bottle@1")]
    second = bench.verdicts[1]
    assert (second.sha256, second.assignment.job_order) == ("bottle@1", "WO-1")
    assert second.detections[0].box[0] == 1.0, "the pixels of another frame were judged"
    assert second.captured_utc > bench.verdicts[0].captured_utc
    assert bench.ledger.counts().balanced


def test_the_pointer_is_read_once_a_frame(bench: Harness) -> None:
    """A cutover that is asked while a frame is being judged holds from the next frame on."""
    bench.load("B", BOTTLE2, 2)
    detect = bench.script.detect

    def asked_meanwhile(order: LoadOrder, pixels: object) -> object:
        if pixels[0, 0, 0] == 1 and order.ref == BOTTLE:  # type: ignore[index]
            bench.ask("B", BOTTLE2, 7)
        return detect(order, pixels)  # type: ignore[arg-type]

    bench.script.detect = asked_meanwhile  # type: ignore[assignment]
    bench.capture(4)
    bench.run_dry()
    assert models(bench) == ["bottle@1", "bottle@1", "bottle@2", "bottle@2"]
    assert [(w.token, w.frame) for w in bench.words] == [(7, 2)]


def test_a_cutover_for_a_frame_is_made_exactly_there(bench: Harness) -> None:
    """`at frame N`: N is the first frame of the new model."""
    bench.load("B", BOTTLE2, 2)
    bench.ask("B", BOTTLE2, 7, at_frame=3)
    bench.capture(5)
    bench.run_dry()
    assert models(bench) == ["bottle@1"] * 3 + ["bottle@2"] * 2
    assert bench.words[0].frame == 3


def test_a_changeover_is_exact_to_the_frame(bench: Harness) -> None:
    """Older frames are judged by the old product's model, the order's first frame by its own."""
    bench.load("B", CAN, 2)
    bench.order(product("bottle", 1))
    bench.capture(2)
    bench.order(product("can", 2))
    bench.ask("B", CAN, 7, at_epoch=2)
    bench.capture(2)
    bench.run_dry()
    assert models(bench) == ["bottle@1", "bottle@1", "can@1", "can@1"]
    assert bench.words[0].frame == 2


def test_a_cutover_that_may_wait_is_made_between_two_parts(bench: Harness) -> None:
    """One that may not is made at once, and so is each where the active worker is lost."""
    bench.lane.is_split = lambda frame: frame in (1, 2, 4)
    bench.load("B", BOTTLE2, 2)
    bench.during[0] = lambda: bench.ask("B", BOTTLE2, 1, may_wait=True)
    bench.during[3] = lambda: bench.ask("A", BOTTLE, 2)
    bench.capture(6)
    bench.run_dry()
    assert models(bench) == ["bottle@1"] * 3 + ["bottle@2"] + ["bottle@1"] * 2
    assert [(word.token, word.frame) for word in bench.words] == [(1, 3), (2, 4)]


def test_a_line_without_gaps_is_waited_for_so_long_only(bench: Harness) -> None:
    """Then the part in view is split; the wait ends where the model before cannot judge either."""
    bench.lane.is_split = lambda frame: True
    bench.load("B", BOTTLE2, 2)
    bench.during[0] = lambda: bench.ask("B", BOTTLE2, 1, may_wait=True)
    bench.during[2] = lambda: bench.clock.advance(PART_GAP_S + 0.1)
    bench.capture(5)
    bench.run_dry()
    assert models(bench) == ["bottle@1"] * 3 + ["bottle@2"] * 2
    waiting = Harness()
    waiting.lane.is_split = lambda frame: True
    waiting.load("A", CAN, 1)
    waiting.load("B", BOTTLE, 2)
    waiting.active_slot.pointer = waiting.pointer("A", CAN)
    waiting.ask("B", BOTTLE, 1, may_wait=True)
    waiting.order(product("bottle", 1))
    waiting.capture(2)
    waiting.run_dry()
    assert models(waiting) == ["bottle@1"] * 2


def test_another_recipe_waits_for_a_gap_too(bench: Harness) -> None:
    """One part is judged by one recipe."""
    bench.lane.is_split = lambda frame: frame == 1
    strict = Recipe.rejecting(0.9, "x")
    bench.during[0] = lambda: bench.active_slot.retune(StoredBundle(BOTTLE, str(BOTTLE)), strict)
    bench.capture(3)
    bench.run_dry()
    assert [verdict.recipe == strict for verdict in bench.verdicts] == [False, False, True]


def test_a_slot_is_promoted_before_its_first_frame(bench: Harness) -> None:
    """The new model judges its very first frame under the priority of live frames."""
    bench.load("B", BOTTLE2, 2)
    bench.ask("B", BOTTLE2, 7, at_frame=1)
    bench.capture(2)
    bench.run_dry()
    calls = [(slot, call) for slot, call, _ in bench.script.calls if call in ("promote", "infer")]
    assert calls == [("A", "infer"), ("B", "promote"), ("B", "infer")]


def test_frames_of_the_next_product_wait_for_their_model(bench: Harness) -> None:
    """Nothing judges them meanwhile, and none is lost: they are judged once it is there."""
    bench.order(product("bottle", 1))
    bench.capture(2)
    bench.order(product("can", 2))
    bench.capture(2)
    bench.start()
    bench.until_it_waits()
    assert models(bench) == ["bottle@1", "bottle@1"]
    bench.clock.advance(0.5)
    bench.load("B", CAN, 2)
    bench.ask("B", CAN, 7, at_epoch=2)
    bench.until(lambda: len(bench.verdicts) == 4)
    assert models(bench)[2:] == ["can@1", "can@1"]
    assert bench.words[0].pause_ms == pytest.approx(500.0), "what the line waited is the pause"


def test_waiting_frames_are_let_go_only_when_the_ring_is_tight() -> None:
    """The oldest goes first, one for each that comes in, as `uninspected: changeover`."""
    bench = Harness(places=4)
    bench.order(product("can", 1))
    bench.start()
    bench.capture(2)
    bench.until_it_waits()
    assert bench.verdicts == []
    bench.capture(1)  # one place is left for the camera
    bench.until(lambda: len(bench.verdicts) == 1)
    bench.capture(1)
    bench.until(lambda: len(bench.verdicts) == 2)
    bench.load("A", CAN, 1)
    bench.ask("A", CAN, 7, at_epoch=1)
    bench.until(lambda: len(bench.verdicts) == 4)
    bench.stop()
    assert bench.told() == [(0, "changeover"), (1, "changeover"), (2, "can@1"), (3, "can@1")]


def test_a_product_passed_over_is_superseded(bench: Harness) -> None:
    """Its frames get no other model; those of the order after it still wait for theirs."""
    bench.order(product("can", 1))
    bench.capture(2)
    bench.order(product("bottle", 2))
    bench.capture(1)
    bench.order(product("can", 3))
    bench.capture(1)
    bench.ring.pass_over(2)
    bench.start()
    bench.until_it_waits()
    assert models(bench) == ["superseded", "superseded", "bottle@1"]
    bench.load("B", CAN, 2)
    bench.ask("B", CAN, 7, at_epoch=3)
    bench.until(lambda: len(bench.verdicts) == 4)
    assert models(bench)[3] == "can@1"


def test_a_product_without_a_link_is_not_judged(bench: Harness) -> None:
    """Its frames are `uninspected: unknown_product` at once, and hold up nobody."""
    bench.order(product(None, 1, linked=False))
    bench.capture(1)
    bench.order(product("bottle", 2))
    bench.capture(1)
    bench.run_dry()
    assert models(bench) == ["unknown_product", "bottle@1"]


def test_without_any_model_frames_wait_only_while_one_is_expected() -> None:
    """Nothing to come: `no_model`, at once."""
    bench = Harness()
    bench.capture(2)
    bench.start()
    bench.until_it_waits()
    assert bench.verdicts == []
    bench.active_slot.ask(Cutover(3, Pointer(expecting=False), ""))
    bench.until(lambda: len(bench.verdicts) == 2)
    bench.stop()
    assert models(bench) == ["no_model", "no_model"]


def test_dropped_frames_are_told_in_their_turn() -> None:
    """A full ring costs frames, and each of them has its verdict between its neighbours."""
    bench = Harness(places=2)
    bench.load("A", BOTTLE, 1)
    bench.active_slot.pointer = bench.pointer("A", BOTTLE)
    bench.capture(3)
    bench.during[0] = lambda: bench.capture(1)  # its own place is not free yet
    bench.during[1] = lambda: bench.capture(1)
    bench.during[2] = bench.ring.close
    bench.lane.run()
    assert bench.told() == [
        (0, "bottle@1"),
        (1, "bottle@1"),
        (2, "dropped_overflow"),
        (3, "dropped_overflow"),
        (4, "bottle@1"),
    ]


def test_with_latest_the_newest_is_judged_and_the_others_are_told() -> None:
    """Skipped frames are counted as `dropped_stale`, in order."""
    bench = Harness(latest=True)
    bench.load("A", BOTTLE, 1)
    bench.active_slot.pointer = bench.pointer("A", BOTTLE)
    bench.capture(4)
    bench.run_dry()
    assert models(bench) == ["dropped_stale"] * 3 + ["bottle@1"]


# --------------------------------------------------------------------------- what goes wrong


def test_a_frame_survives_its_worker(bench: Harness) -> None:
    """The worker dies over a frame: the same frame is judged again once the worker is back."""
    bench.script.fail_infer(BOTTLE, SlotLost("killed"), after=1)

    def restored() -> None:
        bench.script.infer_faults.clear()
        bench.load("A", BOTTLE, 9)

    bench.at_loss = restored
    bench.capture(3)
    bench.run_dry()
    assert bench.told() == [(0, "bottle@1"), (1, "bottle@1"), (2, "bottle@1")]
    assert bench.losses == [1]


def test_a_frame_in_hand_is_judged_by_the_other_slot_after_a_cutover(bench: Harness) -> None:
    """With a resident spare the frame itself is the first of the new model."""
    bench.load("B", BOTTLE2, 2)
    bench.script.fail_infer(BOTTLE, SlotLost("killed"), after=1)
    bench.at_loss = lambda: bench.ask("B", BOTTLE2, 7)
    bench.capture(3)
    bench.run_dry()
    assert bench.told() == [(0, "bottle@1"), (1, "bottle@2"), (2, "bottle@2")]
    assert bench.words[0].frame == 1


def test_a_frame_that_takes_two_workers_along_is_given_up(bench: Harness) -> None:
    """One poisonous frame is `inference_failed`; it does not kill workers for ever."""
    bench.script.fail_infer(BOTTLE, SlotLost("killed"), after=0)

    def restored() -> None:
        if len(bench.losses) == 2:
            bench.script.infer_faults.clear()
        bench.load("A", BOTTLE, 10 + len(bench.losses))

    bench.at_loss = restored
    bench.capture(2)
    bench.run_dry()
    assert bench.told() == [(0, "inference_failed"), (1, "bottle@1")]
    assert bench.losses == [1, 11]


def test_a_lost_worker_is_not_asked_again() -> None:
    """Until it is loaded anew frames wait, and past the ring they are `worker_lost`."""
    bench = Harness(places=4)
    bench.load("A", BOTTLE, 1)
    bench.active_slot.pointer = bench.pointer("A", BOTTLE)
    bench.script.fail_infer(BOTTLE, SlotLost("killed"))
    bench.start()
    bench.capture(2)
    bench.until(lambda: bool(bench.losses))
    bench.until_it_waits()
    assert bench.verdicts == []
    bench.capture(1)
    bench.until(lambda: len(bench.verdicts) == 1)
    bench.script.infer_faults.clear()
    bench.load("A", BOTTLE, 2)
    bench.until(lambda: len(bench.verdicts) == 3)
    bench.stop()
    assert models(bench) == ["worker_lost", "bottle@1", "bottle@1"]
    assert len(bench.script.called("infer")) == 3, "the dead worker was asked again"


@pytest.mark.parametrize("fault", ["not_finite", "raises", "no_memory"])
def test_a_model_that_fails_on_a_frame_vouches_for_nothing(bench: Harness, fault: str) -> None:
    """NaN or an exception: `inference_failed`, never `ok`."""
    if fault == "not_finite":
        bench.script.not_finite.add(BOTTLE)
    elif fault == "no_memory":  # so says the worker, in which a stranger's code runs
        bench.script.fail_infer(BOTTLE, BoxError("There is no memory for an inference."))
    else:
        bench.script.fail_infer(BOTTLE, BundleError("size mismatch"))
    bench.capture(1)
    bench.run_dry()
    assert models(bench) == ["inference_failed"]
    assert bench.verdicts[0].verdict is Verdict.UNINSPECTED


def test_what_is_left_at_a_stop_is_told(bench: Harness) -> None:
    """`give_up` ends every wait: what waits is `uninspected: stopped`, and the lane ends."""
    bench.order(product("can", 1))
    bench.capture(3)
    bench.start()
    bench.until_it_waits()
    bench.stop()
    assert models(bench) == ["stopped"] * 3


# --------------------------------------------------------------------------- without frames


def test_a_cutover_needs_no_frame(bench: Harness) -> None:
    """The camera is silent: the lane crosses at once, before the next frame."""
    bench.load("B", BOTTLE2, 2)
    bench.capture(2)
    bench.start()
    bench.until(lambda: len(bench.verdicts) == 2)
    bench.ask("B", BOTTLE2, 7)
    bench.until(lambda: len(bench.words) == 1)
    bench.capture(1)
    bench.until(lambda: len(bench.verdicts) == 3)
    assert bench.words[0].frame == 2
    assert models(bench)[2] == "bottle@2"


def test_an_order_without_frames_is_crossed_for_when_the_line_is_still(bench: Harness) -> None:
    """A changeover at an epoch waits for the next frame, but not on a line that stands."""
    bench.load("B", CAN, 2)
    bench.capture(1)
    bench.start()
    bench.until(lambda: len(bench.verdicts) == 1)
    bench.ring.stamp(product("can", 1), bench.clock.advance(0.001).at)
    bench.ask("B", CAN, 7, at_epoch=1)
    bench.clock.advance(IDLE_S)
    bench.ring.wake()
    bench.until(lambda: len(bench.words) == 1)
    assert bench.words[0].frame == 1


def test_a_frame_that_is_older_than_the_cutover_holds_up_nobody(bench: Harness) -> None:
    """Exposed before the order, handed in after a cutover on a still line: let go at once."""
    bench.load("B", CAN, 2)
    bench.order(product("bottle", 1))
    bench.capture(1)
    bench.start()
    bench.until(lambda: len(bench.verdicts) == 1)
    exposed = bench.clock.advance(1.0)
    bench.ring.stamp(product("can", 2), bench.clock.advance(0.001).at)
    bench.ask("B", CAN, 7, at_epoch=2)
    bench.until(lambda: len(bench.words) == 1)
    lease = bench.ring.begin(SHAPE)
    bench.ring.commit(lease, exposed)
    bench.capture(1)
    bench.until(lambda: len(bench.verdicts) == 3)
    assert models(bench) == ["bottle@1", "changeover", "can@1"]


def test_an_errand_waits_until_no_frame_does(bench: Harness) -> None:
    """The active slot's spare time is what is left after the frames."""
    done_after: list[int] = []
    bench.capture(3)
    bench.active_slot.send(lambda pointer: done_after.append(len(bench.verdicts)))
    bench.run_dry()
    assert done_after == [3]


def test_an_errand_waits_for_a_few_frames_only(bench: Harness) -> None:
    """A line that never pauses is no reason to prove a bundle without the active one."""
    done_after: list[int] = []
    bench.capture(ERRAND_FRAMES + 4)
    bench.active_slot.send(lambda pointer: done_after.append(len(bench.verdicts)))
    bench.run_dry()
    assert done_after == [ERRAND_FRAMES + 1]


def test_an_errand_begins_where_a_gap_begins(bench: Harness) -> None:
    """In the middle of a gap the next frame would find it at work, and wait."""
    done_after: list[int] = []
    bench.capture()
    bench.lane.turn()
    bench.active_slot.send(lambda pointer: done_after.append(len(bench.verdicts)))
    bench.lane.turn()
    assert done_after == []
    bench.capture()
    bench.lane.turn()
    assert done_after == [2]


def test_a_still_line_has_time_for_errands(bench: Harness) -> None:
    """No frame is to come soon: each is run as it is sent."""
    done_after: list[int] = []
    bench.capture()
    bench.lane.turn()
    bench.clock.advance(IDLE_S)
    for _ in range(2):
        bench.active_slot.send(lambda pointer: done_after.append(len(bench.verdicts)))
        bench.lane.turn()
    assert done_after == [1, 1]


def test_it_is_told_once_that_frames_wait_for_a_model(bench: Harness) -> None:
    """Who needs a verdict to go on may do without: the model may be the one that is proven."""
    bench.capture()
    bench.lane.turn()
    bench.ring.stamp(product("can", 2), bench.clock.advance(0.001).at)
    bench.capture(3)
    for _ in range(3):
        bench.lane.turn()
    assert bench.waited == [1]


def test_frames_that_wait_for_a_model_leave_time_for_errands(bench: Harness) -> None:
    """The model that they wait for may be proven meanwhile, and nobody could go first."""
    ran: list[int] = []
    bench.capture()
    bench.lane.turn()
    bench.ring.stamp(product("can", 2), bench.clock.advance(0.001).at)
    bench.capture(3)
    bench.active_slot.send(lambda pointer: ran.append(len(bench.verdicts)))
    bench.lane.turn()
    assert ran == [1]


def test_every_place_is_given_back(bench: Harness) -> None:
    """However a frame ends, its pixels are free for the camera again."""
    bench.script.fail_infer(BOTTLE, BundleError("bad"), after=3, times=3)
    bench.start()
    for round_ in range(3):
        bench.capture(15)  # of 16: the last verdict is told a moment before its place is free
        bench.until_told(15 * (round_ + 1))
    assert bench.ledger.counts().dropped == 0


# --------------------------------------------------------------------------- any schedule

PRODUCTS = (("bottle", True), ("can", True), (None, True), (None, False))
SCHEDULES = st.lists(
    st.one_of(
        st.tuples(st.just("capture"), st.integers(1, 5)),
        st.tuples(st.just("order"), st.integers(0, 3)),
        st.tuples(st.just("cut"), st.integers(0, 2)),
        st.tuples(st.just("lose"), st.integers(0, 2)),
        st.tuples(st.just("restore"), st.just(0)),
        st.tuples(st.just("pass"), st.just(0)),
    ),
    max_size=40,
)


def play(bench: Harness, schedule: list[tuple[str, int]]) -> dict[int, BundleRef]:
    """The schedule against a lane in its thread; gives what each cutover's token meant."""
    refs, epoch, load = (BOTTLE, BOTTLE2, CAN), 0, 2
    targets: dict[int, BundleRef] = {}
    bench.load("A", BOTTLE, 1)
    bench.active_slot.pointer = bench.pointer("A", BOTTLE)
    bench.start()
    for what, n in schedule:
        if what == "capture":
            bench.capture(n)
        elif what == "order":
            epoch += 1
            name, linked = PRODUCTS[n]
            bench.ring.stamp(product(name, epoch, linked=linked), bench.clock.now().at)
        elif what == "cut":
            load += 1
            slot = "AB"[load % 2]
            if bench.active_slot.pointer.slot is not bench.slots[slot]:
                bench.load(slot, refs[n], load)
                targets[load] = refs[n]
                bench.ask(slot, refs[n], load, at_epoch=epoch)
        elif what == "lose":
            bench.script.fail_infer(refs[n], SlotLost("killed"), times=1)
        elif what == "restore":
            bench.script.infer_faults.clear()
            pointer, load = bench.active_slot.pointer, load + 1
            if pointer.slot is not None and pointer.known is not None:
                bench.load(pointer.slot.name, pointer.known.ref, load)
        else:
            bench.ring.pass_over(epoch)
    bench.stop()
    return targets


@settings(max_examples=120, deadline=None)
@given(SCHEDULES, st.booleans())
def test_any_schedule_gives_each_frame_one_right_verdict(
    schedule: list[tuple[str, int]], latest: bool
) -> None:
    """Captures, orders, cutovers and losses in any order: nothing lost, doubled or misjudged."""
    bench = Harness(places=6, latest=latest)
    targets = play(bench, schedule)
    assert [v.frame for v in bench.verdicts] == list(range(bench.ring.next_number))
    assert bench.ledger.first_violation is None
    assert bench.ledger.counts().balanced
    for verdict in bench.verdicts:
        assert (verdict.model is None) == (verdict.verdict is Verdict.UNINSPECTED)
        assert verdict.reason is not Reason.NO_MODEL
        if verdict.model is not None:
            tokens = [word.token for word in bench.words if word.frame <= verdict.frame]
            assert verdict.model == (targets[tokens[-1]] if tokens else BOTTLE)
            assert verdict.assignment.linked


TOP = Zone("top", ((0.0, 0.0), (1.0, 0.0), (1.0, 0.1), (0.0, 0.1)))
RULE = Rule("scratch", "scratch", 0.1, at_most=0)


@pytest.mark.parametrize(
    ("recipe", "verdict"),
    [
        (Recipe(0.1, (RULE,)), Verdict.NG),
        (Recipe(0.1, (replace(RULE, zone=TOP),)), Verdict.OK),
        (Recipe(0.1, (RULE,), "bottle"), Verdict.EMPTY),
        (Recipe(0.1, (RULE,), "scratch"), Verdict.NG),
    ],
)
def test_a_frame_is_judged_by_the_recipe_of_the_pointer(recipe: Recipe, verdict: Verdict) -> None:
    """Zones are shares of the frame as the camera gave it; an empty frame counts as inspected."""
    bench = Harness()
    box = (0.0, 0.0, float(SHAPE.width), float(SHAPE.height))
    bench.script.detect = lambda *_: (Detection("scratch", 0.9, box),)
    bench.load("A", BOTTLE, 1)
    bench.active_slot.ask(Cutover(2, replace(bench.pointer("A", BOTTLE), recipe=recipe), "swap"))
    bench.capture()
    bench.run_dry()
    assert [judged.verdict for judged in bench.verdicts] == [verdict]
    assert bench.ledger.counts() == Counts(1, 1, 0, 0)
    assert bench.ledger.totals().models[BOTTLE].verdicts[verdict] == 1


def test_a_picture_that_is_no_evidence_is_shown_to_no_model() -> None:
    """It keeps its number and its turn, and does not wait for the model that its product needs."""
    bench = Harness()
    bench.load("A", BOTTLE, 1)
    bench.ask("A", BOTTLE, 1)
    bench.capture()
    bench.capture_flawed(Reason.BAD_PICTURE)
    bench.capture()
    bench.capture_flawed(Reason.DAMAGED_PICTURE)
    bench.run_dry()
    assert [(each.frame, each.reason) for each in bench.verdicts] == [
        (0, None),
        (1, Reason.BAD_PICTURE),
        (2, None),
        (3, Reason.DAMAGED_PICTURE),
    ]
    assert len(bench.script.called("infer")) == 2
    assert bench.ledger.counts().balanced
