"""The candidate sees the line's own frames, beside the line: the same pixels, and no copy.

The lane only offers, right after its verdict, when no other frame waits: a gap of the line begins
there. One frame at a time is held; the lane waits for nothing here, and wakes nobody: that costs as
much as all else together, so that another thread, which wakes anyway, passes on what was offered.

What the candidate sees is paired with what the active model said, unit by unit, on this thread. It
never waits for the candidate: while a look is under way, only the units that it belongs to do.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol, Union

import structlog

from edge_daemon.core.judged import Judged
from edge_daemon.core.parts.values import By, PartOutcome, PartRules
from edge_daemon.core.rollout.draw import LATER_BITS
from edge_daemon.core.rollout.governor import Governor
from edge_daemon.core.rollout.pairing import Pairing, Seen
from edge_daemon.core.rollout.plan import OVERALL
from edge_daemon.core.rollout.values import Mode, Pair, Split
from edge_daemon.frames.captured import Captured
from edge_daemon.frames.looker import Looked, Looker, Offered, brightness
from edge_daemon.host.error_boundary import ErrorBoundary
from edge_daemon.slots.active import ActiveSlot
from edge_daemon.slots.candidate_slot import CandidateFault, RunningSplit
from edge_daemon.slots.frame_control import ShadowTally

_log = structlog.get_logger(__name__)

MOST_WAITING = 1024
"""Frames that wait here without pixels; of more, the newest are not seen."""

BLOCK = 32
"""Frames that are looked at together, or not, where their unit is not known yet."""


@dataclass(frozen=True)
class ShadowOutlets:
    """What is told, on threads of the shadow's own; each must return at once.

    `pair`: a unit that both models judged, as soon as they have. `lose`: the candidate failed, and
    why. `looked`: a frame with what the candidate says of it, while its pixels are held.
    """

    pair: Callable[[Pair], None]
    lose: Callable[[RunningSplit, CandidateFault], None]
    looked: Callable[[Judged, Captured], None] = lambda *_: None


class Leases(Protocol):
    """The part of the ring that is needed here."""

    def hand_over(self, captured: Captured) -> bool: ...

    def release(self, captured: Captured) -> None: ...


_Bare = tuple[Judged, RunningSplit, Union[Captured, None], bool, bool, bool]
"""What the lane makes of an offer: a name for each field would cost it as much as all the rest."""

_Word = Union[Offered, PartOutcome, None]
"""None: no more frames come."""


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
        self._random = Random().random  # noqa: S311 - which units are looked at is no secret
        self._governor = Governor()
        self._share = 0.0  # of the units; the governor's word, where the lane reads it sooner
        self._governed: Split | None = None
        self._offers: deque[_Bare] = deque()
        self._passing = threading.Lock()
        self._queue: queue.SimpleQueue[_Word | Looked] = queue.SimpleQueue()
        self._looker = Looker(outlets.lose, outlets.looked, self._look_is_over)
        self._under_way: Offered | None = None  # the look that is
        self._behind: list[_Word] = []  # what waits for its end
        self._held = self._looking = self._holds = False
        self._after_look = self._drawn = False
        self._offered = self._heard = 0
        self._unit: str | int | None = None
        self._stopping = False
        self._pairing: Pairing | None = None
        self._compared = self._skipped = self._failed = self._missed = 0
        self._boundary = ErrorBoundary(_log, "shadow_failed", is_rare=True)
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)

    @property
    def tally(self) -> ShadowTally:
        """As it stands; any thread."""
        pairing = self._pairing
        if pairing is None:
            return ShadowTally()
        coverage = pairing.coverage
        lost = dict(coverage.lost)
        lost[OVERALL] = lost.get(OVERALL, 0) + self._missed
        return ShadowTally(
            pairing.split.rollout,
            self._governor.coverage,
            self._compared,
            self._skipped,
            self._failed,
            lost,
            dict(coverage.arms),
            coverage.misassigned,
        )

    @property
    def is_idle(self) -> bool:
        """Whether every frame that was offered was seen; any thread."""
        return self._heard == self._offered and not self._held

    # ------------------------------------------------------------------ the lane's side

    def offer(self, judged: Judged, captured: Captured, *, is_gap: bool) -> None:
        """Here is a judged frame, still leased to the caller; microseconds, and never a wait.

        It may take that lease: nobody else may need the pixels after it. The shadow hears of the
        frame with the next `pass_on`. `is_gap`: no other frame waits for the active model.
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
            number = self._random() if assigned is None else assigned.draw * LATER_BITS % 1.0
            self._drawn = number < self._share
        drawn = self._drawn or not is_single
        if self._offered - self._heard >= MOST_WAITING:
            self._missed += drawn and not self._by_parts  # a part that was not seen tells it itself
            return
        look, held = drawn and is_single and is_gap, None
        measures = (is_first and (drawn or assigned is None)) or not is_single
        may_hold = (look or measures) and not self._held and self._holds
        if may_hold and self._leases.hand_over(captured):
            self._held, self._looking, held = True, look, captured
        look = look and held is not None
        after_look, self._after_look = self._after_look, look or self._looking
        self._offered += 1
        self._offers.append((judged, beside, held, drawn, look, after_look))

    def _govern(self, split: Split) -> None:
        before, self._governed = self._governed, split
        self._holds = split.mode is not Mode.COMPARE  # the lane itself looks again there
        if before is None or (before.rollout, before.coverage) != (split.rollout, split.coverage):
            self._governor = Governor(split.coverage)
            self._share, self._unit = self._governor.coverage, None

    # ------------------------------------------------------------------ other threads

    def pass_on(self) -> None:
        """Let the shadow see what the lane offered; any thread but the lane's."""
        with self._passing:  # in order, whichever threads pass it on
            while self._offers:
                self._queue.put(Offered(*self._offers.popleft()))

    def told(self, parts: Sequence[PartOutcome]) -> None:
        """Parts that were told, after their frames; any thread. Those of one frame are known."""
        self.pass_on()
        for each in parts:
            if self._by_parts and each.assigned is not None:
                self._queue.put(each)

    def start(self) -> None:
        """Take what the lane offers."""
        self._looker.start()
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """Pair what was seen, and end; the lane must have stopped offering."""
        self._stopping = True
        self.pass_on()
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    # ------------------------------------------------------------------ the looker's thread

    def _look_is_over(self, looked: Looked) -> None:
        self._queue.put(looked)  # before another look can be offered
        self._release(looked.offered)

    def _release(self, offered: Offered) -> None:
        if offered.held is not None:
            self._leases.release(offered.held)
            self._held = self._looking = False

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        while self._turn(self._queue.get()):
            pass
        self._looker.stop()
        with self._boundary.turn():
            self._end_span()

    def _turn(self, word: _Word | Looked) -> bool:
        """One word, now or when the look that it waits for is over; False after the last."""
        look = self._under_way
        if isinstance(word, Looked):
            return word.offered is not look or self._end_look(word)
        if look is not None:
            if isinstance(word, Offered) and word.rollout != look.rollout:
                self._end_look(Looked(look))  # that of a rollout that is over: nobody waits for it
            elif self._waits(word, look):
                self._behind.append(word)
                return True
        if word is not None:
            with self._boundary.turn():
                self._hear(word)
        return word is not None

    def _waits(self, word: _Word, look: Offered) -> bool:
        """Whether it has to do with the frame that is looked at; without parts, all are in order.

        There the lane asks about the later frames, and one slot has one caller: none is judged by
        both before the look is over.
        """
        if isinstance(word, PartOutcome):
            return any(each.frame == look.judged.frame for each in word.looks)
        return word is None or not self._by_parts

    def _end_look(self, looked: Looked) -> bool:
        """Pair the frame, and go on with what waited for it."""
        self._under_way = None
        with self._boundary.turn():
            self._frame(looked)
        behind, self._behind = self._behind, []
        return all(self._turn(word) for word in behind)

    def _hear(self, word: Offered | PartOutcome) -> None:
        if isinstance(word, PartOutcome):
            if self._pairing is not None:
                self._tell(self._pairing.part(word))
        elif word.look:
            self._under_way = word
            self._looker.look(word)
        else:
            self._frame(Looked(word, self._measure(word)))

    def _measure(self, word: Offered) -> float | None:
        """How bright a frame is that is not looked at; None where its pixels are not held."""
        held = word.held
        try:
            return brightness(held.address.pixels) if held and held.address else None
        finally:
            self._release(word)

    def _frame(self, looked: Looked) -> None:
        """A frame of which all is known that ever will be."""
        word = looked.offered
        try:
            pairing = self._pairing_of(word.beside.split)
            self._count(looked)
            seen = Seen.of(word.judged, looked.opinion, looked.brightness, drawn=word.drawn)
            self._tell(pairing.frame(seen))
        finally:
            self._heard += 1

    def _count(self, looked: Looked) -> None:
        word = looked.offered
        judged = word.judged
        self._failed += looked.failed
        if looked.opinion is not None or judged.shadow is not None:
            self._compared += 1
        elif not word.look:
            self._skipped += 1
        if judged.shadow is None:  # the lane did not wait for both
            frame_ms = judged.queue_ms + judged.inference_ms
            self._governor.note(frame_ms, after_look=word.after_look)
            self._share = self._governor.coverage

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
            self._tell(self._pairing.end())

    def _tell(self, pair: Pair | None) -> None:
        if pair is not None:
            self._outlets.pair(pair)
