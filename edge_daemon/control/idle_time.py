"""The time between two frames, for whatever proves a model beside the line.

Two processes on one GPU take turns whatever their priorities, and on a small box they compete for
more than processors. Work that begins right after a verdict has the time until the next frame.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from edge_daemon.core.judged import Judged
from edge_daemon.core.values import BundleRef
from edge_daemon.errors import EdgeDaemonError
from edge_daemon.slots.active import ActiveSlot, IdleTask, Pointer
from edge_daemon.slots.slot import Inference, Slot

GAP_WAIT_S = 0.5
"""After this long without a gap, the waiting work begins anyway."""

ANSWER_WAIT_S = 5.0
"""How long the lane may take to let the active model look; only one that hangs takes longer."""
SPARE_S = 0.002
"""What the lane itself needs of each frame's time."""

LONGER = 1.2
"""An inference may take this many times as long as the one before it."""


@dataclass
class _Turn:
    """What one slot does in the gap that was given to it."""

    began_at: float
    ends_at: float
    took_s: float = 0.0


class IdleTime:
    """Asks the lane, by idle tasks, for the time between two frames."""

    def __init__(self, active_slot: ActiveSlot, now: Callable[[], float] = time.monotonic) -> None:
        self._active_slot = active_slot
        self._now = now
        self._seen: Judged | None = None
        self._room_s = 0.0
        self._turns: dict[str, _Turn] = {}

    def learn(self, judged: Judged) -> None:
        """Called with each judged frame: two of them tell how long a gap is."""
        seen, self._seen = self._seen, judged
        if seen is None or judged.frame <= seen.frame:
            return
        frame_s = (judged.captured_at - seen.captured_at) / (judged.frame - seen.frame)
        self._room_s = frame_s - (judged.queue_ms + judged.inference_ms) / 1e3 - SPARE_S

    def begin(self, slot: Slot) -> None:
        """Return when this slot, which does not judge, may infer.

        That is when a gap begins, or within the current one if there is time for another inference
        as long as the last one.
        """
        judging = self._active_slot.pointer.slot
        if judging is None or judging is slot:
            return
        if self.has_room(slot):
            self._turns[slot.name].began_at = self._now()
            return
        self._run(lambda _: None, GAP_WAIT_S)
        self.began(slot)

    def has_room(self, slot: Slot) -> bool:
        """Whether the gap that this slot is in has time for another inference as its last one."""
        turn, now = self._turns.get(slot.name), self._now()
        return turn is not None and now + LONGER * (now - turn.began_at) < turn.ends_at

    def began(self, slot: Slot) -> None:
        """A gap begins now, and this slot infers in it."""
        now = self._now()
        self._turns[slot.name] = _Turn(now, now + self._room_s)

    def ended(self, slot: Slot) -> None:
        """The inference is done that this slot began last."""
        turn = self._turns.get(slot.name)
        if turn is not None:
            turn.took_s = self._now() - turn.began_at

    def fits(self, slot: Slot, inferences: int) -> bool:
        """Whether a whole gap has time for so many of the inferences that `ended` knows of."""
        turn = self._turns.get(slot.name)
        return turn is not None and 0.0 < inferences * LONGER * turn.took_s < self._room_s

    def ask(self, active: BundleRef, look: Callable[[Slot], Inference | None]) -> Inference | None:
        """What this bundle, while it is active, sees within a gap; None if it gave no answer.

        There is none from another active bundle, a lost one, or one that is late.
        """
        answer: list[Inference | None] = []

        def idle_task(pointer: Pointer) -> None:
            if pointer.slot and pointer.known and pointer.known.ref == active:
                with suppress(EdgeDaemonError):  # the lane meets it too, and reports it
                    answer.append(look(pointer.slot))

        self._run(idle_task, ANSWER_WAIT_S)
        return answer[0] if answer else None

    def _run(self, work: IdleTask, wait_s: float) -> None:
        """Run it on the lane within this time, or not at all."""
        running, done, given_up = threading.Lock(), threading.Event(), threading.Event()

        def idle_task(pointer: Pointer) -> None:
            with running:
                if not given_up.is_set():
                    work(pointer)
            done.set()

        self._active_slot.send(idle_task)
        if not done.wait(wait_s):
            self._active_slot.take_back(idle_task)
            given_up.set()
            with running:  # one that has begun may read a picture until it ends
                pass
