"""What was seen of each frame, and the figures that are computed from it: the same for all lines.

Open loop: frame n is due at origin + n / fps whether or not anybody looks, and all latencies count
from there. A frame without a verdict is lost, however that came.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from edge_daemon.cli.drill_run import quantile


@dataclass(frozen=True)
class Seen:
    """One frame with its verdict; seconds of the monotonic clock."""

    number: int
    captured_at: float
    began_at: float  # its inference
    done_at: float
    model: str

    @property
    def service_ms(self) -> float:
        return (self.done_at - self.began_at) * 1e3


@dataclass(frozen=True)
class Change:
    """One swap that was asked for: when, and what came of it."""

    kind: str  # same, large, back, or the name of a fault
    model: str
    asked_at: float
    accepted_ms: float | None = None
    outcome: str = "active"
    pause_ms: float | None = None  # as the line itself says
    beyond_ms: float | None = None  # from request to active, beyond load, warm-up and gate


class Run:
    """One line at one rate, from its first to its last frame."""

    def __init__(
        self, fps: float, seen: Iterable[Seen], origin: float | None = None, ended_at: float = 0.0
    ) -> None:
        self.fps = fps
        self.seen = sorted(seen, key=lambda frame: frame.number)
        if not self.seen:
            raise ValueError("no frame was judged at all")
        fitted = min(frame.captured_at - frame.number / fps for frame in self.seen)
        self.origin = fitted if origin is None else origin
        self.ended_at = ended_at or self.seen[-1].captured_at
        self._by_number = {frame.number: frame for frame in self.seen}

    @property
    def period_ms(self) -> float:
        return 1e3 / self.fps

    def due_at(self, number: int) -> float:
        return self.origin + number / self.fps

    def latency_ms(self, frame: Seen) -> float:
        return (frame.done_at - self.due_at(frame.number)) * 1e3

    def numbers(self, since: float, until: float) -> range:
        """The frames that were due then."""
        first = math.ceil((since - self.origin) * self.fps)
        last = math.floor((min(until, self.ended_at) - self.origin) * self.fps)
        return range(max(first, self.seen[0].number), last + 1)

    def lost(self, since: float, until: float) -> int:
        return sum(number not in self._by_number for number in self.numbers(since, until))

    def between(self, since: float, until: float) -> list[Seen]:
        found = (self._by_number.get(number) for number in self.numbers(since, until))
        return [frame for frame in found if frame is not None]

    def latencies_ms(self, since: float, until: float) -> list[float]:
        return [self.latency_ms(frame) for frame in self.between(since, until)]

    def longest_gap_ms(self, since: float, until: float) -> float:
        """Between two results, beyond the frame interval; the window's end ends a gap too."""
        times = sorted(frame.done_at for frame in self.seen)
        inside = [at for at in times if since <= at <= until]
        before = [at for at in times if at < since]
        after = [at for at in times if at > until]
        stops = before[-1:] + inside + (after[:1] or [until])
        gaps = [b - a for a, b in pairwise(stops)]
        return max(0.0, max(gaps, default=0.0) * 1e3 - self.period_ms)

    def first_of(self, model: str, since: float) -> Seen | None:
        """The first frame that was captured after `since` or waited then, judged by this model."""
        return next((f for f in self.seen if f.model == model and f.done_at >= since), None)

    def steady_ms(self, model: str) -> float:
        """The usual time of one inference of this model; its first ten are left out."""
        times = [frame.service_ms for frame in self.seen if frame.model == model]
        return median(times[10:] or times)


@dataclass(frozen=True)
class Swapped:
    """One change that succeeded, measured."""

    kind: str
    lost: int
    gap_ms: float
    pause_ms: float
    told_pause_ms: float | None
    first_ratio: float
    active_ms: float
    frames_waited: int
    during: tuple[float, ...]
    after: tuple[float, ...]


AFTER_S = 1.0


def measure(run: Run, change: Change) -> Swapped | None:
    """None when the model never judged a frame."""
    first = run.first_of(change.model, change.asked_at)
    if first is None:
        return None
    place = run.seen.index(first)
    last = run.seen[place - 1] if place else first
    pause = max(0.0, (first.done_at - last.done_at) * 1e3 - run.period_ms)
    until = first.done_at + AFTER_S
    asked_number = run.numbers(change.asked_at, math.inf).start
    return Swapped(
        change.kind,
        run.lost(change.asked_at, until),
        run.longest_gap_ms(change.asked_at, until),
        pause,
        change.pause_ms,
        first.service_ms / run.steady_ms(change.model),
        (first.done_at - change.asked_at) * 1e3,
        max(0, first.number - asked_number),
        tuple(run.latencies_ms(change.asked_at, first.captured_at)),
        tuple(run.latencies_ms(first.captured_at, until)),
    )


def spread(values: Sequence[float]) -> dict[str, float | int | None]:
    """n, p50, p99, p99.9 and the worst; two digits."""
    shares = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
    found = {word: quantile(values, share) for word, share in shares.items()}
    rounded = {word: None if v is None else round(v, 2) for word, v in found.items()}
    return {"n": len(values), **rounded}
