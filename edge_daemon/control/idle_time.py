"""The time between two frames, for whoever proves a model beside the line.

Two processes on one GPU take turns, however low the priority of one, and on a small box they share
more than processors. What begins right after a verdict has the time until the next frame.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from edge_daemon.core.values import BundleRef
from edge_daemon.errors import EdgeDaemonError
from edge_daemon.slots.active import ActiveSlot, IdleTask, Pointer
from edge_daemon.slots.slot import Inference, Slot

GAP_WAIT_S = 0.5
"""Longer than this without a gap, and what wants one begins all the same."""

ANSWER_WAIT_S = 5.0
"""How long the lane may take to let the active model look; only one that hangs takes longer."""


class IdleTime:
    """Asks the lane, by idle tasks, for the time between two frames."""

    def __init__(self, active_slot: ActiveSlot) -> None:
        self._crossing = active_slot

    def begin(self, slot: Slot) -> None:
        """Return where a gap begins in which this slot, not the judging one, may infer."""
        judging = self._crossing.pointer.slot
        if judging is not None and judging is not slot:
            self._run(lambda _: None, GAP_WAIT_S)

    def ask(self, active: BundleRef, look: Callable[[Slot], Inference | None]) -> Inference | None:
        """What this bundle, while it is the active one, sees in a gap; None: it gave no answer.

        Another active one, one that is lost, and one that is late give none.
        """
        answer: list[Inference | None] = []

        def idle_task(pointer: Pointer) -> None:
            if pointer.slot and pointer.known and pointer.known.ref == active:
                with suppress(EdgeDaemonError):  # the lane meets it too, and reports it
                    answer.append(look(pointer.slot))

        self._run(idle_task, ANSWER_WAIT_S)
        return answer[0] if answer else None

    def _run(self, work: IdleTask, wait_s: float) -> None:
        """Have the lane do it within this time, or not at all."""
        running, done, given_up = threading.Lock(), threading.Event(), threading.Event()

        def idle_task(pointer: Pointer) -> None:
            with running:
                if not given_up.is_set():
                    work(pointer)
            done.set()

        self._crossing.send(idle_task)
        if not done.wait(wait_s):
            self._crossing.take_back(idle_task)
            given_up.set()
            with running:  # one that has begun may read a picture until it ends
                pass
