"""The candidate sees the line's own frames, beside the line: the same pixels, and no copy.

The lane only offers, right after its verdict, when no other frame waits: a gap of the line begins
there. One frame at a time is held; the lane waits for nothing here, and wakes nobody: that costs as
much as all else together, so that another thread, which wakes anyway, passes on what was offered.
What the candidate sees is paired with what the active model said, unit by unit, on this thread.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from random import Random
from typing import NamedTuple, Protocol, Union

import structlog

from edge_daemon.core.parts.values import By, PartOutcome, PartRules
from edge_daemon.core.rollout.governor import Governor
from edge_daemon.core.rollout.opinions import opinion
from edge_daemon.core.rollout.pairing import Coverage, Pairing, Seen
from edge_daemon.core.rollout.values import Opinion, Pair, Split
from edge_daemon.core.values import Judged
from edge_daemon.frames.captured import Captured
from edge_daemon.host.error_boundary import ErrorBoundary
from edge_daemon.host.memory import Pixels
from edge_daemon.slots.active import ActiveSlot
from edge_daemon.slots.candidate_slot import CandidateFault, RunningSplit
from edge_daemon.slots.slot import INFER_TIMEOUT_S

_log = structlog.get_logger(__name__)

BATCH = 64
BATCH_S = 0.25
"""Pairs are handed on in batches: so many, or those of so long. With the evaluator's turn after it
they are on the disk within a second.
"""

MOST_WAITING = 1024
"""Frames that wait here without pixels; of more, the newest are not seen."""

BLOCK = 32
"""Frames that are looked at together, or not, where their unit is not known yet."""

EVERY = 8
"""Of rows and columns: brightness is measured on every 64th pixel."""


@dataclass(frozen=True)
class ShadowTally:
    """How far the candidate sees what the line sees, of the split that is on.

    `share`: of the units that are to be looked at. Frames: compared + skipped + failed.
    """

    rollout: str = ""
    share: float = 0.0
    compared: int = 0
    skipped: int = 0
    failed: int = 0
    missed: int = 0  # units of one frame that were drawn, and came faster than they could be paired
    coverage: Coverage = field(default_factory=Coverage)


@dataclass(frozen=True)
class ShadowOutlets:
    """What is told, on the shadow's thread.

    `pairs`: batches. `lose`: the candidate failed, and why. `looked`: a frame with what the
    candidate says of it, while its pixels are held.
    """

    pairs: Callable[[Sequence[Pair]], None]
    lose: Callable[[RunningSplit, CandidateFault], None]
    looked: Callable[[Judged, Captured], None] = lambda *_: None


class Leases(Protocol):
    """The part of the ring that is needed here."""

    def retain_if_roomy(self, captured: Captured) -> bool: ...

    def release(self, captured: Captured) -> None: ...


class _Offered(NamedTuple):
    """One frame; `held` where its pixels are, `look` where the candidate is to see them.

    `drawn`: it was to see them, whether there is time for it or not.
    """

    judged: Judged
    beside: RunningSplit
    held: Captured | None
    drawn: bool
    look: bool
    after_look: bool


_Bare = tuple[Judged, RunningSplit, Union[Captured, None], bool, bool, bool]
"""What the lane makes of it: a name for each field would cost it as much as all the rest."""

_Word = Union[_Offered, PartOutcome, None]


class Shadow:
    """One candidate at a time.

    Args:
        leases: the ring.
        active_slot: where the split is read.
        boot: of this start.
        rules: what makes a part; None where only frames are counted.
    """

    def __init__(
        self,
        leases: Leases,
        active_slot: ActiveSlot,
        boot: str,
        rules: PartRules | None,
        outlets: ShadowOutlets,
    ) -> None:
        self._leases = leases
        self._active_slot = active_slot
        self._boot = boot
        self._rules = rules or PartRules()
        self._by_parts = self._rules.by is not By.FRAME
        self._outlets = outlets
        self._random = Random()  # noqa: S311 - which units are looked at is no secret
        self._governor = Governor(self._random)
        self._governed: Split | None = None
        self._offers: deque[_Bare] = deque()
        self._passing = threading.Lock()
        self._queue: queue.SimpleQueue[_Word] = queue.SimpleQueue()
        self._held = self._looking = False
        self._after_look = self._drawn = False
        self._offered = self._heard = 0
        self._unit: str | int | None = None
        self._stopping = False
        self._pairing: Pairing | None = None
        self._pairs: list[Pair] = []
        self._told_at = time.monotonic()
        self._compared = self._skipped = self._failed = self._missed = 0
        self._boundary = ErrorBoundary(_log, "shadow_failed", is_rare=True)
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)

    @property
    def tally(self) -> ShadowTally:
        """As it stands; any thread."""
        pairing = self._pairing
        if pairing is None:
            return ShadowTally()
        return ShadowTally(
            pairing.split.rollout,
            self._governor.coverage,
            self._compared,
            self._skipped,
            self._failed,
            self._missed,
            pairing.coverage,
        )

    @property
    def is_idle(self) -> bool:
        """Whether every frame that was offered was seen; any thread."""
        return self._heard == self._offered

    # ------------------------------------------------------------------ the lane's side

    def offer(self, judged: Judged, captured: Captured, *, is_gap: bool) -> None:
        """Here is a judged frame, still leased to the caller; microseconds, and never a wait.

        The shadow hears of it with the next `pass_on`. `is_gap`: no other frame waits for the
        active model.
        """
        beside = self._active_slot.beside
        if beside is None or self._stopping or judged.model is None:
            return
        if judged.model.name != beside.product:
            return
        if beside.split is not self._governed:
            self._govern(beside.split)
        assigned, is_single = judged.assigned, judged.shadow is None
        unit = judged.frame // BLOCK if assigned is None else assigned.unit
        if is_first := unit != self._unit:
            self._unit = unit
            self._drawn = self._governor.chosen(f"~{unit}" if assigned is None else str(unit))
        drawn = self._drawn or not is_single
        if self._offered - self._heard >= MOST_WAITING:
            self._missed += drawn and not self._by_parts  # a part that was not seen tells it itself
            return
        look, held = drawn and is_single and is_gap, None
        if (look or is_first) and not self._held and self._leases.retain_if_roomy(captured):
            self._held, self._looking, held = True, look, captured
        look = look and held is not None
        after_look, self._after_look = self._after_look, look or self._looking
        self._offered += 1
        self._offers.append((judged, beside, held, drawn, look, after_look))

    def _govern(self, split: Split) -> None:
        before, self._governed = self._governed, split
        if before is None or (before.rollout, before.coverage) != (split.rollout, split.coverage):
            self._governor = Governor(self._random, split.coverage)
            self._unit = None

    # ------------------------------------------------------------------ other threads

    def pass_on(self) -> None:
        """Let the shadow see what the lane offered; any thread but the lane's."""
        with self._passing:  # in order, whichever threads pass it on
            while self._offers:
                self._queue.put(_Offered(*self._offers.popleft()))

    def told(self, parts: Sequence[PartOutcome]) -> None:
        """Parts that were told, after their frames; any thread. Those of one frame are known."""
        self.pass_on()
        for each in parts:
            if self._by_parts and each.assigned is not None:
                self._queue.put(each)

    def start(self) -> None:
        """Take what the lane offers."""
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """Pair what was seen, and end; the lane must have stopped offering."""
        self._stopping = True
        self.pass_on()
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        with suppress(OSError):  # judging comes first; a niceness of this thread alone, on Linux
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        while True:
            try:
                word = self._queue.get(timeout=BATCH_S / 4 if self._pairs else None)
            except queue.Empty:
                self._tell_due()
                continue
            if word is None:
                break
            with self._boundary.turn():
                self._hear(word)
            self._tell_due()
        self._end_span()
        self._tell()

    def _hear(self, word: _Offered | PartOutcome) -> None:
        if isinstance(word, PartOutcome):
            if self._pairing is not None:
                self._keep(self._pairing.part(word))
            return
        pairing = self._pairing_of(word.beside.split)
        try:
            grey = _brightness(word.held)
            looked = self._look(word) if word.look else None
            if looked is not None and word.held is not None:
                self._outlets.looked(replace(word.judged, shadow=looked), word.held)
        finally:
            if word.held is not None:
                self._leases.release(word.held)
                self._held = self._looking = False
            self._heard += 1
        self._count(word, looked)
        seen = Seen.of(word.judged, looked, grey, drawn=word.drawn)
        self._keep(pairing.frame(seen))

    def _look(self, word: _Offered) -> Opinion | None:
        """What the candidate says of this frame; None where it is asked no more."""
        assert word.held is not None
        assert word.held.address is not None
        split = word.beside.split
        found = word.beside.candidate_slot.ask(word.held.address, INFER_TIMEOUT_S)
        if isinstance(found, CandidateFault):
            self._failed += 1
            self._outlets.lose(word.beside, found)
            return None
        if found is None:
            return None
        size = word.held.address.size
        return opinion(
            split.candidate,
            split.recipe,
            found.detections,
            size,
            found.inference_ms,
            found.faint,
        )

    def _count(self, word: _Offered, looked: Opinion | None) -> None:
        judged = word.judged
        if looked is not None or judged.shadow is not None:
            self._compared += 1
        elif not word.look:
            self._skipped += 1
        if judged.shadow is None:  # the lane did not wait for both
            frame_ms = judged.queue_ms + judged.inference_ms
            self._governor.note(frame_ms, after_look=word.after_look)

    def _pairing_of(self, split: Split) -> Pairing:
        pairing = self._pairing
        if pairing is None or pairing.split.rollout != split.rollout:
            self._end_span()
            self._compared = self._skipped = self._failed = self._missed = 0
            pairing = Pairing(self._boot, split, self._rules, by_parts=self._by_parts)
            self._pairing = pairing
        pairing.split = split
        return pairing

    def _end_span(self) -> None:
        if self._pairing is not None:
            self._keep(self._pairing.end())

    def _keep(self, pair: Pair | None) -> None:
        if pair is not None:
            self._pairs.append(pair)

    def _tell_due(self) -> None:
        now = time.monotonic()
        if len(self._pairs) >= BATCH or now - self._told_at >= BATCH_S:
            self._told_at = now
            self._tell()

    def _tell(self) -> None:
        pairs, self._pairs = self._pairs, []
        if pairs:
            with self._boundary.turn(pairs=len(pairs)):
                self._outlets.pairs(pairs)


def _brightness(held: Captured | None) -> float | None:
    """The mean grey level of a frame, 0..255; None where its pixels are not held."""
    if held is None or held.address is None:
        return None
    return brightness(held.address.pixels)


def brightness(pixels: Pixels) -> float:
    """Of every 8th row and column, by the mean of the three colours; 0.03 ms at 1080p."""
    return float(pixels[::EVERY, ::EVERY].mean())
