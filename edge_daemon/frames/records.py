"""How each version judged each product: the record that the next version is compared with."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Iterable

from edge_daemon.core.judged import Judged
from edge_daemon.core.shares import WINDOW, Count, Record, Shares
from edge_daemon.core.values import BundleRef, Verdict
from edge_daemon.slots.frame_control import TrialRecords

MOST_WINDOWS = 100
"""Of one version and product: 30,000 frames, at 30 frames a second a quarter of an hour."""

MOST_RECORDS = 32
"""Pairs of version and product; beyond it the one that was fed longest ago is forgotten."""

_Key = tuple[BundleRef, "str | None"]


class _Counter:
    """Frames that were so, and how often that changed from one frame to the next."""

    __slots__ = ("changes", "frames", "last")

    def __init__(self) -> None:
        self.frames = self.changes = 0
        self.last = False

    def add(self, holds: bool) -> None:
        self.frames += holds
        self.changes += holds is not self.last
        self.last = holds

    def shown(self) -> Count:
        return Count(self.frames, self.changes)

    def begin_anew(self) -> None:
        """The last frame stays known."""
        self.frames = self.changes = 0


class _Stream:
    """Consecutive frames, cut into windows."""

    def __init__(self) -> None:
        self._windows: deque[Shares] = deque(maxlen=MOST_WINDOWS)
        self._frames = 0
        self._ng = _Counter()
        self._nothing = _Counter()
        self._empty = _Counter()
        self._causes: dict[str, _Counter] = {}

    def add(self, judged: Judged) -> None:
        self._frames += 1
        self._ng.add(judged.verdict is Verdict.NG)
        self._nothing.add(not judged.detections)
        self._empty.add(judged.verdict is Verdict.EMPTY)
        for cause in judged.causes:
            if cause not in self._causes:
                self._causes[cause] = _Counter()
        for cause, counter in self._causes.items():
            counter.add(cause in judged.causes)
        if self._frames == WINDOW:
            self._windows.append(self._so_far())
            self._frames = 0
            for counter in (self._ng, self._nothing, self._empty, *self._causes.values()):
                counter.begin_anew()

    def windows(self) -> tuple[Shares, ...]:
        """All of them, the one that is being filled too."""
        return (*self._windows, *((self._so_far(),) if self._frames else ()))

    def _so_far(self) -> Shares:
        return Shares(
            self._frames,
            self._ng.shown(),
            self._nothing.shown(),
            {name: each.shown() for name, each in self._causes.items()},
            self._empty.shown(),
        )


class _Streams:
    def __init__(self) -> None:
        self.every = _Stream()
        self.with_part = _Stream()

    def record(self) -> Record:
        return Record(self.every.windows(), self.with_part.windows())


class Records:
    """Fed by the lane, one inspected frame at a time; read when a trial is judged."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._streams: OrderedDict[_Key, _Streams] = OrderedDict()
        self._fed: _Key | None = None
        self._feeding = _Streams()

    def add(self, judged: Judged) -> None:
        """One frame that a model judged; some microseconds."""
        if judged.model is None:
            return
        key = (judged.model, judged.assignment.product)
        with self._lock:
            if key != self._fed or key not in self._streams:
                self._turn_to(key)
            self._feeding.every.add(judged)
            if judged.part_in_view:
                self._feeding.with_part.add(judged)

    def _turn_to(self, key: _Key) -> None:
        self._feeding = self._streams.setdefault(key, _Streams())
        self._streams.move_to_end(key)
        self._fed = key
        while len(self._streams) > MOST_RECORDS:
            self._streams.popitem(last=False)

    def begin(self, ref: BundleRef) -> None:
        """Forget what this version made of anything: its trial begins now."""
        with self._lock:
            for key in [key for key in self._streams if key[0] == ref]:
                del self._streams[key]

    def of_trial(self, ref: BundleRef) -> TrialRecords:
        """What this version made since its trial began, of the product that it saw most of.

        With it the record of that version of the same name that judged this product last.
        """
        with self._lock:
            mine = {k: s.record() for k, s in self._streams.items() if k[0] == ref}
            if not mine:
                return TrialRecords(None, Record(), Record())
            product = max(mine, key=lambda key: _frames(mine[key].every))[1]
            others = [
                key
                for key in self._streams
                if key[0].name == ref.name and key[0] != ref and key[1] == product
            ]
            during = mine[ref, product]
            if not others:
                return TrialRecords(None, Record(), during)
            last = others[-1]
            return TrialRecords(last[0], self._streams[last].record(), during)


def _frames(windows: Iterable[Shares]) -> int:
    return sum(window.frames for window in windows)
