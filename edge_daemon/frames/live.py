"""The live line: where the lane reports to, and what control may ask about the frames.

Everything here that the lane calls takes microseconds: counting, and putting a verdict where the
publisher and the pictures find it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from edge_daemon.core.trial import Window
from edge_daemon.core.values import Assignment, BundleRef, Instant, Judged, Reason, Verdict
from edge_daemon.errors import EdgeDaemonError
from edge_daemon.frames.captured import Captured
from edge_daemon.frames.ledger import Ledger, Mark
from edge_daemon.frames.records import Records
from edge_daemon.frames.ring import Ring
from edge_daemon.frames.samples import Sampler, Samples
from edge_daemon.host.clock import Clock
from edge_daemon.slots.active import Crossed
from edge_daemon.slots.frame_control import TrialRecords


@dataclass(frozen=True)
class _Moment:
    """A mark in the ledger, and the sums that the ledger does not keep."""

    mark: Mark
    failed: int
    ng: int
    detections: int


@dataclass(frozen=True)
class Outlets:
    """Where verdicts and the lane's words go. `offer_picture` is the last that needs the pixels."""

    publish: Callable[[Judged], None]
    offer_picture: Callable[[Judged, Captured], None]
    crossed: Callable[[Crossed], None]
    lost: Callable[[int, str], None]


class LiveLine:
    """The lane's `Listener` and control's `FrameControl`."""

    def __init__(self, ring: Ring, ledger: Ledger, clock: Clock, outlets: Outlets) -> None:
        self._ring = ring
        self._ledger = ledger
        self._clock = clock
        self._outlets = outlets
        self.crossed = outlets.crossed
        self._failed = self._ng = self._detections = 0
        self._samples = Samples(ring)
        self._records = Records()
        self.failure: EdgeDaemonError | None = None
        """Why the model gave no verdict on the last frame that it failed at."""

    # ------------------------------------------------------------------ the lane's side

    def judged(self, judged: Judged, captured: Captured) -> None:
        self._ledger.record(judged)
        if judged.verdict is not Verdict.UNINSPECTED:
            self._ng += judged.verdict is Verdict.NG
            self._detections += len(judged.detections)
            self._records.add(judged)
            self._samples.judged(judged, captured)
        elif judged.reason is Reason.INFERENCE_FAILED:
            self._failed += 1
        self._outlets.offer_picture(judged, captured)
        self._outlets.publish(judged)

    def lost(self, token: int, why: str) -> None:
        self._outlets.lost(token, why)

    def failed(self, error: EdgeDaemonError) -> None:
        self.failure = error

    def waits(self) -> None:
        self._samples.none_comes()

    # ------------------------------------------------------------------ control's side

    @property
    def next_frame(self) -> int:
        return self._ring.next_number

    def mark(self) -> object:
        """This moment."""
        return _Moment(self._ledger.mark(), self._failed, self._ng, self._detections)

    def since(self, mark: object) -> Window:
        """What happened from that moment until now."""
        assert isinstance(mark, _Moment)
        now = self.mark()
        assert isinstance(now, _Moment)
        counts, frame_ms = self._ledger.between(mark.mark, now.mark)
        return Window(
            counts,
            frame_ms,
            self._ledger.inference_between(mark.mark, now.mark),
            now.failed - mark.failed,
            now.ng - mark.ng,
            now.detections - mark.detections,
        )

    def begin_record(self, ref: BundleRef) -> None:
        self._records.begin(ref)

    def trial_records(self, ref: BundleRef) -> TrialRecords:
        return self._records.of_trial(ref)

    def fence(self) -> Instant:
        return self._ring.fence(self._clock.now)

    def stamp(self, assignment: Assignment, since_at: float) -> None:
        self._ring.stamp(assignment, since_at)

    def stamp_from(self, assignment: Assignment, number: int) -> None:
        self._ring.stamp_from(assignment, number)

    def lift(self, *since_at: float) -> None:
        self._ring.lift(*since_at)

    def pass_over(self, epoch: int) -> None:
        self._ring.pass_over(epoch)

    def open(self) -> None:
        self._ring.open()

    def sampler(self) -> AbstractContextManager[Sampler]:
        """Copies of frames, for one proof."""
        return self._samples.sampler()
