"""The live line: where the lane reports to, and what control may ask about the frames.

Everything here that the lane calls takes microseconds: counting, and putting a verdict where the
publisher and the pictures find it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_daemon.core.judged import Judged
from edge_daemon.core.trial import Window
from edge_daemon.core.values import Counts, Instant, Reason, Verdict
from edge_daemon.errors import EdgeDaemonError
from edge_daemon.frames.captured import Captured
from edge_daemon.frames.ledger import Ledger
from edge_daemon.frames.records import Records
from edge_daemon.frames.ring import Ring
from edge_daemon.frames.samples import Samples
from edge_daemon.host.clock import Clock
from edge_daemon.slots.active import Crossed


@dataclass(frozen=True)
class _Moment:
    """What the ledger had counted, and the sums that it does not keep."""

    counts: Counts
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
        self._samples = Samples(ring)
        self._records = Records()
        self._failed = self._ng = self._detections = 0
        # These calls of the two protocols are answered by others, as they are.
        self.crossed, self.lost = outlets.crossed, outlets.lost
        self.stamp, self.stamp_from, self.lift = ring.stamp, ring.stamp_from, ring.lift
        self.pass_over, self.open = ring.pass_over, ring.open
        self.sampler = self._samples.sampler
        self.begin_record, self.trial_records = self._records.begin, self._records.of_trial
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

    def failed(self, error: EdgeDaemonError) -> None:
        self.failure = error

    def waits(self) -> None:
        self._samples.none_comes()

    # ------------------------------------------------------------------ control's side

    @property
    def next_frame(self) -> int:
        return self._ring.next_number

    def mark(self) -> _Moment:
        return _Moment(self._ledger.counts(), self._failed, self._ng, self._detections)

    def since(self, mark: object) -> Window:
        assert isinstance(mark, _Moment)
        now = self.mark()
        return Window(
            now.counts - mark.counts,
            self._ledger.latency_between(mark.counts, now.counts),
            self._ledger.inference_between(mark.counts, now.counts),
            now.failed - mark.failed,
            now.ng - mark.ng,
            now.detections - mark.detections,
        )

    def fence(self) -> Instant:
        return self._ring.fence(self._clock.now)
