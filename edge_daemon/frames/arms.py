"""Whose verdict counts on a frame, while a candidate is tried beside the active model.

The lane asks once a frame, after the active model has judged it. The candidate judges the same
frame where its verdict counts, or where the unit is not known yet; one that fails costs no frame:
the active model's verdict stands, and the candidate is asked nothing any more.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from edge_daemon.core.judged import Judged
from edge_daemon.core.rollout.draw import assign_by
from edge_daemon.core.rollout.opinions import given_to_candidate
from edge_daemon.core.rollout.values import Arm, Assigned, Mode, Split, UnitKind
from edge_daemon.errors import EdgeDaemonError
from edge_daemon.frames.captured import Captured
from edge_daemon.slots.active import ActiveSlot, Pointer
from edge_daemon.slots.candidate_slot import CandidateFault, RunningSplit
from edge_daemon.slots.slot import INFER_TIMEOUT_S, Inference

MOST_IN_SPAN = 300
"""Frames; a longer span is cut, so that a view that is never clear changes arm all the same."""

LEAST_TIMEOUT_S = 0.25
"""However small the ring is: a busy box is no hung candidate."""

CandidateLost = Callable[[str, str, str], None]
"""Told of the rollout, the guard's word and why; from any thread, and it must not wait."""


class Arms:
    """Used by the lane's thread alone, except for `lose`.

    Args:
        boot: of this start: units are drawn by it.
        candidate_lost: told once for each candidate that failed.
        assigned_of: the arm of the part that a frame belongs to, where parts are more than single
            frames; None where the frame's part is not known yet, or several are in view.
        infer_timeout_s: after so long the candidate counts as hung, at most.
        room: frames that may wait meanwhile; it counts as hung before half of them do.
    """

    def __init__(
        self,
        active_slot: ActiveSlot,
        boot: str,
        candidate_lost: CandidateLost,
        assigned_of: Callable[[int], Assigned | None] | None = None,
        *,
        infer_timeout_s: float = INFER_TIMEOUT_S,
        room: int | None = None,
    ) -> None:
        self._active_slot = active_slot
        self._boot = boot
        self._candidate_lost = candidate_lost
        self._assigned_of = assigned_of
        self._most_s = infer_timeout_s
        self._room = room
        self._pace_s: float | None = None  # between two frames of the camera, smoothed
        self._last: tuple[int, float] | None = None
        self._beside: RunningSplit | None = None  # of the frame in hand
        self._span: Assigned | None = None  # the unit that goes on
        self._span_began = 0

    def begin(self, captured: Captured, pointer: Pointer) -> Assigned | None:
        """The arm of this frame's unit; the split that counts for the frame is read here, once."""
        beside = self._active_slot.beside
        if beside is None or not beside.is_for(pointer.known, pointer.slot):
            self._beside = self._span = None
            return None
        self._beside = beside
        self._keep_pace(captured)
        return self._assigned(beside.split, captured)

    def judge(self, judged: Judged, captured: Captured, *, is_gap: bool = True) -> Judged:
        """The frame's one verdict, given the active model's; `begin` was called for it.

        `is_gap`: no other frame waits. Else a frame that may be of no part at all is not judged
        twice: the line comes first, and a part of the candidate's that lacks it is withdrawn.
        """
        beside, assigned = self._beside, judged.assigned
        if beside is None:
            return judged
        split = beside.split
        # A unit that began in a share ends with the model that it began with.
        asks = assigned.arm is Arm.CANDIDATE if assigned else is_gap and split.mode is Mode.SHARE
        if asks:
            judged = self._both(beside, assigned, judged, captured)
        if split.unit is UnitKind.SPAN and self._assigned_of is None:
            self._go_on(judged, assigned)
        return judged

    def look(self, captured: Captured, pointer: Pointer) -> None:
        """Let the model whose turn it is look at a frame once more, in a gap after its verdict.

        What it says counts nowhere; how long it took is told. Both are asked at the same place, by
        this thread, so that nothing but the model differs.
        """
        turns, beside = self._active_slot.turns, self._beside
        turn = turns.now
        if turn is None or beside is None or captured.address is None or pointer.slot is None:
            return
        if beside.split.mode is not Mode.COMPARE or beside.split.rollout != turn.rollout:
            return
        began = time.perf_counter()
        if turn.arm is Arm.CANDIDATE:
            beside.candidate_slot.slot.promote()
            found = beside.candidate_slot.ask(captured.address, self.timeout_s)
            if isinstance(found, CandidateFault):
                self.lose(beside, found)
            if not isinstance(found, Inference):
                return
        else:
            try:
                pointer.slot.infer(captured.address, self._most_s)
            except EdgeDaemonError:  # the next frame finds it out, and it is told there
                return
        turns.note(turn, 1e3 * (time.perf_counter() - began))

    def lose(self, beside: RunningSplit, fault: CandidateFault) -> None:
        """The candidate failed: its share is 0 from now on, and control is told once."""
        if self._active_slot.drop(beside):
            self._candidate_lost(beside.split.rollout, fault.guard.value, fault.why)

    # ------------------------------------------------------------------ pace

    def _keep_pace(self, captured: Captured) -> None:
        """A frame took so long to come."""
        number, at = captured.number, captured.captured.at
        last, self._last = self._last, (number, at)
        if last is None or number <= last[0]:
            return
        pace_s = (at - last[1]) / (number - last[0])
        self._pace_s = pace_s if self._pace_s is None else 0.9 * self._pace_s + 0.1 * pace_s

    @property
    def timeout_s(self) -> float:
        """How long the candidate may take now, so that no frame is lost to it."""
        if self._room is None or self._pace_s is None:
            return self._most_s
        return min(self._most_s, max(LEAST_TIMEOUT_S, self._room / 2 * self._pace_s))

    # ------------------------------------------------------------------ units

    def _assigned(self, split: Split, captured: Captured) -> Assigned | None:
        """The arm of the frame's unit; None where that is not known."""
        if self._assigned_of is not None:
            assigned = self._assigned_of(captured.number)
            is_ours = assigned is not None and assigned.rollout == split.rollout
            return assigned if is_ours else None
        if split.unit is UnitKind.SPAN:
            if self._span is not None and self._span.rollout == split.rollout:
                return self._span
            self._span_began = captured.number
        return assign_by(split, self._boot, captured.assignment, captured.number)

    def _go_on(self, judged: Judged, assigned: Assigned | None) -> None:
        """A frame in which none of those that looked sees anything is the last of its span."""
        sees = judged.part_in_view or bool(judged.shadow and judged.shadow.detections)
        is_long = judged.frame + 1 - self._span_began >= MOST_IN_SPAN
        self._span = assigned if sees and not is_long else None

    # ------------------------------------------------------------------ the candidate

    def _both(
        self, beside: RunningSplit, assigned: Assigned | None, judged: Judged, captured: Captured
    ) -> Judged:
        """The same frame, judged by the candidate too."""
        assert captured.address is not None
        beside.candidate_slot.slot.promote()  # cheap, and does something once a load
        found = beside.candidate_slot.ask(captured.address, self.timeout_s)
        if found is None or isinstance(found, CandidateFault):
            if found is not None:
                self.lose(beside, found)
            self._span = None
            return replace(judged, assigned=assigned.withdrawn if assigned else None)
        seen = beside.opinion_of(found, judged.size)
        if assigned is not None:
            own = given_to_candidate(judged, seen, either=beside.split.either)
            return replace(own, assigned=assigned)
        waited_ms = judged.queue_ms + found.inference_ms
        return replace(judged, shadow=seen, queue_ms=waited_ms)
