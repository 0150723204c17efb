"""The ledger: proves that every captured frame has exactly one outcome, in order.

`captured` follows from the frame numbers, and the outcomes are counted one by one. So a frame that
is missing, told twice or out of order leaves the two sides unequal, and is a violation with its
example. The lane records, any thread reads; a record is O(1) and keeps no frame.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left
from collections import OrderedDict
from dataclasses import replace

import numpy as np

from edge_daemon.core.judged import Judged
from edge_daemon.core.totals import BOUNDS_MS, ModelTotals, Spread, Totals
from edge_daemon.core.values import (
    BundleRef,
    Counts,
    Latency,
    Reason,
    Verdict,
)

WINDOW = 4096
"""Inspected frames whose latencies are kept: at 30 frames a second, more than two minutes."""

MODELS_KEPT = 16
"""Models that are counted one by one; of more, the one that judged longest ago joins the rest."""


class _Spread:
    """A histogram that grows."""

    __slots__ = ("frames", "sum_ms")

    def __init__(self) -> None:
        self.frames = [0] * (len(BOUNDS_MS) + 1)
        self.sum_ms = 0.0

    def add(self, ms: float) -> None:
        self.frames[bisect_left(BOUNDS_MS, ms)] += 1
        self.sum_ms += ms

    def merge(self, other: _Spread) -> None:
        self.frames = [sum(pair) for pair in zip(self.frames, other.frames, strict=True)]
        self.sum_ms += other.sum_ms

    def shown(self) -> Spread:
        return Spread(tuple(self.frames), self.sum_ms)


class _Tally:
    """What one bundle has judged."""

    __slots__ = ("inference", "verdicts")

    def __init__(self) -> None:
        self.verdicts: dict[Verdict, int] = {Verdict.OK: 0, Verdict.NG: 0}
        self.inference = _Spread()

    def merge(self, other: _Tally) -> None:
        for verdict, count in other.verdicts.items():
            self.verdicts[verdict] = self.verdicts.get(verdict, 0) + count
        self.inference.merge(other.inference)


class Ledger:
    """Counts outcomes, and checks that frame numbers come as 0, 1, 2, …"""

    def __init__(self, window: int = WINDOW) -> None:
        self._lock = threading.Lock()
        self._next = 0
        self._inspected = 0
        self._dropped = 0
        self._uninspected = 0
        self._reasons = dict.fromkeys(Reason, 0)
        self._models: OrderedDict[BundleRef | None, _Tally] = OrderedDict()
        self._newest: BundleRef | None = None  # of `_models`, whose tally is `_tally`
        self._tally = _Tally()
        self._latency_spread = _Spread()
        self._latency_ms = array("d", bytes(8 * window))
        self._inference_ms = array("d", bytes(8 * window))
        self.first_violation: str | None = None
        """How the promise was broken first, as a sentence for the log; None: it was kept."""

    def record(self, judged: Judged) -> None:
        """One frame has its outcome. Never raises: what is wrong with it is a violation."""
        with self._lock:
            if judged.frame != self._next:
                self._object(f"frame {judged.frame} came where {self._next} was due")
            self._next = max(self._next, judged.frame + 1)
            if judged.verdict is Verdict.UNINSPECTED:
                self._record_reason(judged)
            else:
                self._record_inspection(judged)

    def _record_reason(self, judged: Judged) -> None:
        if judged.reason is None:
            self._uninspected += 1
            self._object(f"frame {judged.frame} is uninspected without a reason")
            return
        if judged.model is not None:
            self._object(f"frame {judged.frame} is uninspected, and judged by {judged.model}")
        self._reasons[judged.reason] += 1
        if judged.reason.is_drop:
            self._dropped += 1
        else:
            self._uninspected += 1

    def _record_inspection(self, judged: Judged) -> None:
        model = judged.model
        if model is None:
            self._object(f"frame {judged.frame} has a verdict and no model")
        else:
            required = judged.assignment.requires
            if required is not None and model.name != required:
                self._object(f"frame {judged.frame} needs {required}, and {model} judged it")
        if model is not self._newest or model is None:
            self._turn_to(model)
        tally, latency_ms = self._tally, judged.queue_ms + judged.inference_ms
        tally.verdicts[judged.verdict] = tally.verdicts.get(judged.verdict, 0) + 1
        tally.inference.add(judged.inference_ms)
        self._latency_spread.add(latency_ms)
        at = self._inspected % len(self._latency_ms)
        self._latency_ms[at] = latency_ms
        self._inference_ms[at] = judged.inference_ms
        self._inspected += 1

    def _turn_to(self, model: BundleRef | None) -> None:
        """Another model judges: its tally is looked up once, and not with each frame."""
        self._newest = model
        self._tally = self._models.setdefault(model, _Tally())
        self._models.move_to_end(model)
        if len(self._models) - (None in self._models) > MODELS_KEPT:
            oldest = next(ref for ref in self._models if ref is not None)
            self._models.setdefault(None, _Tally()).merge(self._models.pop(oldest))

    def _object(self, what: str) -> None:
        if self.first_violation is None:
            self.first_violation = what

    # -------------------------------------------------------------------------- reading

    def counts(self) -> Counts:
        """All frames since the start; also a moment, to ask later what happened since."""
        with self._lock:
            return self._counts()

    def reasons(self) -> dict[Reason, int]:
        """How many frames each reason has cost; those that cost none are left out."""
        with self._lock:
            return {reason: count for reason, count in self._reasons.items() if count}

    def totals(self) -> Totals:
        """All that was counted, as of one moment; the model None stands for those of long ago."""
        with self._lock:
            return Totals(
                self._counts(),
                dict(self._reasons),
                {
                    ref: ModelTotals(dict(tally.verdicts), tally.inference.shown())
                    for ref, tally in self._models.items()
                },
                self._latency_spread.shown(),
            )

    def latency_between(self, first: Counts, last: Counts) -> Latency:
        """From capture to verdict, between two moments, as far as they still lie in the window."""
        return self._latency(self._latency_ms, first, last)

    def inference_between(self, first: Counts, last: Counts) -> Latency:
        """The same for the time in the model alone."""
        return self._latency(self._inference_ms, first, last)

    def recent(self, frames: int = 300) -> Latency:
        """Latency from capture to verdict over the last inspected frames."""
        last = self.counts()
        return self.latency_between(replace(last, inspected=max(0, last.inspected - frames)), last)

    def _counts(self) -> Counts:
        return Counts(self._next, self._inspected, self._dropped, self._uninspected)

    def _latency(self, values: array[float], first: Counts, last: Counts) -> Latency:
        window = len(values)
        with self._lock:  # a copy of 32 KiB; what is slow comes after it
            kept = np.array(values)
            oldest = max(first.inspected, self._inspected - window)
        if last.inspected <= oldest:
            return Latency()
        span = kept[np.arange(oldest, last.inspected) % window]
        p50, p99 = np.percentile(span, (50, 99))
        return Latency(len(span), float(p50), float(p99), float(span.max()))
