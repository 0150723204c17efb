"""Samples: copies of judged frames, for whatever proves a model beside the line."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, closing, suppress

import numpy as np

from edge_daemon.core.judged import Judged
from edge_daemon.frames.captured import Captured
from edge_daemon.frames.ring import Ring
from edge_daemon.host.memory import FrameAddress, FrameMemory, FrameShape, Pixels
from edge_daemon.slots.frame_control import Sample

UNSEEN_SHAPE = FrameShape(480, 640)
"""What a sample looks like before any frame of the camera was seen."""


class Sampler:
    """One asker's, with memory of its own: two proofs at a time never share a picture."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        self._taken = threading.Condition()
        self._sample: Sample | None = None
        self._wanted = False
        self._memory: FrameMemory | None = None

    def next(self, timeout_s: float) -> Sample:
        """The next judged frame, copied; past the limit the last one seen, without a verdict.

        So it is at once where the line waits for a model, which may be the very one to be proven.

        The copy is good until the next call.
        """
        with self._taken:
            self._sample, self._wanted = None, True
            self._samples.want(self)
            self._taken.wait_for(
                lambda: self._sample is not None or self._samples.line_waits, timeout_s
            )
            self._samples.forget(self)
            self._wanted = False  # the lane may be on its way with a frame that comes too late
            if self._sample is not None:
                return self._sample
            preview = self._samples.preview()
            if preview is not None:
                return Sample(self._copy(preview))
            return Sample(FrameAddress(self._room(self._samples.shape), 0))

    def take(self, judged: Judged, pixels: Pixels) -> None:
        """A frame, from the lane."""
        with self._taken:
            if self._wanted:
                with suppress(OSError):  # no memory now: the next frame may do
                    self._sample, self._wanted = Sample(self._copy(pixels), judged), False
                    self._taken.notify_all()

    def look_up(self) -> None:
        """The line waits, from the lane."""
        with self._taken:
            self._taken.notify_all()

    def close(self) -> None:
        with self._taken:
            self._samples.forget(self)
            if self._memory is not None:
                self._memory.close()
                self._memory = None

    def _copy(self, pixels: Pixels) -> FrameAddress:
        memory = self._room(FrameShape(*pixels.shape[:2]))
        np.copyto(memory.pixels(0), pixels)
        return FrameAddress(memory, 0)

    def _room(self, shape: FrameShape) -> FrameMemory:
        if self._memory is None or self._memory.shape != shape:
            if self._memory is not None:
                self._memory.close()
                self._memory = None
            self._memory = FrameMemory.allocate(shape, 1)
        return self._memory


class Samples:
    """Threads that wait for a frame; the lane checks once per frame whether there are any."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._lock = threading.Lock()
        self._wanting: tuple[Sampler, ...] = ()
        self.shape = UNSEEN_SHAPE
        self.line_waits = False

    def sampler(self) -> AbstractContextManager[Sampler]:
        """For one proof; its memory is given back at the end."""
        return closing(Sampler(self))

    def judged(self, judged: Judged, captured: Captured) -> None:
        """From the lane: one frame with a verdict, while its pixels stay."""
        self.line_waits = False
        if not self._wanting or captured.address is None:
            return
        pixels = captured.address.pixels
        self.shape = FrameShape(*pixels.shape[:2])
        for sampler in self._wanting:
            sampler.take(judged, pixels)

    def none_comes(self) -> None:
        """From the lane: no verdict before another model judges."""
        self.line_waits = True
        for sampler in self._wanting:
            sampler.look_up()

    def preview(self) -> Pixels | None:
        """What the camera shows before frames count."""
        pixels = self._ring.preview()
        if pixels is not None:
            self.shape = FrameShape(*pixels.shape[:2])
        return pixels

    def want(self, sampler: Sampler) -> None:
        with self._lock:
            self._wanting = (*self._wanting, sampler)

    def forget(self, sampler: Sampler) -> None:
        with self._lock:
            self._wanting = tuple(other for other in self._wanting if other is not sampler)
