"""The ledger: every captured frame has exactly one outcome, in order, and here is the proof.

`captured` follows from the frame numbers and the outcomes are counted one by one, so that a frame
that is missing, told twice or out of turn leaves the two sides unequal, and is a violation with
its example. The lane records, anybody reads; a record is O(1) and keeps no frame.
"""

from __future__ import annotations

import threading
from array import array
from dataclasses import dataclass

import numpy as np

from edge_daemon.core.values import BundleRef, Counts, Judged, Latency, Reason, Verdict

WINDOW = 4096
"""Inspected frames whose latencies are kept: at 30 frames a second, more than two minutes."""


@dataclass(frozen=True)
class Mark:
    """A moment in the ledger, to ask later what happened since."""

    counts: Counts
    inspected: int


class Ledger:
    """Counts outcomes, and checks that frame numbers come as 0, 1, 2, …"""

    def __init__(self, window: int = WINDOW) -> None:
        self._lock = threading.Lock()
        self._next = 0
        self._inspected = 0
        self._dropped = 0
        self._uninspected = 0
        self._reasons = dict.fromkeys(Reason, 0)
        self._verdicts: dict[tuple[BundleRef, Verdict], int] = {}
        self._latency_ms = array("d", bytes(8 * window))
        self._inference_ms = array("d", bytes(8 * window))
        self._violations = 0
        self._first_violation: str | None = None

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
            key = (model, judged.verdict)
            self._verdicts[key] = self._verdicts.get(key, 0) + 1
        at = self._inspected % len(self._latency_ms)
        self._latency_ms[at] = judged.queue_ms + judged.inference_ms
        self._inference_ms[at] = judged.inference_ms
        self._inspected += 1

    def _object(self, what: str) -> None:
        self._violations += 1
        if self._first_violation is None:
            self._first_violation = what

    # -------------------------------------------------------------------------- reading

    @property
    def violations(self) -> int:
        """How often the promise was broken: 0, or somebody has to know."""
        return self._violations

    @property
    def first_violation(self) -> str | None:
        """The first example, as a sentence for the log."""
        return self._first_violation

    def counts(self) -> Counts:
        """All frames since the start."""
        with self._lock:
            return self._counts()

    def reasons(self) -> dict[Reason, int]:
        """How many frames each reason has cost; those that cost none are left out."""
        with self._lock:
            return {reason: count for reason, count in self._reasons.items() if count}

    def verdicts(self) -> dict[tuple[BundleRef, Verdict], int]:
        """How many frames each bundle has judged, by verdict."""
        with self._lock:
            return dict(self._verdicts)

    def mark(self) -> Mark:
        with self._lock:
            return Mark(self._counts(), self._inspected)

    def since(self, mark: Mark) -> tuple[Counts, Latency]:
        """Frames since the mark, and their latency from capture to verdict."""
        return self.between(mark, self.mark())

    def between(self, first: Mark, last: Mark) -> tuple[Counts, Latency]:
        """The same for the span of two marks, as far as it still lies in the window."""
        return last.counts - first.counts, self._latency(self._latency_ms, first, last)

    def inference_between(self, first: Mark, last: Mark) -> Latency:
        """Time in the model alone, for the span of two marks."""
        return self._latency(self._inference_ms, first, last)

    def recent(self, frames: int = 300) -> Latency:
        """Latency from capture to verdict over the last inspected frames."""
        last = self.mark()
        first = Mark(last.counts, max(0, last.inspected - frames))
        return self._latency(self._latency_ms, first, last)

    def _counts(self) -> Counts:
        return Counts(self._next, self._inspected, self._dropped, self._uninspected)

    def _latency(self, values: array[float], first: Mark, last: Mark) -> Latency:
        window = len(values)
        with self._lock:  # a copy of 32 KiB; what is slow comes after it
            kept = np.array(values)
            oldest = max(first.inspected, self._inspected - window)
        if last.inspected <= oldest:
            return Latency()
        span = kept[np.arange(oldest, last.inspected) % window]
        p50, p99 = np.percentile(span, (50, 99))
        return Latency(len(span), float(p50), float(p99), float(span.max()))
