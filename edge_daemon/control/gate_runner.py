"""Collects what the gate judges: warm-up, golden images, recent frames, latency, memory.

The candidate is measured in its own slot, on frames of this camera as they come in, in turns with
the active model: whatever it infers begins right after a live verdict, in the time that the frame
budget leaves. The active model sees golden images between two frames, and so it does the camera's
picture where the line gives no frame that it judges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from edge_daemon.config import GateSettings
from edge_daemon.control.comparison import LOOKS, SPOT_FRAMES, TIMED_FRAMES, Comparison
from edge_daemon.control.golden_looks import (
    NOT_SEEN,
    Candidate,
    Deadline,
    Detected,
    GoldenCache,
    GoldenLooks,
    ask,
)
from edge_daemon.control.idle_time import IdleTime
from edge_daemon.core.compatibility import Compatibility
from edge_daemon.core.gate import Evidence, Memory, WarmUp
from edge_daemon.core.golden import Golden
from edge_daemon.core.proof import Proof, difference, spot_check, spots
from edge_daemon.core.recent import RecentLimits
from edge_daemon.core.values import Check
from edge_daemon.core.verdicts import Picture, needs_a_part
from edge_daemon.host.memory import FrameAddress, FrameMemory, FrameShape, Pixels
from edge_daemon.models.manifest import Manifest
from edge_daemon.models.picture_size import picture_size
from edge_daemon.slots.active import ActiveSlot
from edge_daemon.slots.frame_control import FrameControl, Sample
from edge_daemon.slots.slot import Slot

WARM_UPS = 2
"""The least for the whole gate: the first one is the slow one, and must not be the only one."""

SPOT_WARM_UPS = 1
"""The golden images of the spot proof are inferences too."""

INFERENCES_A_GAP = 2
"""A live frame and a golden image are seen in one gap where it has room for both."""

SAMPLE_TIMEOUT_S = 0.5
"""Longer than this without a frame, and the camera counts as silent for the gate."""


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
        self._active_slot = active_slot
        self._gaps = IdleTime(active_slot)
        self._golden_cache = GoldenCache()
        self._free_memory = free_memory

    def warm(self, slot: Slot, inferences: int, deadline: Deadline) -> tuple[WarmUp, ...]:
        """The first inferences, on a frame of this camera; an error refuses the bundle.

        At least two of them, unless the line gives no frame that it judges: its pace is not needed
        then, and frames may be waiting for this very model.
        """
        results = []
        with self._line.sampler() as samples:
            sample = samples.next(self._patience_s(slot))
            fewest = 1 if sample.judged is None else 2
            for number in range(max(fewest, inferences)):
                # Two frames of the line tell its pace; where it is silent one frame is enough.
                if number == 1 and sample.judged is not None:
                    sample = samples.next(self._patience_s(slot))
                self._begin(slot, sample if number < 2 else None)
                height, width = sample.frame.pixels.shape[:2]
                seen = deadline.run(partial(slot.infer, sample.frame))
                self._gaps.ended(slot)
                results.append(WarmUp(width, height, seen.detections, seen.finite))
        return tuple(results)

    def wake(self, slot: Slot, deadline: Deadline) -> None:
        """The first inference alone, the slow one, of what was proven before; a frame waits."""
        with self._line.sampler() as samples:
            sample = samples.next(self._patience_s(slot))
            deadline.run(partial(slot.infer, sample.frame))

    def _begin(self, slot: Slot, sample: Sample | None) -> None:
        """Return when a gap begins: the one right after the verdict on this sample."""
        if sample is None or sample.judged is None:
            self._gaps.begin(slot)
            return
        self._gaps.learn(sample.judged)
        self._gaps.began(slot)

    def evidence(
        self, candidate: Candidate, warm_ups: tuple[WarmUp, ...], deadline: Deadline
    ) -> Evidence:
        """Everything that the gate judges, measured now."""
        looks = self.looks(candidate, deadline)
        seen = self.beside(candidate, deadline, looks)
        golden = looks.rest()
        nothing = self._pictures_of_nothing(candidate, warm_ups, deadline)
        return self._gathered(candidate, warm_ups, golden, nothing, seen)

    def spot(
        self,
        candidate: Candidate,
        warm_ups: tuple[WarmUp, ...],
        proof: Proof,
        start: int,
        deadline: Deadline,
    ) -> tuple[Check, Evidence | None]:
        """Check some golden images against the record, then return the evidence.

        The record stands for the other images. What depends on the version before is measured now,
        on recent frames and on these images. `start`: the index of the first image.
        """
        chosen = _spots(candidate, start)
        others = {n: found for n, found in enumerate(proof.golden) if n not in chosen}
        looks = self.looks(candidate, deadline, others)
        seen = None
        if candidate.incumbent:
            look = TIMED_FRAMES if _asks_for_frames(candidate) else SPOT_FRAMES
            seen = self.beside(candidate, deadline, looks, look)
        golden = looks.rest()
        check = _compared(candidate.verified.manifest, golden, proof, len(chosen))
        if not check.passed:
            return check, None
        if seen is None:
            candidate.slot.promote()
        nothing = proof.nothing
        if any(picture.size != warm_ups[0].size for picture in nothing):
            nothing = self._pictures_of_nothing(candidate, warm_ups, deadline)
        return check, self._gathered(candidate, warm_ups, golden, nothing, seen)

    def _gathered(
        self,
        candidate: Candidate,
        warm_ups: tuple[WarmUp, ...],
        golden: tuple[Golden, ...],
        nothing: tuple[Picture, ...],
        seen: Comparison | None,
    ) -> Evidence:
        return Evidence(
            compatibility=self._compatibility(candidate),
            warm_ups=warm_ups,
            recipe=candidate.verified.manifest.recipe,
            reference=candidate.reference,
            nothing=nothing,
            golden=golden,
            recent=seen.recent if seen and seen.recent.frames else None,
            missed=seen.missed if seen and candidate.incumbent else None,
            timing=seen.timing if seen else None,
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

    def looks(
        self, candidate: Candidate, deadline: Deadline, on_record: Mapping[int, Detected] = NOT_SEEN
    ) -> GoldenLooks:
        """What both models will see on the golden images."""
        return GoldenLooks(self._gaps, self._golden_cache, candidate, deadline, on_record)

    def beside(
        self, candidate: Candidate, deadline: Deadline, looks: GoldenLooks, look: int = TIMED_FRAMES
    ) -> Comparison:
        """Both models on the same frames in turns; on more frames where the result is in doubt.

        Golden images are looked at in what a frame leaves of a gap that has room for both. Where
        none has, they come first, under the lower priority.
        """
        if not self._gaps.fits(candidate.slot, INFERENCES_A_GAP):
            looks.rest()
        candidate.slot.promote()  # measured under the priority that it will have
        manifest, incumbent = candidate.verified.manifest, candidate.incumbent
        limits = manifest.limits.no_looser_than(self._settings.latency_ratio)
        seen = Comparison(manifest.recipe, incumbent, candidate.reference)
        asked, patience_s = incumbent, self._patience_s(candidate.slot)
        with self._line.sampler() as samples:
            for number in range(1, LOOKS * TIMED_FRAMES + 1):
                sample = samples.next(patience_s)
                if sample.judged is not None:
                    self._begin(candidate.slot, sample)
                found = deadline.run(partial(candidate.slot.infer, sample.frame))
                judged = incumbent.judged(sample) if incumbent else None
                seen.note(found, judged, sample.frame.size)
                if judged is None:
                    other = ask(self._gaps, asked, sample.frame)
                    if other is None:
                        asked = None  # it is lost, or hangs
                    else:
                        seen.usual_ms.append(other.inference_ms)
                if sample.judged is None:
                    patience_s = 0.0  # the line is silent, or waits for this very model
                elif self._gaps.has_room(candidate.slot):
                    looks.one()
                if number >= look and seen.is_enough(number, limits, look):
                    break
        return seen

    def _pictures_of_nothing(
        self, candidate: Candidate, warm_ups: tuple[WarmUp, ...], deadline: Deadline
    ) -> tuple[Picture, ...]:
        """What the candidate finds in pictures without a part, if its recipe requires something."""
        if not needs_a_part(candidate.verified.manifest.recipe) or not warm_ups:
            return ()
        memory = FrameMemory.allocate(FrameShape(warm_ups[0].height, warm_ups[0].width), 1)
        found = []
        try:
            for name, pixels in _nothing(memory.pixels(0).shape):
                memory.pixels(0)[:] = pixels
                self._gaps.begin(candidate.slot)
                look = partial(candidate.slot.infer, FrameAddress(memory, 0))
                found.append(Picture(name, deadline.run(look).detections, memory.shape.size))
        finally:
            memory.close()
        return tuple(found)

    def _patience_s(self, slot: Slot) -> float:
        """How long to wait for the next judged frame; none comes while no other slot judges."""
        judging = self._active_slot.pointer.slot
        return SAMPLE_TIMEOUT_S if judging is not None and judging is not slot else 0.0

    def _memory(self, candidate: Candidate) -> tuple[Memory, ...]:
        headroom = self._settings.memory_headroom_mb << 20
        used = {"host": candidate.slot.memory_bytes(), "gpu": candidate.loaded.gpu_bytes}
        return tuple(
            Memory(kind, used.get(kind, 0), free, headroom)
            for kind, free in self._free_memory().items()
        )


def _spots(candidate: Candidate, start: int) -> tuple[int, ...]:
    """The golden images that a spot proof looks at again, by their places."""
    manifest, paths = candidate.verified.manifest, candidate.verified.golden
    pictures = [
        (image.expectation, picture_size(path))
        for image, path in zip(manifest.golden, paths, strict=True)
    ]
    return spots(pictures, manifest.recipe, start % max(1, len(pictures)))


def _compared(manifest: Manifest, golden: Sequence[Golden], proof: Proof, chosen: int) -> Check:
    """Whether the candidate sees what is on record; it looked at `chosen` images again."""
    differences = []
    for image, seen, recorded in zip(manifest.golden, golden, proof.golden, strict=True):
        why = difference(recorded, seen.candidate, manifest.recipe, seen.size)
        if why:
            differences.append((image.image, why))
    return spot_check(differences, chosen, len(golden))


def _asks_for_frames(candidate: Candidate) -> bool:
    """Whether the bundle sets limits for recent frames: then as many as possible are taken."""
    limits = candidate.verified.manifest.limits
    return limits.recent != RecentLimits() or "max_missed" in limits.verdicts.asked


def _nothing(shape: tuple[int, ...]) -> Iterator[tuple[str, Pixels]]:
    """Pictures without a part: black, white, and noise, always the same."""
    yield "black", np.zeros(shape, np.uint8)
    yield "white", np.full(shape, 255, np.uint8)
    yield "noise", np.random.default_rng(0).integers(0, 256, shape, np.uint8)
