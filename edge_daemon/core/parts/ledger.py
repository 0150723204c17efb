"""The part ledger: which frame belongs to which part, and the one result of each, in order.

Pure: what happened goes in, what is told comes out, and time is an argument. Parts are numbered
from 0 without gap, and told in that order: parts = ok + ng + empty + uninspected, always.

A part is told when its window is over and each of its frames has an outcome, or at its deadline,
whatever comes first. A result that is told after its deadline is late, whatever was found. Windows
never overlap: a trigger ends the window that it falls into, also when it is told so late that
frames of that window were counted to the part before; they move, as long as that one is not told.

Whatever comes, memory is bounded: see the constants.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import replace

from edge_daemon.core.judged import Judged
from edge_daemon.core.parts.arms import Sides, in_box, judge_part, view_of
from edge_daemon.core.parts.fold import Folded, FrameOfPart, fold, unjudged
from edge_daemon.core.parts.open_part import OpenFrame, OpenPart
from edge_daemon.core.parts.values import (
    By,
    FrameCaptured,
    FrameFollowed,
    FrameJudged,
    Opened,
    PartEvent,
    PartOutcome,
    PartReason,
    PartRules,
    Seen,
    SplitSet,
    Stopped,
    Told,
    Triggered,
)
from edge_daemon.core.rollout.draw import assign_by
from edge_daemon.core.rollout.opinions import both
from edge_daemon.core.rollout.values import Assigned, Split
from edge_daemon.core.values import Assignment, Box, Instant, Verdict

MOST_OPEN = 1024  # parts that are not told yet; of more, the oldest is told as `dropped_overflow`
MOST_IDS = 65536  # trigger ids by which a repeated one is known; of more, the oldest is forgotten
MOST_FREE = 1024  # frames that belong to no part, kept for a trigger that is told late
MOST_TIMES = 256  # times of triggers: one that is told out of turn gets no frame of a later one


class PartLedger:
    """One boot's parts. A call takes bounded time whatever came before, and never raises.

    `boot`: by it the arms of parts are drawn.
    """

    def __init__(self, rules: PartRules, boot: str = "") -> None:
        self._boot = boot
        self._split: Split | None = None
        # A part that is one frame cannot have more of them.
        self._rules = replace(rules, min_frames=1) if rules.by is By.FRAME else rules
        self._next = 0
        self._open: deque[OpenPart] = deque()
        self._owners: dict[int, OpenPart] = {}  # frames of open parts
        self._free: OrderedDict[int, OpenFrame] = OrderedDict()
        self._newest = -1  # the newest frame that was told
        self._known_until = -math.inf  # every frame captured before was told
        self._ids: OrderedDict[str, int] = OrderedDict()
        self._times: deque[float] = deque(maxlen=MOST_TIMES)
        self._tracks: dict[int, OpenPart | None] = {}  # in the zone; None: told already
        self._shown: tuple[int, tuple[int, ...]] = -1, ()  # the last frame that was followed
        self._stopped = False

    @property
    def opened(self) -> int:
        """Parts so far; each is told once."""
        return self._next

    @property
    def newest(self) -> int:
        """The newest frame that was told; -1 before the first."""
        return self._newest

    def parts_of(self, frame: int) -> tuple[int, ...]:
        """The parts that a frame belongs to, as long as they are not told."""
        if frame == self._shown[0]:
            return self._shown[1]
        part = self._owners.get(frame)
        return () if part is None else (part.number,)

    def assigned_of(self, frame: int) -> Assigned | None:
        """The arm of the open part that a frame belongs to; any thread may ask at any moment."""
        part = self._owners.get(frame)
        return None if part is None else part.assigned

    def is_split(self, frame: int, inside: Iterable[int] = ()) -> bool:
        """Whether a part has been seen before this frame and is to be seen in it, or after it.

        The frames before it have their outcomes, and its capture was told. `inside`: the objects
        that stood in the zone in the frame before.
        """
        if self._rules.by is By.TRACK:  # one that is no part yet has been seen all the same
            return any(self._tracks.get(track, track) is not None for track in inside)
        part = self._owners.get(frame)
        return part is not None and part.frames[0].number < frame

    def take(self, event: PartEvent) -> list[Told]:
        """One event; the results that it completes, and the answer to a trigger."""
        if self._stopped:
            return []
        told: list[Told] = []
        self._tell_late(event.now, told)
        if isinstance(event, FrameCaptured):
            frame = OpenFrame(event.number, event.captured, event.assignment)
            self._captured(frame, event.now, told)
        elif isinstance(event, FrameJudged):
            self._judged(event, told)
        elif isinstance(event, FrameFollowed):
            self._followed(event, told)
        elif isinstance(event, Triggered):
            self._triggered(event, told)
        elif isinstance(event, Stopped):
            self._stop(event.now, told)
        elif isinstance(event, SplitSet):
            self._split = event.split
        else:
            self._known_until = max(self._known_until, event.captured_until)
        self._tell_complete(event.now, told)
        return told

    # ------------------------------------------------------------------ frames

    def _captured(self, frame: OpenFrame, now: float, told: list[Told]) -> None:
        if frame.number <= self._newest:
            return
        self._newest = frame.number
        self._known_until = max(self._known_until, frame.captured.at)
        if self._rules.by is By.FRAME:
            part = self._begin(frame.captured.at, frame.assignment, now, told)
            self._give(part, frame)
        elif self._rules.by is By.TRIGGER:
            newest_first = reversed(self._open)
            at = frame.captured.at
            owner = next((each for each in newest_first if self._takes(each, at)), None)
            if owner is not None:
                self._give(owner, frame)
            else:
                self._set_free(frame)

    def _judged(self, event: FrameJudged, told: list[Told]) -> None:
        judged = event.judged
        if judged.frame > self._newest:  # its capture was not told
            self._captured(_frame_of(judged), event.now, told)
        part = self._owners.get(judged.frame)
        if part is not None:
            frame = next(each for each in part.frames if each.number == judged.frame)
            part.pending -= frame.view is None
            frame.assignment = judged.assignment  # stamped until it was judged
            self._see(frame, event)
            if self._rules.by is By.FRAME:
                part.assigned, part.shadow = judged.assigned, judged.shadow
        elif judged.frame in self._free:
            self._see(self._free[judged.frame], event)

    def _see(self, frame: OpenFrame, event: FrameJudged) -> None:
        """What a frame says; of a part of several, by the incumbent, whoever's verdict counted."""
        judged = event.judged
        frame.view = FrameOfPart.of(judged, judged.verdict, judged.causes, trial=event.trial)
        if self._split is None and judged.shadow is None:
            return
        frame.incumbent, frame.candidate = both(judged)
        if self._rules.by is not By.FRAME and frame.incumbent is not None:
            frame.view = view_of(frame.incumbent, judged.assignment.product, trial=event.trial)

    def _assign(self, part: OpenPart) -> None:
        """Draw the arm of a part that opens; of another model's product none is drawn."""
        split, made = self._split, part.assignment
        if split is None or made.requires not in (None, split.candidate.ref.name):
            return
        unit = part.number if part.id is None else part.id
        part.assigned, part.split = assign_by(split, self._boot, made, unit), split

    def _give(self, part: OpenPart, frame: OpenFrame) -> None:
        part.add(frame)
        self._owners[frame.number] = part

    def _set_free(self, frame: OpenFrame) -> None:
        self._free[frame.number] = frame
        if len(self._free) > MOST_FREE:
            self._free.popitem(last=False)

    # ------------------------------------------------------------------ triggers

    def _triggered(self, event: Triggered, told: list[Told]) -> None:
        if self._rules.by is not By.TRIGGER:
            return
        if event.id is not None and event.id in self._ids:
            told.append(Opened(self._ids[event.id], event.id, again=True))
            return
        at = min(event.triggered.at, event.now)  # no part waits for a time that a clock made up
        part = self._begin(at, event.assignment, event.now, told)
        part.id, part.serial, part.triggered = event.id, event.serial, event.triggered
        self._assign(part)
        if event.id is not None:
            self._ids[event.id] = part.number
            if len(self._ids) > MOST_IDS:
                self._ids.popitem(last=False)
        if not event.has_waited:
            self._open_window(part, at)
        told.append(Opened(part.number, part.id))

    def _open_window(self, part: OpenPart, at: float) -> None:
        """The frames that were captured in it, and those to come, are the part's."""
        first, last = self._rules.window_s
        part.start_at = at + first
        part.end_at = min([at + last, *(each for each in self._times if each > at)])
        self._times.append(at)
        self._cut(part, at)
        for number in sorted(self._free):
            if self._takes(part, self._free[number].captured.at):
                self._give(part, self._free.pop(number))

    def _cut(self, new: OpenPart, at: float) -> None:
        """End the windows that the new trigger falls into; their later frames are free."""
        for part in self._open:
            if part is new or not part.opened_at <= at < part.end_at:
                continue
            part.end_at = at
            while part.frames and part.frames[-1].captured.at >= at:
                frame = part.frames.pop()
                part.pending -= frame.view is None
                del self._owners[frame.number]
                self._set_free(frame)

    def _takes(self, part: OpenPart, captured_at: float) -> bool:
        is_full = len(part.frames) >= self._rules.max_frames
        return not is_full and part.start_at <= captured_at < part.end_at

    # ------------------------------------------------------------------ tracks

    def _followed(self, event: FrameFollowed, told: list[Told]) -> None:
        judged = event.judged
        self._newest = max(self._newest, judged.frame)
        if judged.verdict is Verdict.UNINSPECTED:
            for part in filter(None, self._tracks.values()):
                part.missed = part.missed or judged.reason
        for seen in event.seen:
            self._saw(event, seen, told)
        shown = (self._tracks.get(seen.track) for seen in event.seen)
        self._shown = judged.frame, tuple(part.number for part in shown if part is not None)
        for track in event.left:
            self._leave(track)

    def _leave(self, track: int) -> None:
        part = self._tracks.pop(track, None)
        if part is not None:
            part.track = None

    def _saw(self, event: FrameFollowed, seen: Seen, told: list[Told]) -> None:
        judged = event.judged
        if seen.track not in self._tracks:
            part = self._begin(judged.captured_at, judged.assignment, event.now, told)
            part.track = seen.track
            self._assign(part)
            self._tracks[seen.track] = part
            if len(self._tracks) > MOST_OPEN:
                self._leave(next(iter(self._tracks)))
        found = self._tracks[seen.track]
        if found is not None and len(found.frames) < self._rules.max_frames:
            frame = _frame_of(judged)
            frame.view = FrameOfPart.of(judged, seen.verdict, seen.causes, trial=event.trial)
            if found.assigned is not None and seen.box is not None:
                self._see_in_box(frame, judged, seen.box)
            found.add(frame)

    def _see_in_box(self, frame: OpenFrame, judged: Judged, box: Box) -> None:
        """The tracks are the incumbent's; the candidate is judged on what it found there."""
        frame.box = box
        whole = both(judged)
        frame.incumbent, frame.candidate = (
            None if each is None else in_box(each, box, judged.size) for each in whole
        )

    # ------------------------------------------------------------------ telling

    def _begin(
        self, opened_at: float, assignment: Assignment, now: float, told: list[Told]
    ) -> OpenPart:
        if len(self._open) >= MOST_OPEN:
            told.append(self._tell(unjudged(PartReason.DROPPED_OVERFLOW), now))
        part = OpenPart(self._next, opened_at, assignment)
        self._next += 1
        self._open.append(part)
        return part

    def _tell_late(self, now: float, told: list[Told]) -> None:
        while self._open and self._is_late(self._open[0], now):
            told.append(self._tell(Folded(self._rules.late, PartReason.LATE), now, late=True))

    def _tell_complete(self, now: float, told: list[Told]) -> None:
        while self._open:
            first = self._open[0]
            if self._is_late(first, now):  # it waited for one before it
                self._tell_late(now, told)
            elif self._is_complete(first):
                told.append(self._tell(self._folded(first), now))
            else:
                return

    def _stop(self, now: float, told: list[Told]) -> None:
        self._tell_complete(now, told)
        while self._open:  # the first is not complete: others wait behind it, and so on
            told.append(self._tell(unjudged(PartReason.STOPPED), now))
            self._tell_complete(now, told)
        self._stopped = True

    def _is_late(self, part: OpenPart, now: float) -> bool:
        deadline_s = self._rules.deadline_s
        return deadline_s is not None and now > part.opened_at + deadline_s

    def _is_complete(self, part: OpenPart) -> bool:
        is_full = len(part.frames) >= self._rules.max_frames
        is_track = self._rules.by is By.TRACK
        is_over = part.track is None if is_track else self._known_until >= part.end_at
        return not part.pending and (is_full or is_over)

    def _folded(self, part: OpenPart) -> Folded:
        """The verdict of a part; while a candidate is tried, that of its arm."""
        sides = [
            Sides(frame.view, frame.incumbent, frame.candidate)
            for frame in part.frames
            if frame.view is not None
        ]
        if part.missed is not None:
            sides.append(Sides(FrameOfPart(Verdict.UNINSPECTED, reason=part.missed)))
        split = part.split
        if part.assigned is None or split is None:
            return fold([each.view for each in sides], self._rules)
        found = judge_part(sides, self._rules, part.assigned, either=split.either)
        part.assigned, part.shadow = found.assigned, found.shadow
        if not found.is_of(split):  # a cutover came before its frames: no arm of these judged it
            part.assigned = part.shadow = None
        return found.folded

    def _tell(self, found: Folded, now: float, *, late: bool = False) -> PartOutcome:
        part = self._open.popleft()
        for frame in part.frames:
            self._owners.pop(frame.number, None)
        if part.track is not None and part.track in self._tracks:
            self._tracks[part.track] = None  # followed on, and told: it opens no second part
        first = part.frames[0] if part.frames else None
        return PartOutcome(
            part=part.number,
            id=part.id,
            by=self._rules.by,
            verdict=found.verdict,
            reason=found.reason,
            causes=found.causes,
            frames=tuple(frame.number for frame in part.frames),
            triggered=part.triggered,
            captured=first.captured if first else None,
            model=found.model,
            sha256=found.sha256,
            recipe=found.recipe,
            assignment=first.assignment if first else part.assignment,
            serial=part.serial,
            age_ms=max(0.0, now - part.opened_at) * 1e3,
            late=late,
            trial=found.trial,
            assigned=part.assigned,
            shadow=part.shadow,
            looks=part.looks,
        )


def _frame_of(judged: Judged) -> OpenFrame:
    captured = Instant(judged.captured_at, judged.captured_utc)
    return OpenFrame(judged.frame, captured, judged.assignment)
