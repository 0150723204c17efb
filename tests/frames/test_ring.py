"""The ring keeps every captured frame in order, once, unharmed, with the stamp of its moment."""

from __future__ import annotations

import os
import threading

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from edge_daemon.core.values import Assignment, Instant, Reason
from edge_daemon.frames.captured import Captured, Lease
from edge_daemon.frames.ring import Ring
from edge_daemon.host.memory import FrameShape

SMALL = FrameShape(2, 4)
WIDE = FrameShape(2, 8)


def capture(ring: Ring, at: float = 0.0, shape: FrameShape = SMALL, mark: int | None = None) -> int:
    """One frame with its number (or `mark`) in every byte."""
    number = ring.next_number
    lease = ring.begin(shape)
    lease.pixels.fill(number % 251 if mark is None else mark)
    ring.commit(lease, Instant(at, 1000.0 + at))
    return number


def take(ring: Ring) -> Captured:
    assert ring.head(0) is not None
    return ring.pop()


def test_frames_come_out_in_the_order_they_went_in() -> None:
    """Numbers count from zero without a gap, and the pixels are the ones written."""
    ring = Ring(4)
    for _ in range(3):
        capture(ring)
    out = [take(ring) for _ in range(3)]
    assert [each.number for each in out] == [0, 1, 2]
    assert [int(each.address.pixels[0, 0, 0]) for each in out if each.address] == [0, 1, 2]
    assert ring.head(0) is None


def test_a_frame_without_a_place_keeps_its_turn_as_a_tombstone() -> None:
    """A full ring loses no count: the frame is delivered in order, dropped for overflow."""
    ring = Ring(2)
    for _ in range(3):
        capture(ring)
    first = take(ring)
    ring.release(first)
    capture(ring)
    out = [take(ring) for _ in range(3)]
    assert [(each.number, each.dropped) for each in out] == [
        (1, None),
        (2, Reason.DROPPED_OVERFLOW),
        (3, None),
    ]
    assert ring.next_number == 4


def test_a_retained_frame_outlives_its_first_holder() -> None:
    """A place is reused only when the last of its holders has let it go."""
    ring = Ring(1)
    capture(ring, mark=7)
    frame = take(ring)
    ring.retain(frame)
    ring.release(frame)
    capture(ring, mark=9)
    assert take(ring).dropped is Reason.DROPPED_OVERFLOW
    assert frame.address is not None
    assert frame.address.pixels[0, 0, 0] == 7
    ring.release(frame)
    capture(ring, mark=9)
    assert take(ring).dropped is None


@pytest.mark.parametrize("is_sooner", [False, True])
def test_a_frame_that_was_handed_over_is_its_new_holders(is_sooner: bool) -> None:
    """The lane's end frees nothing, whether it comes before the holder's or after it."""
    ring = Ring(3)
    capture(ring, mark=7)
    frame = take(ring)
    assert ring.hand_over(frame)
    assert not ring.hand_over(frame), "there is one lease to give"
    for end in (ring.release, ring.done) if is_sooner else (ring.done, ring.release):
        end(frame)
    with pytest.raises(ValueError, match="released twice"):
        ring.release(frame)
    capture(ring)
    after = take(ring)
    ring.done(after)
    with pytest.raises(ValueError, match="released twice"):
        ring.release(after)


def test_a_tight_ring_hands_nothing_over() -> None:
    """The last place is the camera's; the lane lets its frame go as ever."""
    ring = Ring(2)
    capture(ring)
    frame = take(ring)
    assert not ring.hand_over(frame)
    ring.done(frame)
    with pytest.raises(ValueError, match="released twice"):
        ring.release(frame)


@pytest.mark.parametrize("waiting", [1, 2])
def test_frames_that_would_give_way_are_room(waiting: int) -> None:
    """With `latest` those that wait are no reason to keep a frame from another holder."""
    ring = Ring(3, latest=True)
    capture(ring)
    frame = take(ring)
    for _ in range(waiting):
        capture(ring)
    assert ring.hand_over(frame)


def test_a_second_release_is_a_fault() -> None:
    """Nobody can free a place that may belong to another frame by now."""
    ring = Ring(2)
    capture(ring)
    frame = take(ring)
    ring.release(frame)
    with pytest.raises(ValueError, match="released twice"):
        ring.release(frame)


def test_a_fence_keeps_what_was_captured_after_it() -> None:
    """Older frames pass; later ones wait for as many lifts as there were fences."""
    ring = Ring(8)
    capture(ring, at=1.0)
    assert ring.fence(lambda: Instant(2.0, 1002.0)).at == 2.0
    ring.fence(lambda: Instant(2.5, 1002.5))
    capture(ring, at=2.0)
    assert take(ring).number == 0
    assert ring.head(0) is None
    ring.lift(2.0)
    second = ring.head(0)
    assert second is not None
    assert second.number == 1
    capture(ring, at=3.0)
    ring.pop()
    assert ring.head(0) is None
    ring.lift(2.5)
    assert take(ring).number == 2


def test_a_fence_costs_no_frame() -> None:
    """A tight ring lets its head go, and a closed one everything."""
    ring = Ring(3)
    ring.fence(lambda: Instant(0.0, 1000.0))
    capture(ring, at=1.0)
    assert ring.head(0) is None
    capture(ring, at=1.0)
    assert take(ring).number == 0
    ring.close()
    assert take(ring).number == 1


def test_an_abandoned_read_uses_no_number() -> None:
    """A read that failed captured nothing."""
    ring = Ring(2)
    ring.abandon(ring.begin(SMALL))
    assert capture(ring) == 0
    assert take(ring).number == 0


def test_an_order_holds_from_its_moment_for_waiting_and_for_later_frames() -> None:
    """Frames captured before the order keep theirs, also one that is committed after the stamp."""
    ring, order = Ring(8), Assignment(epoch=1, product="BTL-500")
    capture(ring, at=1.0)
    capture(ring, at=2.0)
    ring.stamp(order, since_at=2.0)
    capture(ring, at=3.0)
    assert [take(ring).assignment.epoch for _ in range(3)] == [0, 1, 1]

    ring.stamp(Assignment(epoch=2), since_at=5.0)
    capture(ring, at=4.9)  # was on its way while the order arrived
    capture(ring, at=5.0)
    assert [take(ring).assignment.epoch for _ in range(2)] == [1, 2]


def test_an_order_can_begin_at_a_frame_number() -> None:
    """A boundary by number holds for that frame and all later ones."""
    ring = Ring(8)
    ring.stamp_from(Assignment(epoch=1), 2)
    for _ in range(4):
        capture(ring)
    assert [take(ring).assignment.epoch for _ in range(4)] == [0, 0, 1, 1]


def test_a_later_call_overrules_a_boundary_that_is_not_reached() -> None:
    """Stamps never go back to an earlier assignment."""
    ring = Ring(8)
    ring.stamp_from(Assignment(epoch=1), 3)
    ring.stamp(Assignment(epoch=2), since_at=0.0)
    for _ in range(5):
        capture(ring)
    assert {take(ring).assignment.epoch for _ in range(5)} == {2}


def test_latest_delivers_the_newest_and_accounts_for_the_others() -> None:
    """With policy latest only the newest waiting frame keeps its pixels; none goes missing."""
    ring = Ring(4, latest=True)
    for _ in range(3):
        capture(ring)
    stale = Reason.DROPPED_STALE
    assert [take(ring).dropped for _ in range(3)] == [stale, stale, None]


def test_latest_makes_room_by_dropping_the_oldest_that_waits() -> None:
    """While the lane is busy the newest frames find a place, but not the one the lane looks at."""
    ring = Ring(3, latest=True)
    for _ in range(1):
        capture(ring, mark=100)
    looked_at = ring.head(0)
    for _ in range(6):
        capture(ring)
    assert looked_at is not None
    assert looked_at.address is not None
    assert looked_at.address.pixels[0, 0, 0] == 100
    assert not ring.tight
    out = [ring.pop()] + [take(ring) for _ in range(6)]
    assert [each.number for each in out] == list(range(7))
    assert [each.dropped for each in out if each.address] == [None, None]
    assert out[0].address is not None
    assert out[-1].address is not None


def test_another_shape_gets_its_own_memory_and_the_old_goes_with_its_last_frame() -> None:
    """A change of resolution disturbs no waiting frame and leaks no descriptor."""
    ring = Ring(2)
    capture(ring, mark=5)
    capture(ring, shape=WIDE)
    old, new = take(ring), take(ring)
    assert old.address is not None
    assert new.address is not None
    assert old.address.pixels.shape == (2, 4, 3)
    assert new.address.pixels.shape == (2, 8, 3)
    assert (old.address.pixels == 5).all()
    os.fstat(old.address.memory.fd)
    ring.release(old)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(old.address.memory.fd)
    ring.release(new)
    os.fstat(new.address.memory.fd)
    ring.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(new.address.memory.fd)


def test_tight_warns_before_the_last_place_is_taken() -> None:
    """A waiting lane learns that it must let the oldest go while the camera still finds a place."""
    ring = Ring(3)
    assert not ring.tight
    capture(ring)
    assert not ring.tight
    capture(ring)
    assert ring.tight
    ring.release(take(ring))
    assert not ring.tight


def test_a_waiting_lane_is_woken_by_a_frame_by_wake_and_by_close() -> None:
    """`head` waits without a limit only while there is nothing to know."""
    ring = Ring(2)
    ring.wake()
    assert ring.head(None) is None  # a wake before the wait is not lost
    thread = threading.Thread(target=capture, args=(ring,))
    thread.start()
    assert ring.head(None) is not None
    thread.join()
    ring.rest(0)
    ring.close()
    ring.rest(None)
    assert take(ring).number == 0
    assert ring.head(None) is None
    assert ring.closed
    ring.commit(ring.begin(SMALL), Instant(0, 0))
    assert ring.next_number == 1  # after the close nothing is captured


def test_a_stuck_writer_keeps_its_place_until_it_comes_back() -> None:
    """A left-behind read never writes into another frame; half a ring of them gets new memory."""
    ring = Ring(2)
    stuck = ring.begin(SMALL)
    ring.forfeit(stuck)
    capture(ring, mark=3)
    frame = take(ring)
    stuck.pixels.fill(99)
    assert frame.address is not None
    assert stuck.address is not None
    assert frame.address.memory is not stuck.address.memory
    assert (frame.address.pixels == 3).all()
    ring.abandon(stuck)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(stuck.address.memory.fd)


class RingMachine(RuleBasedStateMachine):
    """Any interleaving of camera, lane, holders and orders."""

    leases = Bundle("leases")
    held = Bundle("held")
    latest = False

    def __init__(self) -> None:
        super().__init__()
        self.ring = Ring(4, latest=self.latest)
        self.at = 0.0
        self.epoch = 0
        self.popped = 0
        self.last_epoch = 0
        self.wanted: list[tuple[int, float, int]] = []  # epoch, since, from
        self.captured_at: list[float] = []
        self.dropped = 0
        self.alive = 0
        self.holding: list[Captured] = []
        self.stuck: list[Lease] = []

    def teardown(self) -> None:
        """Give the memory back, also where a frame is still held."""
        self.ring.close()
        while self.ring.head(0) is not None:
            self.holding.append(self.ring.pop())
        for frame in self.holding:
            self.ring.release(frame)
        for lease in self.stuck:
            self.ring.abandon(lease)

    @rule(shape=st.sampled_from([SMALL, SMALL, SMALL, WIDE]), step=st.sampled_from([0.0, 1.0]))
    def capture(self, shape: FrameShape, step: float) -> None:
        self.at += step
        number = self.ring.next_number
        lease = self.ring.begin(shape)
        lease.pixels.fill(number % 251)
        self.ring.commit(lease, Instant(self.at, self.at))
        self.captured_at.append(self.at)
        assert self.ring.next_number == number + 1

    @rule(target=leases, shape=st.sampled_from([SMALL, WIDE]))
    def begin_and_get_stuck(self, shape: FrameShape) -> Lease:
        lease = self.ring.begin(shape)
        self.ring.forfeit(lease)
        self.stuck.append(lease)
        return lease

    @rule(lease=consumes(leases))
    def come_back(self, lease: Lease) -> None:
        lease.pixels.fill(255)
        self.stuck.remove(lease)
        self.ring.abandon(lease)

    @rule()
    def look(self) -> None:
        head = self.ring.head(0)
        assert (head is None) == (self.popped == self.ring.next_number)

    @rule(target=held)
    def pop(self) -> Captured | None:
        if self.ring.head(0) is None:
            return None
        frame = self.ring.pop()
        assert frame.number == self.popped
        assert (frame.address is None) == (frame.dropped is not None)
        self.popped += 1
        assert frame.assignment.epoch >= self.last_epoch
        self.last_epoch = frame.assignment.epoch
        reached = [
            epoch
            for epoch, since, number in self.wanted
            if frame.captured.at >= since and frame.number >= number
        ]
        assert frame.assignment.epoch == max(reached, default=0)
        self.holding.append(frame)
        return frame

    @rule(frame=held)
    def retain(self, frame: Captured | None) -> None:
        if frame is not None and frame in self.holding:
            self.ring.retain(frame)
            self.holding.append(frame)

    @rule(frame=held)
    def release(self, frame: Captured | None) -> None:
        if frame is not None and frame in self.holding:
            self.holding.remove(frame)
            self.ring.release(frame)

    @rule(back=st.sampled_from([-1.0, 0.0, 1.0]))
    def stamp(self, back: float) -> None:
        self.epoch += 1
        since = self.at - back
        self.ring.stamp(Assignment(epoch=self.epoch), since)
        # what the lane has popped already stays as it was: only frames from here on are checked
        self.wanted.append((self.epoch, since, self.popped))

    @rule(ahead=st.integers(-2, 3))
    def stamp_from(self, ahead: int) -> None:
        self.epoch += 1
        number = max(0, self.ring.next_number + ahead)
        self.ring.stamp_from(Assignment(epoch=self.epoch), number)
        self.wanted.append((self.epoch, -1e9, number))

    @invariant()
    def what_is_held_is_never_overwritten(self) -> None:
        for frame in self.holding:
            if frame.address is not None:
                assert (frame.address.pixels == frame.number % 251).all()

    @invariant()
    def every_captured_frame_is_popped_or_waits(self) -> None:
        assert self.ring.next_number == self.popped + self.ring.depth == len(self.captured_at)


class LatestMachine(RingMachine):
    latest = True


TestLossless = RingMachine.TestCase
TestLossless.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLatest = LatestMachine.TestCase
TestLatest.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
