"""The lane: every captured frame, in order, gets exactly one verdict by exactly one model.

While a candidate is tried, both may be asked; one verdict counts, and the other stands beside it.

The only writer of the active pointer. Per frame it reads the pointer once, asks that slot, and
hands the verdict on. It never loads, frees, logs or waits for control; what it waits for is the
next frame, the model that the frame's product needs, or a worker that is being restored, and
then only as long as the ring has room.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from edge_daemon.core.judged import Judged
from edge_daemon.core.recipe import broken_rules, has_part_in_view, verdict_of
from edge_daemon.core.values import Instant, Reason, Verdict
from edge_daemon.errors import BundleError, EdgeDaemonError, SlotLost
from edge_daemon.frames.arms import Arms
from edge_daemon.frames.captured import Captured
from edge_daemon.frames.ring import Ring
from edge_daemon.slots.active import ActiveSlot, Crossed, Cutover, Pointer
from edge_daemon.slots.slot import INFER_TIMEOUT_S, Inference

IDLE_S = 0.25
"""Without a frame for this long, a cutover that waits for one is made between frames."""

ERRAND_FRAMES = 8
"""So many frames go before an idle task where none leaves a gap."""

PART_GAP_S = 2.0
"""A change that may wait for a gap between two parts does so for this long."""

_TUNED = -1
"""Stands for another recipe where a cutover has its token."""

ATTEMPTS = 2
"""Workers that may be lost over one frame before the frame itself is given up."""


class Listener(Protocol):
    """Where the lane's facts go; each call must return within microseconds."""

    def judged(self, judged: Judged, captured: Captured) -> None:
        """A frame has its verdict; its pixels stay leased until the call returns, or until the
        listener gives the lane's lease to another holder: `Ring.hand_over`.
        """

    def crossed(self, crossed: Crossed) -> None:
        """The pointer names another slot from this frame on."""

    def lost(self, token: int, why: str) -> None:
        """The worker behind the load of this token died, hung or broke its protocol."""

    def failed(self, error: EdgeDaemonError) -> None:
        """The model itself gave no verdict on a frame; it is asked again at the next one."""

    def waits(self) -> None:
        """The oldest frame waits for a model: until that one judges, no verdict comes."""


class Lane:
    """One thread's loop over the ring."""

    def __init__(
        self,
        ring: Ring,
        active_slot: ActiveSlot,
        listener: Listener,
        now: Callable[[], Instant],
        *,
        arms: Arms | None = None,
    ) -> None:
        self._ring = ring
        self._active_slot = active_slot
        self._listener = listener
        self._now = now
        self._arms = arms
        self.is_split: Callable[[int], bool] | None = None
        """Whether a cutover before this frame would show one part to two models; None: never."""
        self._waits: dict[int, float] = {}  # changes that wait for a gap, and since when
        self._hand: Captured | None = None  # popped, leased, not judged yet
        self._losses = 0  # workers that were lost over it
        self._dead = 0  # the token of a load whose worker was lost; a newer one may be asked again
        self._crossed_epoch = 0  # the assignment that the pointer was set for
        self._gave_way = 0  # frames that went before the idle task that waits
        self._last_at = 0.0  # when the last frame was judged
        self._waiting_at: float | None = None  # since when the head could not be judged
        self._giving_up = threading.Event()

    # ------------------------------------------------------------------ other threads

    def give_up(self) -> None:
        """What is left in the ring is `uninspected (stopped)` from now on."""
        self._giving_up.set()
        self._ring.wake()

    # ------------------------------------------------------------------ the loop

    def run(self) -> None:
        """Judge until the ring is closed and empty."""
        while self.turn():
            pass

    def turn(self) -> bool:
        """One look at the oldest frame; False when none will come any more."""
        captured = self._hand or self._ring.head(IDLE_S)
        self._cross(captured)
        if captured is not None:
            self._serve(captured)
        elif self._ring.closed and self._ring.depth == 0:
            return False
        else:
            self._look_after()
        if self._hand is None:
            self._attend(has_served=captured is not None)
        return True

    def _look_after(self) -> None:
        """No frame comes: a worker that died meanwhile is restored before the next one does."""
        slot = self._active_slot.pointer.slot
        if slot is None or not slot.is_lost:
            return
        token = self._active_slot.token_of(slot)
        if token != self._dead:
            self._dead = token
            self._listener.lost(token, "The worker died while no frame came.")

    def _attend(self, *, has_served: bool) -> None:
        """An idle task begins where a gap begins, so that the next frame does not find it at work,
        or while the line is still or waits for a model. It lets frames go first, but only so many:
        a line that never pauses is no reason to prove a bundle without the active one."""
        if not self._active_slot.has_errand:
            self._gave_way = 0
        elif self._ring.depth and self._waiting_at is None and self._gave_way < ERRAND_FRAMES:
            self._gave_way += 1
        elif has_served or self._now().at - self._last_at >= IDLE_S:
            self._gave_way = 0
            self._run_idle_task()

    def _run_idle_task(self) -> None:
        """The active slot does something else for the length of an inference."""
        idle_task = self._active_slot.take_idle_task()
        pointer = self._active_slot.pointer
        if idle_task is not None and pointer.slot is not None:
            idle_task(pointer)

    def _cross(self, captured: Captured | None) -> None:
        if captured is not None:
            number, epoch = captured.number, captured.assignment.epoch
        else:
            if self._ring.depth:
                return  # they stay behind a fence, and may be the last of the old model
            number = self._ring.next_number
            epoch = self._ring.assignment.epoch
            at = self._now().at
            if at - self._last_at >= IDLE_S:
                epoch = self._ring.upcoming(at).epoch
        if self._active_slot.has_tuned and self._is_between_parts(captured, _TUNED):
            self._waits.pop(_TUNED, None)
            tuned = self._active_slot.take_tuned()
            if tuned is not None:
                self._active_slot.pointer = tuned
        patient = self._active_slot.patient(number, epoch)
        if patient is not None and not self._is_between_parts(captured, patient):
            return
        cutover = self._active_slot.take_due(number, epoch)
        if cutover is not None:
            self._point(cutover, number, captured)

    def _is_between_parts(self, captured: Captured | None, change: int) -> bool:
        """Whether a change before this frame splits no part, or a gap was waited for long enough.

        The frame is judged as the one before it otherwise, if that is possible.
        """
        if self.is_split is None:
            return True
        at = self._now().at
        if captured is None:  # the next frame tells, if it comes soon
            return at - self._last_at >= IDLE_S
        if self._obstacle(captured, self._active_slot.pointer)[0] is not None:
            return True
        since_at = self._waits.setdefault(change, at)
        return at - since_at > PART_GAP_S or not self.is_split(captured.number)

    def _point(self, cutover: Cutover, number: int, captured: Captured | None) -> None:
        """The frame boundary itself: one assignment, then the word of it."""
        began = self._now()
        if cutover.pointer.slot is not None:
            # A slot has one caller: who looks with the candidate beside the line ends first.
            self._active_slot.vacate(cutover.pointer.slot.name, INFER_TIMEOUT_S)
            cutover.pointer.slot.promote()
        self._active_slot.pointer = cutover.pointer
        self._waits.clear()
        self._crossed_epoch = cutover.at_epoch
        now = self._now()
        since = began.at if self._waiting_at is None or captured is None else self._waiting_at
        if cutover.pointer.slot is not None:
            self._waiting_at = None
        pause_ms = (now.at - since) * 1e3
        self._listener.crossed(Crossed(cutover.token, number, now.at, now.utc, pause_ms))

    def _serve(self, captured: Captured) -> None:
        """Judge the frame, let it go, or leave it where it is for now."""
        pointer = self._active_slot.pointer
        reason, may_wait = self._obstacle(captured, pointer)
        if reason is None:
            self._judge(self._take(), pointer)
        elif may_wait and not self._ring.tight and not self._giving_up.is_set():
            if self._waiting_at is None:
                self._waiting_at = self._now().at
                self._listener.waits()
            self._ring.rest(IDLE_S)
        else:
            self._let_go(self._take(), reason)

    def _obstacle(self, captured: Captured, pointer: Pointer) -> tuple[Reason | None, bool]:
        """Why the pointer may not judge this frame now, and whether waiting may help."""
        assignment = captured.assignment
        if (unseen := captured.dropped or captured.flaw) is not None:
            return unseen, False
        if self._giving_up.is_set():
            return Reason.STOPPED, False
        if not assignment.linked:
            return Reason.UNKNOWN_PRODUCT, False
        if pointer.slot is None and not pointer.expecting:
            return Reason.NO_MODEL, False
        if pointer.slot is None or assignment.requires not in (None, pointer.name):
            passed = assignment.epoch <= self._ring.passed_over
            # Handed in late, after a cutover on a still line: no other model comes for it.
            late = assignment.epoch < self._crossed_epoch
            return (Reason.SUPERSEDED, False) if passed else (Reason.CHANGEOVER, not late)
        lost = self._active_slot.token_of(pointer.slot) == self._dead
        return (Reason.WORKER_LOST, True) if lost else (None, False)

    def _take(self) -> Captured:
        """The frame in hand: from here on no stamp reaches it."""
        if self._hand is None:
            self._hand, self._losses = self._ring.pop(), 0
        return self._hand

    # ------------------------------------------------------------------ verdicts

    def _judge(self, captured: Captured, pointer: Pointer) -> None:
        if self._obstacle(captured, pointer)[0] is not None:
            return  # stamped anew between head and pop: the next round decides
        slot = pointer.slot
        assert slot is not None
        assert captured.address is not None
        token = self._active_slot.token_of(slot)
        began_at = self._now().at
        self._waiting_at = None
        try:
            inference = slot.infer(captured.address, INFER_TIMEOUT_S)
        except SlotLost as lost:
            self._lose(captured, token, str(lost))
            return
        except EdgeDaemonError as error:  # a worker may say anything of the box, too
            self._fail(captured, error)
            return
        if not inference.finite:
            self._fail(captured, BundleError("The model gave numbers that are not finite."))
            return
        queue_ms = (began_at - captured.captured.at) * 1e3
        judged = self._verdict(captured, pointer, inference, queue_ms)
        if self._arms is not None:
            judged = self._arms.judge(judged, captured, is_gap=not self._ring.depth)
        self._hand_on(captured, judged, pointer)

    def _verdict(
        self, captured: Captured, pointer: Pointer, inference: Inference, queue_ms: float
    ) -> Judged:
        assert pointer.known is not None
        assert captured.address is not None
        found, recipe = inference.detections, pointer.recipe
        causes = broken_rules(found, recipe, captured.address.size)
        arms = self._arms
        return Judged(
            frame=captured.number,
            captured_utc=captured.captured.utc,
            captured_at=captured.captured.at,
            is_stamped=captured.captured.is_stamped,
            assignment=captured.assignment,
            verdict=verdict_of(causes, found, recipe),
            model=pointer.known.ref,
            sha256=pointer.known.sha256,
            recipe=recipe,
            size=captured.address.size,
            detections=found,
            causes=causes,
            part_in_view=has_part_in_view(found, recipe),
            queue_ms=queue_ms,
            inference_ms=inference.inference_ms,
            assigned=None if arms is None else arms.begin(captured, pointer),
            faint=inference.faint,
        )

    def _lose(self, captured: Captured, token: int, why: str) -> None:
        """Keep the frame for the next worker; a frame that takes two workers along is given up."""
        self._dead = token
        self._losses += 1
        self._listener.lost(token, why)
        if self._losses >= ATTEMPTS:
            self._let_go(captured, Reason.INFERENCE_FAILED)

    def _fail(self, captured: Captured, error: EdgeDaemonError) -> None:
        self._listener.failed(error)
        self._let_go(captured, Reason.INFERENCE_FAILED)

    def _let_go(self, captured: Captured, reason: Reason) -> None:
        """An honest `uninspected`: no model vouches for this frame."""
        judged = Judged(
            frame=captured.number,
            captured_utc=captured.captured.utc,
            captured_at=captured.captured.at,
            assignment=captured.assignment,
            verdict=Verdict.UNINSPECTED,
            reason=reason,
        )
        self._hand_on(captured, judged)

    def _hand_on(self, captured: Captured, judged: Judged, pointer: Pointer | None = None) -> None:
        """Tell the verdict and let the frame go; `pointer`: what judged it."""
        self._hand = None
        self._last_at = self._now().at
        try:
            self._listener.judged(judged, captured)
            is_ours = self._ring.handed_over is not captured
            if self._arms is not None and pointer is not None and is_ours and not self._ring.depth:
                self._arms.look(captured, pointer)
        finally:
            self._ring.done(captured)
