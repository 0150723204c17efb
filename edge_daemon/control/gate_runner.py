"""Collects what the gate judges: warm-up, golden images, recent frames, latency, memory.

The candidate is measured in its own slot, on frames of this camera as they come in, in turns with
the active model: whatever it infers begins right after a live verdict, in the time that the frame
budget leaves. The active model sees golden images between two frames, and so it does the camera's
picture where the line gives no frame that it judges.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from edge_daemon.config import GateSettings
from edge_daemon.control.album import Album, Found
from edge_daemon.control.gaps import Gaps
from edge_daemon.core.compatibility import Compatibility
from edge_daemon.core.gate import Evidence, Memory, Timing, WarmUp, is_doubtful
from edge_daemon.core.golden import Golden
from edge_daemon.core.recent import Recent
from edge_daemon.core.recipe import judge
from edge_daemon.core.values import Detection, Judged, Recipe, Verdict
from edge_daemon.errors import Code, SlotLost
from edge_daemon.host.memory import FrameAddress
from edge_daemon.models.bundle import Manifest, Verified
from edge_daemon.models.manifest import GoldenImage
from edge_daemon.slots.crossing import Crossing
from edge_daemon.slots.line import Line, Sample
from edge_daemon.slots.slot import Inference, Loaded, Slot

TIMED_FRAMES = 20
"""Frames on which candidate and incumbent are compared: two thirds of a second at 30 fps."""

LOOKS = 3
"""So many times as many, before a candidate is refused that was a little too slow."""

SAMPLE_TIMEOUT_S = 0.5
"""Longer than this without a frame, and the camera counts as silent for the gate."""

ERRAND_TIMEOUT_S = 1.0
"""How long the active model may take for one picture that is not of the line."""


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
    unmet: tuple[str, ...]
    incumbent: Incumbent | None


class GateRunner:
    """One gate for one candidate; every call to its slot is bounded by what is left of the time."""

    def __init__(
        self,
        settings: GateSettings,
        line: Line,
        crossing: Crossing,
        free_memory: Callable[[], dict[str, int]],
    ) -> None:
        self._settings = settings
        self._line = line
        self._crossing = crossing
        self._gaps = Gaps(crossing)
        self._album = Album()
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
        timing, recent = self._interleaved(candidate, deadline_at)
        return Evidence(
            self._compatibility(candidate),
            warm_ups,
            golden,
            recent,
            timing,
            self._memory(candidate),
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
            candidate.unmet,
        )

    def _golden(self, candidate: Candidate, deadline_at: float) -> tuple[Golden, ...]:
        verified = candidate.verified
        results = []
        for image, path in zip(verified.manifest.golden, verified.golden, strict=True):
            usual = self._usual(candidate, image, path)
            if usual is None:
                candidate = replace(candidate, incumbent=None)
            found = _in_time(deadline_at, partial(candidate.slot.infer_file, path)).detections
            self._album.keep(verified.manifest, image, found)
            results.append(Golden(image.expectation, found, usual))
        if candidate.incumbent is not None:
            return tuple(results)
        # The active model is lost or hangs: compare nothing, not a part. It is being left anyway.
        return tuple(Golden(golden.expectation, golden.candidate) for golden in results)

    def _usual(self, candidate: Candidate, image: GoldenImage, path: Path) -> Found | None:
        """What the incumbent sees, asked where that is not known; returns where a gap begins."""
        incumbent = candidate.incumbent
        known = self._album.recall(incumbent.manifest, image) if incumbent else None
        asked = incumbent if known is None else None
        answer = self._ask(asked, partial(_look_at_file, path))
        if asked is None or answer is None:
            self._gaps.begin(candidate.slot)
            return known
        self._album.keep(asked.manifest, image, answer.detections)
        return answer.detections

    def _ask(
        self, incumbent: Incumbent | None, look: Callable[[Slot], Inference]
    ) -> Inference | None:
        """The active model's answer between two frames; None: there is none."""
        return self._gaps.ask(incumbent.manifest.ref, look) if incumbent else None

    def _interleaved(
        self, candidate: Candidate, deadline_at: float
    ) -> tuple[Timing, Recent | None]:
        """Both models on the same frames, in turns."""
        candidate.slot.promote()  # measured under the priority that it will have
        manifest, incumbent = candidate.verified.manifest, candidate.incumbent
        limits = manifest.limits.no_looser_than(self._settings.latency_ratio)
        new_ms: list[float] = []
        old_ms: list[float] = []
        recent = Recent(0, 0)
        asked, patience_s = incumbent, self._patience_s(candidate.slot)
        with self._line.sampler() as samples:
            for number in range(1, LOOKS * TIMED_FRAMES + 1):
                sample = samples.next(patience_s)
                seen = _in_time(deadline_at, partial(candidate.slot.infer, sample.frame))
                new_ms.append(seen.inference_ms)
                judged = incumbent.judged(sample) if incumbent else None
                if incumbent and judged:
                    old_ms.append(judged.inference_ms)
                    recipes = (manifest.recipe, incumbent.manifest.recipe)
                    recent = _and_in(recent, seen.detections, judged, recipes)
                elif (other := self._ask(asked, partial(_look_at_frame, sample.frame))) is not None:
                    old_ms.append(other.inference_ms)
                else:
                    asked = None  # it is lost, or hangs
                if sample.judged is None:
                    patience_s = 0.0  # the line is silent, or waits for this very model
                timing = Timing(tuple(new_ms), tuple(old_ms) if incumbent else None)
                if number % TIMED_FRAMES == 0 and not is_doubtful(timing, limits):
                    break
        return timing, recent if recent.frames else None

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


def _and_in(
    recent: Recent,
    detections: tuple[Detection, ...],
    judged: Judged,
    recipes: tuple[Recipe, Recipe],
) -> Recent:
    """With one frame more, that both models saw; the recipes are the new and the usual one."""
    new, usual = recipes
    return Recent(
        recent.frames + 1,
        recent.agreeing + (judge(detections, new) is judged.verdict),
        recent.candidate.and_in(detections, new),
        recent.incumbent.and_in(judged.detections, usual),
    )


def _look_at_file(path: Path, slot: Slot) -> Inference:
    return slot.infer_file(path, ERRAND_TIMEOUT_S)


def _look_at_frame(frame: FrameAddress, slot: Slot) -> Inference:
    return slot.infer(frame, ERRAND_TIMEOUT_S)


def _in_time(deadline_at: float, infer: Callable[[float], Inference]) -> Inference:
    """One inference in what is left of the time; a model that hangs is ended there."""
    left_s = deadline_at - time.monotonic()
    if left_s <= 0:
        raise _late()
    try:
        return infer(left_s)
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
