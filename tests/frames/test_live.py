"""The live line: counting what the lane says, and samples for the gate."""

from __future__ import annotations

import threading

import pytest

from edge_daemon.core.values import (
    UNASSIGNED,
    BundleRef,
    Detection,
    Judged,
    Reason,
    Verdict,
)
from edge_daemon.frames.captured import Captured
from edge_daemon.frames.ledger import Ledger
from edge_daemon.frames.live import UNSEEN_SHAPE, LiveLine, Outlets
from edge_daemon.frames.ring import Ring
from edge_daemon.host.memory import FrameShape
from edge_daemon.slots.line import Sample
from tests.sim.clock import SimClock

SHAPE = FrameShape(4, 6)
BOX = Detection("x", 0.9, (0.0, 0.0, 1.0, 1.0))


class Bench:
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
def bench() -> Bench:
    return Bench()


def test_a_window_holds_what_happened_between(bench: Bench) -> None:
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


def test_a_sample_is_a_copy_of_the_next_judged_frame(bench: Bench) -> None:
    """With its verdict; the ring may use its place again."""
    samples: list[Sample] = []
    asked = threading.Thread(target=lambda: samples.append(bench.line.sample(30.0)))
    asked.start()
    while asked.is_alive():
        judged = bench.judge(Verdict.OK)
        asked.join(0.001)
    assert samples[0].judged is not None
    assert samples[0].judged.frame <= judged.frame
    assert samples[0].frame.pixels[0, 0, 0] == samples[0].judged.frame + 1
    bench.line.close()


def test_uninspected_frames_are_no_samples(bench: Bench) -> None:
    """There is no verdict to compare with."""
    bench.line._wanted = True
    bench.judge(Verdict.UNINSPECTED, Reason.NO_MODEL)
    assert bench.line._sample is None


def test_before_the_start_a_sample_is_what_the_camera_shows() -> None:
    """In the camera's own shape, without a verdict."""
    bench = Bench(opened=False)
    bench.capture(9)
    sample = bench.line.sample(0.0)
    assert sample.judged is None
    assert sample.frame.pixels.shape[:2] == (4, 6)
    assert sample.frame.pixels[0, 0, 0] == 9


def test_a_silent_line_gives_the_last_sample_again() -> None:
    """In the shape of this camera, also once frames count and none is judged."""
    bench = Bench(opened=False)
    bench.capture(9)
    bench.line.sample(0.0)
    bench.ring.open()
    assert bench.line.sample(0.0).frame.pixels.shape[:2] == (4, 6)


def test_without_any_frame_a_sample_is_blank(bench: Bench) -> None:
    """A model can be warmed before the camera is there."""
    shape = bench.line.sample(0.0).frame.pixels.shape
    assert shape[:2] == (UNSEEN_SHAPE.height, UNSEEN_SHAPE.width)
