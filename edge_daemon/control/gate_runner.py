"""Collects what the gate judges: warm-up, golden images, recent frames, latency, memory.

The candidate is measured in its own slot, on frames of this camera as they come in, in turns with
the active model: whatever it infers begins right after a live verdict, in the time that the frame
budget leaves. The active model sees golden images between two frames, and so it does the camera's
picture where the line gives no frame that it judges.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from edge_daemon.config import GateSettings
from edge_daemon.control.golden_cache import Detected, GoldenCache
from edge_daemon.control.idle_time import IdleTime
from edge_daemon.core.compatibility import Compatibility
from edge_daemon.core.gate import Evidence, Limits, Memory, Timing, WarmUp, is_doubtful
from edge_daemon.core.golden import Golden
from edge_daemon.core.recent import Recent
from edge_daemon.core.recipe import broken_rules, judge
from edge_daemon.core.values import Judged, Recipe, Size, Verdict
from edge_daemon.core.verdicts import (
    MIN_REJECTED,
    Missed,
    Picture,
    Reference,
    needs_a_part,
)
from edge_daemon.errors import Code, SlotLost
from edge_daemon.host.memory import FrameAddress, FrameMemory, FrameShape, Pixels
from edge_daemon.models.bundle import Manifest, Verified
from edge_daemon.models.manifest import GoldenImage
from edge_daemon.models.picture_size import picture_size
from edge_daemon.slots.active import ActiveSlot
from edge_daemon.slots.frame_control import FrameControl, Sample
from edge_daemon.slots.slot import Inference, Loaded, Slot

TIMED_FRAMES = 20
"""Frames on which candidate and incumbent are compared: two thirds of a second at 30 fps."""

LOOKS = 3
"""So many times as many, before a candidate is refused that was a little too slow."""

SAMPLE_TIMEOUT_S = 0.5
"""Longer than this without a frame, and the camera counts as silent for the gate."""

IDLE_TASK_S = 1.0
"""If the active model takes longer for a picture that is not of the line, it is asked no more."""

ASKED_PIXELS = 16_000_000
"""Of larger golden images it is not asked at all: the line's own frames are no larger."""

_R = TypeVar("_R")


@dataclass(frozen=True)
class Incumbent:
    """The active bundle, where it is another version of the same name."""

    manifest: Manifest

    def judged(self, sample: Sample) -> Judged | None:
        """What it made of the frame; None where the frame had no verdict, or another's."""
        judged = sample.judged
        if judged is None or judged.model != self.manifest.ref:
            return None
        return None if judged.verdict is Verdict.UNINSPECTED else judged


@dataclass(frozen=True)
class Candidate:
    """What is to be proven, where it is loaded, and what it is held against."""

    slot: Slot
    verified: Verified
    loaded: Loaded
    incumbent: Incumbent | None
    reference: Reference | None = None


class GateRunner:
    """One gate for one candidate; every call to its slot is bounded by what is left of the time."""

    def __init__(
        self,
        settings: GateSettings,
        line: FrameControl,
        active_slot: ActiveSlot,
        free_memory: Callable[[], dict[str, int]],
    ) -> None:
        self._settings = settings
        self._line = line
        self._crossing = active_slot
        self._gaps = IdleTime(active_slot)
        self._album = GoldenCache()
        self._free_memory = free_memory

    def warm(self, slot: Slot, inferences: int, deadline_at: float) -> tuple[WarmUp, ...]:
        """The first inferences, on a frame of this camera; one that raises refuses the bundle."""
        results = []
        with self._line.sampler() as samples:
            frame = samples.next(self._patience_s(slot)).frame
            height, width = frame.pixels.shape[:2]
            for _ in range(max(2, inferences)):
                self._gaps.begin(slot)
                seen = _in_time(deadline_at, partial(slot.infer, frame))
                results.append(WarmUp(width, height, seen.detections, seen.finite))
        return tuple(results)

    def evidence(
        self, candidate: Candidate, warm_ups: tuple[WarmUp, ...], deadline_at: float
    ) -> Evidence:
        """Everything the gate judges, measured now."""
        golden = self._golden(candidate, deadline_at)
        seen = self._interleaved(candidate, deadline_at)
        return Evidence(
            compatibility=self._compatibility(candidate),
            warm_ups=warm_ups,
            recipe=candidate.verified.manifest.recipe,
            reference=candidate.reference,
            nothing=self._pictures_of_nothing(candidate, warm_ups, deadline_at),
            golden=golden,
            recent=seen.recent if seen.recent.frames else None,
            missed=seen.missed if candidate.incumbent else None,
            timing=seen.timing,
            memory=self._memory(candidate),
        )

    def _compatibility(self, candidate: Candidate) -> Compatibility:
        manifest, loaded = candidate.verified.manifest, candidate.loaded
        incumbent = candidate.incumbent.manifest if candidate.incumbent else None
        return Compatibility(
            manifest.task,
            loaded.task,
            manifest.classes,
            loaded.classes,
            incumbent.classes if incumbent else None,
            incumbent.recipe.reject if incumbent else frozenset(),
            loaded.head_classes,
        )

    def _golden(self, candidate: Candidate, deadline_at: float) -> tuple[Golden, ...]:
        verified = candidate.verified
        results = []
        for image, path in zip(verified.manifest.golden, verified.golden, strict=True):
            usual, found = self._both(candidate, image, path, deadline_at)
            if usual is None:
                candidate = replace(candidate, incumbent=None)
            self._album.keep(verified.manifest, image, found)
            size = picture_size(path)
            results.append(Golden(image.expectation, found, usual, image.sha256, size))
        if candidate.incumbent is not None:
            return tuple(results)
        # The active model is lost, or slow: compare nothing, not a part.
        return tuple(replace(golden, incumbent=None) for golden in results)

    def _both(
        self, candidate: Candidate, image: GoldenImage, path: Path, deadline_at: float
    ) -> tuple[Detected | None, Detected]:
        """What the incumbent, if there is one, and the candidate see; in one gap of the line.

        A stranger's file is decoded by the candidate's worker. Where the incumbent must be asked,
        it gets the pixels, as it gets frames.
        """
        incumbent, slot = candidate.incumbent, candidate.slot
        usual = self._album.recall(incumbent.manifest, image) if incumbent else None
        picture = None
        if incumbent is not None and usual is None and not _is_large(path):
            picture = _in_time(deadline_at, partial(slot.decode, path))
        if incumbent is None or picture is None:
            self._gaps.begin(slot)
            return usual, _in_time(deadline_at, partial(slot.infer_file, path)).detections
        try:
            address = FrameAddress(picture, 0)
            answer = self._ask(incumbent, address)
            if answer is None:
                self._gaps.begin(slot)
            else:
                usual = answer.detections
                self._album.keep(incumbent.manifest, image, usual)
            return usual, _in_time(deadline_at, partial(slot.infer, address)).detections
        finally:
            picture.close()

    def _ask(self, incumbent: Incumbent | None, picture: FrameAddress) -> Inference | None:
        """The active model's answer between two frames; None: there is none, or it came late."""
        if incumbent is None:
            return None
        return self._gaps.ask(incumbent.manifest.ref, partial(_look_at, picture))

    def _interleaved(self, candidate: Candidate, deadline_at: float) -> _Seen:
        """Both models on the same frames, in turns."""
        candidate.slot.promote()  # measured under the priority that it will have
        manifest, incumbent = candidate.verified.manifest, candidate.incumbent
        limits = manifest.limits.no_looser_than(self._settings.latency_ratio)
        seen = _Seen(manifest.recipe, incumbent, candidate.reference)
        asked, patience_s = incumbent, self._patience_s(candidate.slot)
        with self._line.sampler() as samples:
            for number in range(1, LOOKS * TIMED_FRAMES + 1):
                sample = samples.next(patience_s)
                found = _in_time(deadline_at, partial(candidate.slot.infer, sample.frame))
                judged = incumbent.judged(sample) if incumbent else None
                seen.note(found, judged, sample.frame.size)
                if judged is None:
                    other = self._ask(asked, sample.frame)
                    if other is None:
                        asked = None  # it is lost, or hangs
                    else:
                        seen.usual_ms.append(other.inference_ms)
                if sample.judged is None:
                    patience_s = 0.0  # the line is silent, or waits for this very model
                if number >= TIMED_FRAMES and seen.is_enough(number, limits):
                    break
        return seen

    def _pictures_of_nothing(
        self, candidate: Candidate, warm_ups: tuple[WarmUp, ...], deadline_at: float
    ) -> tuple[Picture, ...]:
        """What the candidate finds where nothing is, if its recipe requires something."""
        if not needs_a_part(candidate.verified.manifest.recipe) or not warm_ups:
            return ()
        memory = FrameMemory.allocate(FrameShape(warm_ups[0].height, warm_ups[0].width), 1)
        found = []
        try:
            for name, pixels in _nothing(memory.pixels(0).shape):
                memory.pixels(0)[:] = pixels
                self._gaps.begin(candidate.slot)
                look = partial(candidate.slot.infer, FrameAddress(memory, 0))
                seen = _in_time(deadline_at, look).detections
                found.append(Picture(name, seen, memory.shape.size))
        finally:
            memory.close()
        return tuple(found)

    def _patience_s(self, slot: Slot) -> float:
        """How long the next judged frame may take; none comes while no other slot judges."""
        judging = self._crossing.pointer.slot
        return SAMPLE_TIMEOUT_S if judging is not None and judging is not slot else 0.0

    def _memory(self, candidate: Candidate) -> tuple[Memory, ...]:
        headroom = self._settings.memory_headroom_mb << 20
        used = {"host": candidate.slot.memory_bytes(), "gpu": candidate.loaded.gpu_bytes}
        return tuple(
            Memory(kind, used.get(kind, 0), free, headroom)
            for kind, free in self._free_memory().items()
        )


class _Seen:
    """What both models made of the same frames, as they come in."""

    def __init__(
        self, recipe: Recipe, incumbent: Incumbent | None, reference: Reference | None
    ) -> None:
        self._recipe = recipe
        self._incumbent = incumbent
        self._kept = reference.kept(recipe) if reference else Recipe()
        self.recent = Recent(0, 0)
        self.missed = Missed()
        self.new_ms: list[float] = []
        self.usual_ms: list[float] = []

    @property
    def timing(self) -> Timing:
        return Timing(tuple(self.new_ms), tuple(self.usual_ms) if self._incumbent else None)

    def note(self, found: Inference, judged: Judged | None, size: Size) -> None:
        """One frame more; `judged` by the active version of the same name, or None."""
        self.new_ms.append(found.inference_ms)
        if judged is None or self._incumbent is None:
            return
        self.usual_ms.append(judged.inference_ms)
        verdict = judge(found.detections, self._recipe, size)
        recent = self.recent
        self.recent = Recent(
            recent.frames + 1,
            recent.agreeing + (verdict is judged.verdict),
            recent.candidate.and_in(found.detections, self._recipe),
            recent.incumbent.and_in(judged.detections, self._incumbent.manifest.recipe),
        )
        if broken_rules(judged.detections, self._kept, size):
            passed = verdict is not Verdict.NG
            self.missed = Missed(self.missed.rejected + 1, self.missed.missed + passed)

    def is_enough(self, frames: int, limits: Limits) -> bool:
        """Whether more frames would tell nothing more.

        Latency is looked at again in doubt; a line with many defects soon shows enough of them.
        """
        if frames % TIMED_FRAMES == 0 and is_doubtful(self.timing, limits):
            return False
        rejected = self.missed.rejected
        more_soon = rejected < MIN_REJECTED and rejected * LOOKS >= frames
        return not more_soon and (frames % TIMED_FRAMES == 0 or rejected >= MIN_REJECTED)


def _nothing(shape: tuple[int, ...]) -> Iterator[tuple[str, Pixels]]:
    """Pictures without a part: black, white, and noise, which is always the same noise."""
    yield "black", np.zeros(shape, np.uint8)
    yield "white", np.full(shape, 255, np.uint8)
    yield "noise", np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def _look_at(picture: FrameAddress, slot: Slot) -> Inference | None:
    return slot.infer_picture(picture, IDLE_TASK_S)


def _is_large(path: Path) -> bool:
    width, height = picture_size(path) or (0, 0)
    return width * height > ASKED_PIXELS


def _in_time(deadline_at: float, work: Callable[[float], _R]) -> _R:
    """One call of a slot in what is left of the time; a model that hangs is ended there."""
    left_s = deadline_at - time.monotonic()
    if left_s <= 0:
        raise _late()
    try:
        return work(left_s)
    except SlotLost as lost:
        if time.monotonic() < deadline_at:
            raise
        raise _late() from lost


def _late() -> SlotLost:
    return SlotLost(
        "The gate was not done within its time.",
        hint="Raise gate.timeout_s, or use fewer golden images.",
        code=Code.LOAD_TIMEOUT,
    )
