"""The live line: counting what the lane says, and samples for the gate."""

from __future__ import annotations

import pytest

from edge_daemon.core.judged import Judged
from edge_daemon.core.values import (
    UNASSIGNED,
    BundleRef,
    Detection,
    Reason,
    Verdict,
)
from edge_daemon.frames.captured import Captured
from edge_daemon.frames.ledger import Ledger
from edge_daemon.frames.live import LiveLine, Outlets
from edge_daemon.frames.ring import Ring
from edge_daemon.host.memory import FrameShape
from tests.sim.clock import SimClock

SHAPE = FrameShape(4, 6)
BOX = Detection("x", 0.9, (0.0, 0.0, 1.0, 1.0))


class Harness:
    def __init__(self, *, opened: bool = True) -> None:
        self.clock = SimClock()
        self.ring = Ring(4, opened=opened)
        self.published: list[Judged] = []
        outlets = Outlets(
            self.published.append, lambda j, c: None, lambda crossed: None, lambda load, why: None
        )
        self.line = LiveLine(self.ring, Ledger(), self.clock, outlets)

    def capture(self, value: int) -> None:
        lease = self.ring.begin(SHAPE)
        lease.pixels.fill(value)
        self.ring.commit(lease, self.clock.now())

    def pop(self) -> Captured:
        assert self.ring.head(0) is not None
        return self.ring.pop()

    def judge(self, verdict: Verdict, reason: Reason | None = None) -> Judged:
        """The next frame as the lane tells it."""
        self.capture(self.ring.next_number + 1)
        captured = self.pop()
        seen = verdict is not Verdict.UNINSPECTED
        judged = Judged(
            captured.number,
            0.0,
            0.0,
            UNASSIGNED,
            verdict,
            reason,
            BundleRef("b", "1") if seen else None,
            "aa" if seen else None,
            (BOX,) if seen else (),
            1.0,
            2.0,
        )
        self.line.judged(judged, captured)
        self.ring.release(captured)
        return judged


@pytest.fixture
def bench() -> Harness:
    return Harness()


def test_a_window_holds_what_happened_between(bench: Harness) -> None:
    """Frames, rejects, detections, failures and latencies since a mark, and nothing before it."""
    bench.judge(Verdict.NG)
    mark = bench.line.mark()
    bench.judge(Verdict.OK)
    bench.judge(Verdict.NG)
    bench.judge(Verdict.UNINSPECTED, Reason.INFERENCE_FAILED)
    window = bench.line.since(mark)
    assert (window.counts.captured, window.counts.inspected) == (3, 2)
    assert (window.ng, window.detections, window.failed) == (1, 2, 1)
    assert (window.frame_ms.p50, window.inference_ms.p50) == (3.0, 2.0)
    assert len(bench.published) == 4
