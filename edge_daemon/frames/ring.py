"""The ring: where captured frames wait, in order, for the lane.

One thread of the camera writes, one thread of the lane reads; orders stamp what the line is making.
A place in memory is leased from the moment the camera writes into it until the last holder lets it
go, and is never written meanwhile. A frame that finds no place is still captured: it keeps its
number and its turn as a tombstone, so that the ledger can account for it.

One condition guards everything; each step is O(1), and nothing here waits but `head` and `rest`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import numpy as np

from edge_daemon.core.values import Assignment, Instant, Reason
from edge_daemon.frames.captured import Captured, Lease, Waiting
from edge_daemon.frames.places import AssignmentStart, Pool
from edge_daemon.host.memory import FrameAddress, FrameMemory, FrameShape, Pixels


class Ring:
    """`places` frames of the current shape, and the queue of those that wait.

    With `latest`, a waiting frame gives way to newer ones: it becomes a tombstone `dropped_stale`.
    Not `opened`, frames are seen and not captured: the newest is kept as a preview until `open`.
    """

    def __init__(self, places: int, *, latest: bool = False, opened: bool = True) -> None:
        if places < 1:
            raise ValueError("a ring needs at least one place")
        self._places = places
        self._latest = latest
        self._lock = threading.RLock()  # by itself it costs half of what the condition does
        self._changed = threading.Condition(self._lock)
        self._pool: Pool | None = None  # of the current shape
        self._pools: dict[FrameMemory, Pool] = {}  # and those that are still held somewhere
        self._scratch: Pixels | None = None
        self._waiting: deque[Waiting] = deque()
        self._live: deque[Waiting] = deque()  # those of `_waiting` that have a place
        self.next_number = 0  # of the frame that is captured next
        self.assignment = Assignment()  # of the newest captured frame
        self._boundaries: deque[AssignmentStart] = deque()  # not reached yet, as they were called
        self._fences: deque[float] = deque()  # frames captured from then on stay for now
        self._woken = False
        self.closed = False
        self.is_open = opened
        self._preview: Lease | None = None
        self.previewed = 0  # frames that were seen before `open`
        self.handed_over: Captured | None = None  # by the lane, until it is done with that frame
        self.passed_over = -1
        """The newest epoch whose frames wait for no model; see `pass_over`."""
        self.on_capture: Callable[[int, Instant, Assignment], None] = lambda *_: None
        """Told of each captured frame, in order, on the camera's thread; set before the first."""

    # ------------------------------------------------------------------- the camera's side

    def begin(self, shape: FrameShape) -> Lease:
        """A place to write one frame of `shape` into, or a scratch place when none is free.

        Another shape than before gets memory of its own; frames of the old shape stay where they
        are until they are released. Raises CameraError when the box has not enough memory.
        """
        with self._lock:
            pool = self._pool_for(shape)
            if pool is not None and not pool.free and self._latest:
                self._give_way()
            if pool is not None and pool.free:
                address = pool.take()
                return Lease(address.pixels, address)
            scratch, self._scratch = self._scratch, None
        if scratch is None or scratch.shape[:2] != (shape.height, shape.width):
            scratch = np.empty((shape.height, shape.width, 3), np.uint8)
        return Lease(scratch, None)

    def commit(self, lease: Lease, captured: Instant, flaw: Reason | None = None) -> None:
        """The frame is written: number it and give it its turn. After `close`, it is let go.

        `flaw`: why its picture is no evidence; None where a model may judge it.
        """
        with self._lock:
            if self.closed or not self.is_open:
                self._show(lease)
                return
            number = self.next_number
            frame = Waiting(number, captured, self._assigned(number, captured.at), flaw)
            self.next_number += 1
            if lease.address is None:
                frame.dropped = Reason.DROPPED_OVERFLOW
                self._let_go_lease(lease)
            else:
                frame.address = lease.address
                self._live.append(frame)
            self._waiting.append(frame)
            assignment = frame.assignment
            self._changed.notify_all()
        self.on_capture(number, captured, assignment)

    def abandon(self, lease: Lease) -> None:
        """Nothing was captured: the place is free again, and no number is used."""
        with self._lock:
            self._let_go_lease(lease)

    def forfeit(self, lease: Lease) -> None:
        """The thread that writes into this lease is stuck and may write at any later moment.

        The place stays out of use until the writer comes back and abandons the lease. When half of
        the places are lost in this way, the next frame gets new memory.
        """
        with self._lock:
            pool = self._pools.get(lease.address.memory) if lease.address else None
            if pool is None:
                return
            pool.forfeited += 1
            if pool is self._pool and pool.forfeited * 2 >= self._places:
                self._retire()

    # --------------------------------------------------------------------- the lane's side

    def head(self, timeout_s: float | None) -> Captured | None:
        """The oldest frame not yet popped.

        None after `timeout_s`, after `wake`, behind a fence, and when a closed ring is empty. The
        frame may be stamped anew until it is popped: what counts is what `pop` returns.
        """
        with self._lock:
            if not self._waiting or self._is_fenced():
                self._wait(timeout_s)
            if not self._waiting or self._is_fenced():
                return None
            if self._latest:
                while len(self._live) > 1:
                    self._make_stale(self._live.popleft())
            first = self._waiting[0]
            first.seen = True
            return first.shown()

    def rest(self, timeout_s: float | None) -> None:
        """Wait, with a frame at the head or without, until a frame comes in, `wake` or `close`."""
        with self._lock:
            self._wait(timeout_s)

    def pop(self) -> Captured:
        """Take the head off the queue; its place stays leased. IndexError when none waits."""
        with self._lock:
            frame = self._waiting.popleft()
            if frame.address is not None:
                self._live.popleft()
            return frame.shown()

    def retain(self, captured: Captured) -> None:
        """A second holder of a popped frame; each holder releases once. Tombstones hold nothing."""
        if captured.address is not None:
            with self._lock:
                self._pools[captured.address.memory].hold(captured.address.place)

    def hand_over(self, captured: Captured) -> bool:
        """The lane's own lease becomes another holder's, unless the ring is tight; whether it did.

        On the lane's thread, once it needs the pixels no more: the holder may release them at once.
        """
        pool = self._pool  # a look without the lock costs a third, and is as true a moment later
        is_tight = (pool is None or len(pool.free) <= 1) and self.tight
        if is_tight or captured.address is None or self.handed_over is captured:
            return False
        self.handed_over = captured
        return True

    def release(self, captured: Captured) -> None:
        """One holder is done with the pixels. Raises ValueError or KeyError when released twice."""
        if captured.address is not None:
            with self._lock:
                self._let_go(captured.address)

    def done(self, captured: Captured) -> None:
        """The lane is done with a frame: its lease ends, unless it was handed over."""
        if self.handed_over is not captured:
            self.release(captured)
        self.handed_over = None

    def wake(self) -> None:
        """Make a waiting `head` or `rest` return, or the next one that would wait. Any thread."""
        with self._lock:
            self._woken = True
            self._changed.notify_all()

    # ------------------------------------------------------------------- the orders' side

    def pass_over(self, epoch: int) -> None:
        """Frames of this epoch and older that the active model may not judge get no other."""
        self.passed_over = max(self.passed_over, epoch)
        self.wake()

    def stamp(self, assignment: Assignment, since_at: float) -> None:
        """Frames captured from `since_at` (monotonic) on and not yet popped carry `assignment`."""
        self._stamp(AssignmentStart(assignment, since_at=since_at))

    def stamp_from(self, assignment: Assignment, number: int) -> None:
        """Frame `number` and all later ones that are not yet popped carry `assignment`."""
        self._stamp(AssignmentStart(assignment, number=number))

    def fence(self, now: Callable[[], Instant]) -> Instant:
        """An order arrives: frames captured from this moment on stay here until it was read.

        Without it a frame could be judged between the order's arrival and its stamp. The moment is
        read where no frame can be popped; each fence wants one `lift`. A ring that becomes tight
        lets its head go all the same: a slow disk must not cost frames.
        """
        with self._lock:
            moment = now()
            self._fences.append(moment.at)
            return moment

    def lift(self, *since_at: float) -> None:
        """These fences are gone: what they held back has its stamp, or needs none."""
        with self._lock:
            for each in since_at:
                with suppress(ValueError):
                    self._fences.remove(each)
            self._woken = True
            self._changed.notify_all()

    # -------------------------------------------------------------------------- the start

    def open(self) -> None:
        """Frames committed from now on are captured: they are numbered and get a verdict."""
        with self._lock:
            self.is_open = True
            self._end_preview()

    def preview(self) -> Pixels | None:
        """A copy of the newest frame seen before `open`; None when there was none."""
        with self._lock:
            return None if self._preview is None else self._preview.pixels.copy()

    # -------------------------------------------------------------------------- what is known

    @property
    def tight(self) -> bool:
        """At most one place is left for the camera: a waiting lane must let the oldest frame go."""
        with self._lock:
            return self._is_tight()

    def _is_tight(self) -> bool:
        if self._pool is None:
            return False
        room = len(self._pool.free)
        if self._latest:  # waiting frames give way, except a head that the lane has seen
            room += len(self._live) - (1 if self._live and self._live[0].seen else 0)
        return room <= 1

    @property
    def depth(self) -> int:
        """How many frames wait, tombstones included."""
        return len(self._waiting)

    def upcoming(self, at: float) -> Assignment:
        """What a frame captured at `at` (monotonic) would carry."""
        with self._lock:
            for boundary in reversed(self._boundaries):
                if boundary.reached(self.next_number, at):
                    return boundary.assignment
            return self.assignment

    def close(self) -> None:
        """Nothing more comes in; `head` yields what is left. Memory goes with its last frame."""
        with self._lock:
            self.closed = True
            self._end_preview()
            self._retire()
            self._changed.notify_all()

    # ------------------------------------------------------------------- with the lock held

    def _is_fenced(self) -> bool:
        is_fenced = bool(self._fences) and self._waiting[0].captured.at >= self._fences[0]
        return is_fenced and not self.closed and not self._is_tight()

    def _show(self, lease: Lease) -> None:
        """A frame that is not captured: the newest is kept to be looked at, before the start."""
        if self.closed:
            self._let_go_lease(lease)
            return
        self._end_preview()
        self._preview = lease
        self.previewed += 1

    def _end_preview(self) -> None:
        lease, self._preview = self._preview, None
        if lease is not None:
            self._let_go_lease(lease)

    def _wait(self, timeout_s: float | None) -> None:
        before = self.next_number
        self._changed.wait_for(
            lambda: self._woken or self.closed or self.next_number != before, timeout_s
        )
        self._woken = False

    def _pool_for(self, shape: FrameShape) -> Pool | None:
        if self.closed:
            return None
        if self._pool is None or self._pool.memory.shape != shape:
            pool = Pool.allocate(shape, self._places)
            self._retire()
            self._pool = self._pools[pool.memory] = pool
        return self._pool

    def _retire(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None and pool.idle:
            self._drop(pool)

    def _drop(self, pool: Pool) -> None:
        del self._pools[pool.memory]
        pool.memory.close()

    def _let_go(self, address: FrameAddress) -> None:
        pool = self._pools[address.memory]
        pool.let_go(address.place)
        if pool is not self._pool and pool.idle:
            self._drop(pool)

    def _let_go_lease(self, lease: Lease) -> None:
        if lease.address is None:
            self._scratch = lease.pixels
        else:
            self._let_go(lease.address)

    def _give_way(self) -> None:
        """Policy latest, and no place: the oldest waiting frame that the lane has not seen goes."""
        first = 1 if self._live and self._live[0].seen else 0  # only the head can be seen
        if len(self._live) > first:
            oldest = self._live[first]
            self._live.remove(oldest)  # the first or the second: O(1)
            self._make_stale(oldest)

    def _make_stale(self, frame: Waiting) -> None:
        assert frame.address is not None
        self._let_go(frame.address)
        frame.address = None
        frame.dropped = Reason.DROPPED_STALE

    def _stamp(self, boundary: AssignmentStart) -> None:
        with self._lock:
            reached = False
            for frame in reversed(self._waiting):
                if not boundary.reached(frame.number, frame.captured.at):
                    break
                frame.assignment = boundary.assignment
                reached = True
            if reached:  # then every later frame is past it, and past all boundaries set before
                self.assignment = boundary.assignment
                self._boundaries.clear()
            else:
                self._boundaries.append(boundary)
            self._changed.notify_all()

    def _assigned(self, number: int, at: float) -> Assignment:
        """The latest call whose boundary this frame has reached decides, and ends earlier ones."""
        for index in range(len(self._boundaries) - 1, -1, -1):
            if self._boundaries[index].reached(number, at):
                self.assignment = self._boundaries[index].assignment
                for _ in range(index + 1):
                    self._boundaries.popleft()
                break
        return self.assignment
