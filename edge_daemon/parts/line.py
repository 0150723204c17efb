"""The parts' own thread: captures and verdicts come in, results of parts go out in batches.

The lane and the camera only put an event into a bounded queue. What does not fit is counted, and
the frame counts as `dropped_overflow` for its part: no part is ever left without a result.
"""

from __future__ import annotations

import queue
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol, Union

import structlog

from edge_daemon.core.judged import Judged
from edge_daemon.core.parts.ledger import PartLedger
from edge_daemon.core.parts.objects import is_zoned, shown, zone_of
from edge_daemon.core.parts.values import (
    By,
    FrameCaptured,
    FrameFollowed,
    FrameJudged,
    Opened,
    PartEvent,
    PartOutcome,
    PartRules,
    Seen,
    SplitSet,
    Stopped,
    Ticked,
    Told,
    Triggered,
)
from edge_daemon.core.rollout.values import Assigned, Split
from edge_daemon.core.values import (
    Assignment,
    Instant,
    Reason,
    Recipe,
    Verdict,
)
from edge_daemon.core.zones import Zone
from edge_daemon.errors import Code, SenderError
from edge_daemon.host.error_boundary import ErrorBoundary
from edge_daemon.parts.tracker import Tracker

_log = structlog.get_logger(__name__)

MOST_WAITING = 8192  # events from camera and lane; what does not fit is counted
MOST_KEPT = 4096  # results that wait for the disk
MOST_FRAMES = 1024  # frames of which it is remembered what parts they show
TICK_S = 0.02  # between two looks at the clock: a late part is told within this
BATCH_S = 0.05  # between two batches: each costs a write that is waited for
LOOK_S = 1.0  # between two looks at what is being made
GRACE_S = 0.25  # a frame is told of within this after its capture

_Word = Union[FrameCaptured, Judged, SplitSet, "tuple[Triggered, Callable[[Opened], None]]"]
"""What camera, lane and broker say."""


class PartOutlets(Protocol):
    """Where results go, and what is asked of the rest of the house; called on the parts' thread."""

    def tell(self, parts: Sequence[PartOutcome]) -> None:
        """Make results durable; raise where it could not be done, and be given them again."""

    def look(self) -> None:
        """About once a second: see what is being made, and tell how it stands."""

    def is_trial(self) -> bool:
        """Whether what judges now is on trial."""


class PartLine:
    """Fed by camera and lane; every method may be called from any thread, and none waits."""

    def __init__(
        self,
        rules: PartRules,
        now: Callable[[], Instant],
        *,
        zone: Zone | None = None,
        zone_name: str | None = None,
        boot: str = "",
    ) -> None:
        self.rules = rules
        self._ledger = PartLedger(rules, boot)
        self._outlets: PartOutlets | None = None
        self._now = now
        self._zone, self._zone_name = zone, zone_name
        self._tracker = Tracker(zone) if rules.by is By.TRACK else None
        self._queue: queue.Queue[_Word] = queue.Queue(MOST_WAITING)
        self._thread = threading.Thread(target=self._run, name="parts", daemon=True)
        self._kept: list[PartOutcome] = []
        self._written_at = self._looked_at = 0.0
        self._heard = threading.Condition()
        self._parts_of: OrderedDict[int, tuple[int, ...]] = OrderedDict()
        self._is_behind = False
        self._is_stopping = False
        self._judged_next = 0  # the frame whose outcome is due
        # Such a frame whose capture was told, and whether a cutover before it would split a part.
        self._settled = -1, True
        self._writes = ErrorBoundary(_log, "parts_not_kept", is_rare=True)
        self._looks = ErrorBoundary(_log, "parts_not_looked_at")
        self._turns = ErrorBoundary(_log, "part_turn_failed", is_rare=True)
        self._missed_told = 0
        self._recipe: Recipe | None = None  # the one that judged last
        self._blind = ""  # why no object can be a part by it
        self.on_told: Callable[[Sequence[PartOutcome]], None] = lambda _: None
        """Told of parts on which a candidate is tried, on this thread; set before the start."""
        self.on_seen: Callable[[int, Sequence[int]], None] = lambda *_: None
        """Told of each judged frame and the parts that it shows, likewise."""
        self.missed = 0
        """Words that the queue had no room for."""
        self.lost = 0
        """Results that were never made durable."""

    def start(self, outlets: PartOutlets) -> None:
        """Count parts from here on; captures and verdicts before it wait in the queue."""
        self._outlets = outlets
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Tell what is left, then end; a second call does nothing."""
        self._is_stopping = True
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    @property
    def opened(self) -> int:
        """Parts so far; the newest may not be judged yet."""
        return self._ledger.opened

    @property
    def waiting(self) -> int:
        """Words that were not heard yet."""
        return self._queue.qsize()

    def problems(self) -> tuple[str, ...]:
        """What somebody should know of, a sentence each."""
        found = [self._blind] if self._blind else []
        if self.missed:
            found.append(f"{self.missed} captures, verdicts or triggers came too fast for parts")
        if self.lost:
            found.append(f"{self.lost} results of parts were given up: they could not be written")
        return tuple(found)

    # ------------------------------------------------------------------ camera and lane

    def captured(self, number: int, captured: Instant, assignment: Assignment) -> None:
        """The camera's thread: one frame more."""
        self._put(FrameCaptured(number, captured, assignment, captured.at))

    def judged(self, judged: Judged) -> None:
        """The lane's thread: a frame has its outcome."""
        self._put(judged)

    def split(self, split: Split | None) -> None:
        """A candidate is tried on the parts that open from now on; None: none is."""
        self._put(SplitSet(split, self._now().at))

    def assigned_of(self, frame: int) -> Assigned | None:
        """The arm of the part that a frame belongs to; None where it is not known yet.

        Asked by the lane: it neither locks nor waits.
        """
        return self._ledger.assigned_of(frame)

    def trigger(self, triggered: Triggered, answer: Callable[[Opened], None]) -> None:
        """The line says that a part is there; raises SenderError where it is not heard.

        `answer` is called on the parts' thread with the number of the part.
        """
        if self._is_stopping:
            raise SenderError(
                "The station is stopping, and opens no part any more.",
                hint="Send the trigger again once it is online, with the time of the part as `at`.",
                code=Code.PRECONDITION_FAILED,
            )
        if not self._put((triggered, answer)):
            raise SenderError(
                "More triggers came than can be heard.",
                hint="Send one for each part, at the pace of the line.",
                code=Code.PRECONDITION_FAILED,
            )

    def parts_of(self, frame: int, timeout_s: float = 0.05) -> tuple[int, ...] | None:
        """The parts that a frame which has its outcome belongs to; None where it is not known.

        Waits for this thread where it is a little behind, and not once it fell far behind.
        """
        with self._heard:
            if self._judged_next <= frame and not self._is_behind:
                self._heard.wait_for(lambda: self._judged_next > frame, timeout_s)
            self._is_behind = self._judged_next <= frame
            return self._parts_of.get(frame)

    def is_split(self, frame: int, timeout_s: float = 0.005) -> bool:
        """Whether a cutover before this frame would show one part to two models.

        The lane asks before it has judged the frame, and waits for this thread where that is a
        little behind. True where it is not known.
        """
        with self._heard:
            self._heard.wait_for(lambda: self._settled[0] >= frame, timeout_s)
            return self._settled != (frame, False)

    def _put(self, word: _Word) -> bool:
        try:
            self._queue.put_nowait(word)
        except queue.Full:
            self.missed += 1
            return False
        return True

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        goes_on = True
        while goes_on:
            with self._turns.turn():  # a callback that fails ends no part
                goes_on = self._turn()
        while self._queue.qsize():  # a trigger that came beside the stop is answered, and told
            self._hear(self._queue.get_nowait())
        self._take(Stopped(self._now().at))
        self._write()
        self._look()
        self.lost += len(self._kept)

    def _turn(self) -> bool:
        """What waits, or a look at the clock; False at the end."""
        try:
            self._hear(self._queue.get(timeout=TICK_S))
        except queue.Empty:
            if self._is_stopping:
                return False
            now = self._now().at
            self._take(Ticked(now, now - GRACE_S))
        self._settle()
        if self.missed > self._missed_told:
            self._missed_told = self.missed
            _log.warning("part_words_missed", missed=self.missed)
        if self._kept and self._now().at - self._written_at >= BATCH_S:
            self._write()
        if self._now().at - self._looked_at >= LOOK_S:
            self._look()
        return True

    def _hear(self, word: _Word) -> None:
        if isinstance(word, tuple):
            self._open(*word)
            return
        if isinstance(word, (FrameCaptured, SplitSet)):
            self._take(replace(word, now=self._now().at))
            return
        for number in range(self._judged_next, word.frame):
            self._outcome(_missed(number, word))
        parts = self._ledger.parts_of(word.frame)  # told already, it belongs to none
        self._outcome(word)
        parts = self._ledger.parts_of(word.frame) or parts
        with self._heard:
            self._parts_of[word.frame] = parts
            if len(self._parts_of) > MOST_FRAMES:
                self._parts_of.popitem(last=False)
            self._judged_next = word.frame + 1
            self._heard.notify_all()
        self.on_seen(word.frame, parts)

    def _settle(self) -> None:
        frame = self._judged_next
        if self._ledger.newest >= frame:
            inside = self._tracker.inside if self._tracker is not None else ()
            with self._heard:
                self._settled = frame, self._ledger.is_split(frame, inside)
                self._heard.notify_all()

    def _open(self, triggered: Triggered, answer: Callable[[Opened], None]) -> None:
        for opened in self._take(replace(triggered, now=self._now().at)):
            if isinstance(opened, Opened):
                answer(opened)

    def _outcome(self, judged: Judged) -> None:
        assert self._outlets is not None
        now, is_trial = self._now().at, self._outlets.is_trial()
        if self._tracker is None:
            self._take(FrameJudged(judged, now, is_trial))
            return
        seen: tuple[Seen, ...] = ()
        left: tuple[int, ...] = ()
        recipe, size = judged.recipe, judged.size
        if recipe is not None and size is not None:
            if recipe is not self._recipe:
                self._turn_to(recipe, self._tracker)
            objects = shown(judged.detections, recipe, size)
            seen, left = self._tracker.follow(
                objects, size, judged.captured_at, is_stamped=judged.is_stamped
            )
        self._take(FrameFollowed(judged, seen, left, now, is_trial))

    def _turn_to(self, recipe: Recipe, tracker: Tracker) -> None:
        """Another recipe judges: its part is followed, in its zone of that name.

        Where no zone is set, parts are judged where the recipe's rules look.
        """
        self._recipe = recipe
        named = next((zone for zone in recipe.zones if zone.name == self._zone_name), None)
        zone = self._zone or named
        if zone is None and self._zone_name is None:
            zone = zone_of(recipe)
        tracker.look_in(zone)
        self._blind = ""
        if recipe.part is None:
            self._blind = "no part is counted: the recipe does not say what a part is (recipe.part)"
        elif self._zone_name is not None and named is None:
            self._blind = f"parts are counted in the whole picture: no zone {self._zone_name!r}"
        elif zone is None and is_zoned(recipe):
            self._blind = "a rule looks at a zone, and parts are judged everywhere: set parts.zone"

    def _take(self, event: PartEvent) -> list[Told]:
        told = self._ledger.take(event)
        parts = [each for each in told if isinstance(each, PartOutcome)]
        self._kept += parts
        if any(each.assigned is not None for each in parts):
            self.on_told(parts)
        if len(self._kept) > MOST_KEPT:
            self.lost += len(self._kept) - MOST_KEPT
            del self._kept[:-MOST_KEPT]
        return told

    def _look(self) -> None:
        self._looked_at = self._now().at
        assert self._outlets is not None
        with self._looks.turn():
            self._outlets.look()

    def _write(self) -> None:
        self._written_at = self._now().at
        if not self._kept:
            return
        assert self._outlets is not None
        # Those that cannot be written are kept, and written with the next batch.
        with self._writes.turn(waiting=len(self._kept)):
            self._outlets.tell(self._kept)
            self._kept = []


def _missed(number: int, after: Judged) -> Judged:
    """The outcome of a frame that the queue had no room for."""
    return Judged(
        number,
        after.captured_utc,
        after.captured_at,
        after.assignment,
        Verdict.UNINSPECTED,
        Reason.DROPPED_OVERFLOW,
    )
