"""The part ledger told a second time: slow, from the whole story, and written apart from it.

After each event it asks of the first part that is not told, from all that happened so far: what
are its frames, are they judged, is it late? Nothing is kept but what was told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edge_daemon.core.judged import Judged
from edge_daemon.core.parts.values import (
    By,
    Fold,
    FrameCaptured,
    FrameFollowed,
    FrameJudged,
    PartEvent,
    PartOutcome,
    PartRules,
    Stopped,
    Ticked,
    Triggered,
)
from edge_daemon.core.values import Verdict


@dataclass(frozen=True)
class Line:
    """What a result must say, as far as the reference knows it."""

    part: int
    id: str | None
    verdict: str
    reason: str | None
    causes: frozenset[str]
    frames: tuple[int, ...]
    sha256: str | None
    late: bool

    @classmethod
    def of(cls, told: PartOutcome) -> Line:
        reason = None if told.reason is None else told.reason.value
        causes = frozenset(told.causes)
        found = (told.verdict.value, reason, causes, told.frames, told.sha256, told.late)
        return cls(told.part, told.id, *found)


@dataclass(frozen=True)
class Part:
    id: str | None
    opened_at: float
    key: int = -1  # its frame, or its track


@dataclass(frozen=True)
class RawResult:
    verdict: Verdict
    causes: tuple[str, ...]
    judged: Judged


def expected(events: Sequence[PartEvent], rules: PartRules) -> list[list[Line]]:
    """What each event brings about."""
    told: list[Line] = []
    steps: list[list[Line]] = []
    for index, event in enumerate(events):
        before = len(told)
        if any(isinstance(each, Stopped) for each in events[:index]):
            steps.append([])
            continue
        past = World(events[:index], rules, told)
        while (line := past.late(event.now)) is not None:
            told.append(line)
        world = World(events[: index + 1], rules, told)
        while (line := world.late(event.now) or world.complete()) is not None:
            told.append(line)
        if isinstance(event, Stopped):
            while len(told) < len(world.parts):
                told.append(world.late(event.now) or world.complete() or world.stopped())
        steps.append(told[before:])
    return steps


class World:
    """All that was known at one moment."""

    def __init__(self, events: Sequence[PartEvent], rules: PartRules, told: list[Line]) -> None:
        self._events, self._rules, self._told = events, rules, told
        self.captures = dict(self._captures())
        self.parts = list(self._parts())

    def _captures(self) -> Iterator[tuple[int, float]]:
        seen = -1
        for event in self._events:
            if isinstance(event, FrameCaptured) and event.number > seen:
                seen = event.number
                yield seen, event.captured.at
            elif isinstance(event, FrameJudged) and event.judged.frame > seen:
                seen = event.judged.frame
                yield seen, event.judged.captured_at

    def _parts(self) -> Iterator[Part]:
        if self._rules.by is By.FRAME:
            yield from (Part(None, at, number) for number, at in self.captures.items())
        known: set[object] = set()
        for event in self._events:
            if not isinstance(event, Triggered) or self._rules.by is not By.TRIGGER:
                continue
            if event.id is None or event.id not in known:
                known.add(event.id)
                yield Part(event.id, min(event.triggered.at, event.now))
        for event in (each for each in self._events if isinstance(each, FrameFollowed)):
            for seen in event.seen:
                if seen.track not in known:
                    known.add(seen.track)
                    yield Part(None, event.judged.captured_at, seen.track)

    # ------------------------------------------------------------------ the part that is due

    def late(self, now: float) -> Line | None:
        if len(self._told) >= len(self.parts) or self._rules.deadline_s is None:
            return None
        part = self.parts[len(self._told)]
        if now <= part.opened_at + self._rules.deadline_s:
            return None
        return self._line(self._rules.late.value, "late", late=True)

    def complete(self) -> Line | None:
        if len(self._told) >= len(self.parts):
            return None
        number = len(self._told)
        sights, frames = self._sights(number), self._frames(number)
        is_full = len(frames) >= self._rules.max_frames
        if None in sights or not (is_full or self._is_over(number)):
            return None
        return self._judged([each for each in sights if each is not None])

    def stopped(self) -> Line:
        return self._line("uninspected", "stopped")

    def _line(
        self,
        verdict: str,
        reason: str | None,
        *,
        causes: frozenset[str] = frozenset(),
        sha256: str | None = None,
        late: bool = False,
    ) -> Line:
        number = len(self._told)
        frames = tuple(self._frames(number))
        return Line(number, self.parts[number].id, verdict, reason, causes, frames, sha256, late)

    def _judged(self, sights: list[RawResult]) -> Line:
        seen = [each for each in sights if each.verdict is not Verdict.UNINSPECTED]
        least = 1 if self._rules.by is By.FRAME else max(1, self._rules.min_frames)
        if len(seen) < least:
            reasons = [each.judged.reason for each in sights if each.judged.reason]
            return self._line("uninspected", reasons[0].value if reasons else "no_frame")
        if len({(each.judged.sha256, each.judged.recipe) for each in seen}) > 1:
            return self._line("uninspected", "changeover")
        counts = Counter(each.verdict for each in seen)
        ng, ok = counts[Verdict.NG], counts[Verdict.OK]
        by = self._rules.verdict
        enough = {Fold.ANY_NG: ng >= 1, Fold.MAJORITY: ng >= max(1, ok)}
        verdict = "ng" if (enough[by] if isinstance(by, Fold) else ng >= by) else "ok"
        verdict = "empty" if not ng + ok else verdict
        causes = frozenset(c for each in seen for c in each.causes if verdict == "ng")
        return self._line(verdict, None, causes=causes, sha256=seen[0].judged.sha256)

    # ------------------------------------------------------------------ its frames

    def _frames(self, number: int) -> list[int]:
        part = self.parts[number]
        if self._rules.by is By.FRAME:
            return [part.key]
        if self._rules.by is By.TRACK:
            shown = [
                event.judged.frame
                for event in self._events
                if isinstance(event, FrameFollowed)
                and any(seen.track == part.key for seen in event.seen)
            ]
            return shown[: self._rules.max_frames]
        spent = {frame for line in self._told for frame in line.frames}
        start, end = self._window(number)
        mine = [n for n, at in sorted(self.captures.items()) if start <= at < end]
        return [n for n in mine if n not in spent][: self._rules.max_frames]

    def _window(self, number: int) -> tuple[float, float]:
        at = self.parts[number].opened_at
        ends = [at + self._rules.window_s[1]]
        for other, part in enumerate(self.parts):
            if part.opened_at > at or (part.opened_at == at and other > number):
                ends.append(part.opened_at)
        return at + self._rules.window_s[0], min(ends)

    def _is_over(self, number: int) -> bool:
        if self._rules.by is By.FRAME:
            return True
        if self._rules.by is By.TRACK:
            key = self.parts[number].key
            return any(
                isinstance(event, FrameFollowed) and key in event.left for event in self._events
            )
        ticks = [each.captured_until for each in self._events if isinstance(each, Ticked)]
        known = max([*self.captures.values(), *ticks], default=float("-inf"))
        return known >= self._window(number)[1]

    def _sights(self, number: int) -> list[RawResult | None]:
        if self._rules.by is By.TRACK:
            return list(self._followed(number))
        found: list[RawResult | None] = []
        for frame in self._frames(number):
            told = [
                event.judged
                for event in self._events
                if isinstance(event, FrameJudged) and event.judged.frame == frame
            ]
            found.append(RawResult(told[-1].verdict, told[-1].causes, told[-1]) if told else None)
        return found

    def _followed(self, number: int) -> Iterator[RawResult]:
        key, is_open, missed, count = self.parts[number].key, False, None, 0
        for event in self._events:
            if not isinstance(event, FrameFollowed):
                continue
            if is_open and event.judged.verdict is Verdict.UNINSPECTED:
                missed = missed or RawResult(Verdict.UNINSPECTED, (), event.judged)
            for seen in event.seen:
                if seen.track == key and count < self._rules.max_frames:
                    is_open, count = True, count + 1
                    yield RawResult(seen.verdict, seen.causes, event.judged)
            is_open = is_open and key not in event.left
        if missed is not None:
            yield missed
