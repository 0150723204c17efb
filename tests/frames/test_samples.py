"""Samples: copies of judged frames, each asker's its own."""

from __future__ import annotations

import errno
import threading

import pytest

from edge_daemon.core.judged import Judged
from edge_daemon.core.values import UNASSIGNED, BundleRef, Verdict
from edge_daemon.frames.captured import Captured
from edge_daemon.frames.ring import Ring
from edge_daemon.frames.samples import UNSEEN_SHAPE, Sampler, Samples
from edge_daemon.host.memory import FrameMemory, FrameShape
from edge_daemon.slots.frame_control import Sample
from tests.sim.clock import SimClock

SHAPE = FrameShape(4, 6)


class Harness:
    def __init__(self, *, opened: bool = True) -> None:
        self.clock = SimClock()
        self.ring = Ring(4, opened=opened)
        self.samples = Samples(self.ring)

    def capture(self, value: int, shape: FrameShape = SHAPE) -> None:
        lease = self.ring.begin(shape)
        lease.pixels.fill(value)
        self.ring.commit(lease, self.clock.now())

    def judge(self, shape: FrameShape = SHAPE) -> Judged:
        """The next frame as the lane tells it; its pixels are its number and one."""
        self.capture(self.ring.next_number + 1, shape)
        assert self.ring.head(0) is not None
        captured = self.ring.pop()
        judged = self.verdict(captured)
        self.samples.judged(judged, captured)
        self.ring.release(captured)
        return judged

    def verdict(self, captured: Captured) -> Judged:
        ref = BundleRef("b", "1")
        return Judged(
            captured.number, 0.0, 0.0, UNASSIGNED, Verdict.OK, None, ref, "aa", (), 1.0, 2.0
        )

    def asked(self, *samplers: Sampler) -> list[Sample]:
        """What each of them gets while frames come."""
        got: list[Sample] = []
        threads = [
            threading.Thread(target=lambda one=one: got.append(one.next(30.0))) for one in samplers
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            self.judge()
            for thread in threads:
                thread.join(0.001)
        return got


@pytest.fixture
def bench() -> Harness:
    return Harness()


def test_a_sample_is_a_copy_of_a_judged_frame(bench: Harness) -> None:
    """With its verdict; the ring may use its place again."""
    with bench.samples.sampler() as sampler:
        (sample,) = bench.asked(sampler)
        assert sample.judged is not None
        for _ in range(8):
            bench.judge()
        assert sample.frame.pixels[0, 0, 0] == sample.judged.frame + 1


def test_two_askers_never_share_a_picture(bench: Harness) -> None:
    """A bundle that comes back and one that is being proven are shown frames at the same time."""
    with bench.samples.sampler() as one, bench.samples.sampler() as another:
        first, second = bench.asked(one, another)
        assert first.frame.memory is not second.frame.memory
        for sample in (first, second):
            assert sample.judged is not None
            assert sample.frame.pixels[0, 0, 0] == sample.judged.frame + 1


def test_a_frame_that_comes_too_late_changes_nothing(bench: Harness) -> None:
    """The lane had looked who wants one, and the asker has gone on without it."""
    bench.judge()
    with bench.samples.sampler() as sampler:
        sample = sampler.next(0.0)
        before = sample.frame.pixels.copy()
        bench.capture(7)
        captured = bench.ring.pop() if bench.ring.head(0) else None
        assert captured is not None
        assert captured.address is not None
        sampler.take(bench.verdict(captured), captured.address.pixels)
        assert (sample.frame.pixels == before).all()


def test_a_sample_that_finds_no_memory_does_not_end_the_lane(
    bench: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lane copies it; the next frame is taken instead."""
    allocate, refused = FrameMemory.allocate, [errno.ENOMEM]

    def short(shape: FrameShape, places: int) -> FrameMemory:
        if refused and places == 1:
            raise OSError(refused.pop(), "Cannot allocate memory")
        return allocate(shape, places)

    monkeypatch.setattr(FrameMemory, "allocate", short)
    with bench.samples.sampler() as sampler:
        (sample,) = bench.asked(sampler)
        assert sample.judged is not None
    assert refused == []


def test_a_line_that_waits_for_a_model_is_not_waited_for(bench: Harness) -> None:
    """It may wait for the very model which is to be proven; later ones are told at once."""
    for_ever = threading.TIMEOUT_MAX
    bench.judge()
    got: list[Sample] = []
    with bench.samples.sampler() as sampler:
        asker = threading.Thread(target=lambda: got.append(sampler.next(for_ever)), daemon=True)
        asker.start()
        bench.samples.none_comes()
        asker.join(30.0)
        got.append(sampler.next(for_ever))
    assert [sample.judged for sample in got] == [None, None]


def test_a_line_that_judges_again_gives_verdicts_again(bench: Harness) -> None:
    """The wait ends with the next verdict."""
    bench.samples.none_comes()
    bench.judge()
    with bench.samples.sampler() as sampler:
        (sample,) = bench.asked(sampler)
        assert sample.judged is not None


def test_another_shape_comes_in_memory_of_its_own_size(bench: Harness) -> None:
    """The camera may change its size while a model is proven."""
    with bench.samples.sampler() as sampler:
        bench.asked(sampler)
        bench.judge(FrameShape(8, 8))
        taken: list[Sample] = []
        asking = threading.Thread(target=lambda: taken.append(sampler.next(30.0)))
        asking.start()
        while asking.is_alive():
            bench.judge(FrameShape(8, 8))
            asking.join(0.001)
        assert taken[0].frame.pixels.shape[:2] == (8, 8)


def test_before_the_start_a_sample_is_what_the_camera_shows() -> None:
    """In the camera's own shape, without a verdict."""
    bench = Harness(opened=False)
    bench.capture(9)
    with bench.samples.sampler() as sampler:
        sample = sampler.next(0.0)
        assert sample.judged is None
        assert sample.frame.pixels.shape[:2] == (4, 6)
        assert sample.frame.pixels[0, 0, 0] == 9


def test_a_silent_line_gives_the_shape_it_had() -> None:
    """In the shape of this camera, also once frames count and none is judged."""
    bench = Harness(opened=False)
    bench.capture(9)
    with bench.samples.sampler() as sampler:
        sampler.next(0.0)
        bench.ring.open()
    with bench.samples.sampler() as sampler:
        assert sampler.next(0.0).frame.pixels.shape[:2] == (4, 6)


def test_without_any_frame_a_sample_is_blank(bench: Harness) -> None:
    """A model can be warmed before the camera is there."""
    with bench.samples.sampler() as sampler:
        shape = sampler.next(0.0).frame.pixels.shape
        assert shape[:2] == (UNSEEN_SHAPE.height, UNSEEN_SHAPE.width)
