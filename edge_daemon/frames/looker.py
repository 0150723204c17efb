"""The candidate's looks at frames of the line: one at a time, on a thread of their own.

A candidate that hangs holds up this thread and one place of the ring, and nothing else.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NamedTuple

import structlog

from edge_daemon.core.judged import Judged
from edge_daemon.core.rollout.values import Opinion
from edge_daemon.frames.captured import Captured
from edge_daemon.host.error_boundary import ErrorBoundary
from edge_daemon.host.memory import Pixels
from edge_daemon.slots.candidate_slot import CandidateFault, RunningSplit
from edge_daemon.slots.slot import INFER_TIMEOUT_S

_log = structlog.get_logger(__name__)

EVERY = 8
"""Of rows and columns: brightness is measured on every 64th pixel."""


class Offered(NamedTuple):
    """One frame; `held` where its pixels are, `look` where the candidate is to see them.

    `drawn`: it was to see them, whether there is time for it or not.
    """

    judged: Judged
    beside: RunningSplit
    held: Captured | None
    drawn: bool
    look: bool
    after_look: bool

    @property
    def rollout(self) -> str:
        return self.beside.split.rollout


@dataclass(frozen=True)
class Looked:
    """What was seen of an offered frame. `failed`: the candidate broke a guard at it."""

    offered: Offered
    brightness: float | None = None
    opinion: Opinion | None = None
    failed: bool = False


class Looker:
    """Asks the candidate.

    Args:
        lose: told of a candidate that failed, and why.
        looked: a frame with what the candidate says of it, while its pixels are held.
        done: told of each look when it is over, whatever came of it; it lets the pixels go.
    """

    def __init__(
        self,
        lose: Callable[[RunningSplit, CandidateFault], None],
        looked: Callable[[Judged, Captured], None],
        done: Callable[[Looked], None],
    ) -> None:
        self._lose = lose
        self._looked = looked
        self._done = done
        self._queue: queue.SimpleQueue[Offered | None] = queue.SimpleQueue()
        self._boundary = ErrorBoundary(_log, "shadow_failed", is_rare=True)
        self._thread = threading.Thread(target=self._run, name="looker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def look(self, offered: Offered) -> None:
        """Let the candidate see this frame; any thread, and it does not wait."""
        self._queue.put(offered)

    def stop(self) -> None:
        """End after the look that is under way, without waiting for it."""
        self._queue.put(None)

    def _run(self) -> None:
        with suppress(OSError):  # judging comes first; a niceness of this thread alone, on Linux
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        while (offered := self._queue.get()) is not None:
            with self._boundary.turn():
                self._look(offered)

    def _look(self, offered: Offered) -> None:
        looked = Looked(offered)
        held = offered.held
        assert held is not None
        try:
            looked = self._ask(offered, held)
            if looked.opinion is not None:
                self._looked(replace(offered.judged, shadow=looked.opinion), held)
        finally:
            self._done(looked)

    def _ask(self, offered: Offered, held: Captured) -> Looked:
        assert held.address is not None
        beside, grey = offered.beside, brightness(held.address.pixels)
        found = beside.candidate_slot.ask(held.address, INFER_TIMEOUT_S)
        if isinstance(found, CandidateFault):
            self._lose(beside, found)
            return Looked(offered, grey, failed=True)
        if found is None:  # it was left meanwhile
            return Looked(offered, grey)
        return Looked(offered, grey, beside.opinion_of(found, held.address.size))


def brightness(pixels: Pixels) -> float:
    """The mean grey level of a frame, 0..255, of every 8th row and column; 0.03 ms at 1080p."""
    return float(pixels[::EVERY, ::EVERY].mean())
