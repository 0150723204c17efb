"""What lane, shadow and parts tell the collector; what is chosen goes to the threads that write.

The lane only finds out whether a frame is worth a picture at all, and holds it by a lease: nothing
is copied, written or waited for. The threads that write find out all of its reasons. Where a part
is more than one frame, the lane cannot know which part a frame shows. It holds the frame until the
parts' own thread says so, a moment later.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from edge_daemon.collecting.pixels import contrast, encoded, prepared
from edge_daemon.collecting.record import Record, record_of
from edge_daemon.collecting.store import CollectionStore
from edge_daemon.core.collecting.alike import PictureDescriptor
from edge_daemon.core.collecting.bare import Bare
from edge_daemon.core.collecting.choice import Choice, DrawnAhead, Inclusion
from edge_daemon.core.collecting.hidden import PrivacyMask
from edge_daemon.core.collecting.reasons import Why, holds_one_of, reasons_of
from edge_daemon.core.judged import Judged
from edge_daemon.core.parts.values import By
from edge_daemon.core.rollout.opinions import both
from edge_daemon.core.values import Box, Verdict
from edge_daemon.frames.captured import Captured
from edge_daemon.frames.collector import COLLECTED, Collector
from edge_daemon.frames.ring import Ring
from edge_daemon.host.memory import Pixels

MOST_HELD = 2
"""Frames that wait for their part; of a frame that finds no room, a chosen part is lost."""

MOST_WAITING = 256
"""Frames whose part is not known yet, with and without their pixels."""

_MOST_FRAMES = 1024


@dataclass(frozen=True)
class CollectionRules:
    """What is collected: the share of each reason, and what a kept picture looks like."""

    shares: Mapping[Why, float]
    suffix: str = ".jpg"
    hidden: PrivacyMask = field(default_factory=PrivacyMask)


class LineCollector:
    """Pictures of parts that are worth it.

    Args:
        places: the ring.
        by: what a part is: by frame, each frame is one.
        room: frames that may wait or be written at a time.
    """

    def __init__(
        self,
        places: Ring,
        store: CollectionStore,
        wish: CollectionRules,
        boot: str,
        by: By = By.FRAME,
        room: int = 2,
    ) -> None:
        self._places, self.store, self._wish, self._boot = places, store, wish, boot
        self._by, self._is_by_frame = by, by is By.FRAME
        self._choice = Choice(boot, wish.shares)
        self._ahead = DrawnAhead(self._choice)
        self._choosing = threading.Lock()  # lane, shadow, parts and writers choose
        # By frame, with whether an alarm of drift stood: taken by the lane, and not chosen yet.
        self._taken: dict[int, tuple[Judged, bool]] = {}
        self._chosen: dict[int, tuple[Inclusion, ...]] = {}  # by id(judged), until it is written
        self._held: deque[tuple[Judged, Captured | None]] = deque()
        self._parts_of: OrderedDict[int, tuple[int, ...]] = OrderedDict()
        self._bare = Bare() if Why.NOTHING_FOUND in wish.shares and by is not By.TRIGGER else None
        self._measuring: Judged | None = None
        self.drifts = False
        """Whether an alarm of drift stands; any thread sets it."""
        self.writer = Collector(places, self, self._prepare, room=max(2, room), events=COLLECTED)
        store.facts = self._facts

    # ------------------------------------------------------------------ the lane

    def offer(self, judged: Judged, captured: Captured) -> None:
        """Here is a judged frame, still leased to the caller; microseconds, and never a wait."""
        if not self._is_by_frame:
            self._hold(judged, captured)
        elif captured.address is None:
            return
        elif holds_one_of(judged, self._ahead.of(judged.frame), drifts=self.drifts):
            self._taken[judged.frame] = judged, self.drifts
            if not self.writer.take(judged, captured):
                self._lose(judged)
        elif self._bare is not None:
            self._measure(judged, captured)

    def _hold(self, judged: Judged, captured: Captured) -> None:
        """Until `seen` says which parts it shows; without its pixels where there is no room."""
        is_seen = judged.verdict is not Verdict.UNINSPECTED and captured.address is not None
        is_held = is_seen and not self._is_full() and not self._places.tight
        if is_held:
            self._places.retain(captured)
        self._held.append((judged, captured if is_held else None))
        if len(self._held) > MOST_WAITING:
            self._let_go()

    def _is_full(self) -> bool:
        waiting = tuple(self._held)
        return (
            len(waiting) >= MOST_HELD and sum(each is not None for _, each in waiting) >= MOST_HELD
        )

    # ------------------------------------------------------------------ other threads

    @property
    def is_measuring(self) -> bool:
        """Whether a frame is held to be measured."""
        return self._measuring is not None

    def seen(self, frame: int, parts: Sequence[int]) -> None:
        """The parts that a judged frame shows; in order, on the parts' thread."""
        if self._is_by_frame:
            return
        self._parts_of[frame] = tuple(parts)
        if len(self._parts_of) > _MOST_FRAMES:
            self._parts_of.popitem(last=False)
        while self._held and self._held[0][0].frame <= frame:
            waiting = self._take_held()
            if waiting is None:
                return
            judged, captured = waiting
            try:
                if judged.frame == frame and parts:
                    self._choose_parts(judged, captured, parts)
            finally:
                if captured is not None:
                    self._places.release(captured)

    def looked(self, judged: Judged, captured: Captured) -> None:
        """A candidate has seen the frame too, beside the line; the caller holds it."""
        with self._choosing:
            self._settle(judged.frame)
        reasons = reasons_of(judged, drifts=self.drifts)
        self._choose(judged, captured, self._units_of(judged), reasons)

    def start(self) -> None:
        """Take what the lane offers."""
        self._ahead.go_on()
        self.writer.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """Write what waits, and end; nothing is offered any more."""
        while self._held:
            self._let_go()
        self.writer.stop(timeout_s)

    def _take_held(self) -> tuple[Judged, Captured | None] | None:
        try:
            return self._held.popleft()
        except IndexError:  # the lane has given it up meanwhile
            return None

    def _let_go(self) -> None:
        waiting = self._take_held()
        if waiting is not None and waiting[1] is not None:
            self._places.release(waiting[1])

    def _facts(self) -> Mapping[str, int]:
        tally = self.writer.tally
        return {"missed": tally.missed, "failed": tally.failed}

    # ------------------------------------------------------------------ choosing

    def _units_of(self, judged: Judged) -> tuple[str, ...]:
        """The parts that the frame shows, as far as that is known by now."""
        if self._is_by_frame:
            return (str(judged.frame),)
        return tuple(map(str, self._parts_of.get(judged.frame, ())))

    def _choose_parts(
        self, judged: Judged, captured: Captured | None, parts: Sequence[int]
    ) -> None:
        is_expected = self._by is By.TRIGGER  # the line itself says that a part is there
        reasons = reasons_of(judged, is_expected=is_expected, drifts=self.drifts)
        chosen = self._choose(judged, captured, tuple(map(str, parts)), reasons)
        if not chosen and captured is not None:
            self._measure(judged, captured)

    def _choose(
        self,
        judged: Judged,
        captured: Captured | None,
        units: Sequence[str],
        reasons: Iterable[Why],
    ) -> bool:
        """Whether the frame is taken for any of these parts."""
        with self._choosing:
            taken = self._see(judged, units, reasons)
        if taken and captured is None:
            self.writer.miss()
        if taken and (captured is None or not self.writer.take(judged, captured)):
            self._lose(judged)
        return bool(taken)

    def _see(
        self, judged: Judged, units: Sequence[str], reasons: Iterable[Why]
    ) -> tuple[Inclusion, ...]:
        """The parts that this frame is to be the picture of; the lock is held."""
        told = [each for each in (self._choice.see(unit, reasons) for unit in units) if each]
        taken = tuple(each.inclusion for each in told if each.is_taken)
        if taken:
            self._chosen[id(judged)] = taken
        for each in told:
            if not each.is_taken:
                self.store.chosen_anew(each.inclusion)
        return taken

    def _settle(self, frame: int) -> None:
        """Choose what the lane has taken; the lock is held."""
        taken = self._taken.pop(frame, None)
        if taken is not None:
            judged, drifted = taken
            self._see(judged, (str(frame),), reasons_of(judged, drifts=drifted))

    def _lose(self, judged: Judged) -> None:
        """There was no room for it: a later look may still be the picture."""
        with self._choosing:
            if (taken := self._taken.get(judged.frame)) and taken[0] is judged:
                del self._taken[judged.frame]
            for each in self._chosen.pop(id(judged), ()):
                self._choice.was_lost(each.unit)

    def _measure(self, judged: Judged, captured: Captured) -> None:
        """Hold one frame at a time: its contrast says whether a part should have been found."""
        is_busy = self._bare is None or self._measuring is not None
        if is_busy or judged.verdict is Verdict.UNINSPECTED or self._places.tight:
            return
        self._measuring = judged
        if not self.writer.take(judged, captured, is_wanted=False):
            self._measuring = None

    # ------------------------------------------------------------------ the threads that write

    @property
    def removed(self) -> int:
        """Pictures that went to make room, since the start."""
        return self.store.removed

    def tend(self) -> None:
        """Whatever is to be done now and then. Raises OSError."""
        self._ahead.go_on()
        self.store.tend()

    def close(self) -> None:
        """Write down what was told last. Raises OSError."""
        self.store.close()

    def _prepare(self, judged: Judged, pixels: Pixels) -> Callable[[], object] | None:
        with self._choosing:
            self._settle(judged.frame)
            chosen = self._chosen.pop(id(judged), ())
        if judged is self._measuring:
            try:
                chosen = self._measured(judged, pixels)
            finally:
                self._measuring = None
        if not chosen:
            return None
        hidden, suffix = self._wish.hidden, self._wish.suffix
        kept, made = prepared(pixels, hidden, _people(judged, hidden.classes), suffix)
        record = record_of(self._boot, judged, chosen, made)
        return partial(self.store.keep, record, encoded(kept, suffix), _look(record))

    def _measured(self, judged: Judged, pixels: Pixels) -> tuple[Inclusion, ...]:
        """The frame is chosen after all where it shows more than its models found."""
        assert self._bare is not None
        measured = contrast(pixels)
        with self._choosing:
            likely = self._bare.is_part_likely(measured)
            self._bare.note(measured, has_part=judged.part_in_view)
            reasons = reasons_of(judged, is_expected=likely, drifts=self.drifts)
            if Why.NOTHING_FOUND not in reasons:
                return ()
            self._see(judged, self._units_of(judged), reasons)
            return self._chosen.pop(id(judged), ())


def _people(judged: Judged, classes: frozenset[str]) -> list[Box]:
    if not classes:
        return []
    opinions = [each for each in both(judged) if each is not None]
    return [
        found.box
        for said in opinions
        for found in (*said.detections, *said.faint)
        if found.label in classes
    ]


def _look(record: Record) -> PictureDescriptor:
    found = [
        (each.label, each.box)
        for said in record.opinions
        for each in said.found
        if each.counts or record.leading is Why.NEAR_THRESHOLD
    ]
    kind = (record.leading.value, record.product or "", record.verdict, *record.causes)
    models = tuple(said.sha256 for said in record.opinions)
    return PictureDescriptor(record.hash, (*kind, *models), tuple(found))
