"""Runs the candidate and the active model in turns on the same live frames."""

from __future__ import annotations

from dataclasses import dataclass

from edge_daemon.core.gate import Limits, Timing, is_doubtful
from edge_daemon.core.judged import Judged
from edge_daemon.core.recent import Recent
from edge_daemon.core.recipe import broken_rules, judge
from edge_daemon.core.values import Recipe, Size, Verdict
from edge_daemon.core.verdicts import MIN_REJECTED, Missed, Reference
from edge_daemon.models.bundle import Manifest
from edge_daemon.slots.frame_control import Sample
from edge_daemon.slots.slot import Inference

TIMED_FRAMES = 20
"""Frames on which candidate and incumbent are compared: two thirds of a second at 30 fps."""

SPOT_FRAMES = 5
"""The same for a bundle that was proven before, unless its limits ask for recent frames."""

LOOKS = 3
"""How often the measurement is repeated before a slightly slow candidate is refused."""


@dataclass(frozen=True)
class Incumbent:
    """The active bundle, where it is another version of the same name."""

    manifest: Manifest

    def judged(self, sample: Sample) -> Judged | None:
        """What it found on the frame; None if it has no verdict, or that of another model."""
        judged = sample.judged
        if judged is None or judged.model != self.manifest.ref:
            return None
        return None if judged.verdict is Verdict.UNINSPECTED else judged


class Comparison:
    """What both models found on the same live frames."""

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
        """One more frame; `judged` by the active version of the same name, or None."""
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

    def is_enough(self, frames: int, limits: Limits, look: int) -> bool:
        """Whether more frames would add nothing.

        Latency is measured longer when in doubt; a line with many defects shows enough of them
        soon.
        """
        if frames % look == 0 and is_doubtful(self.timing, limits):
            return False
        rejected = self.missed.rejected
        more_soon = rejected < MIN_REJECTED and rejected * LOOKS >= frames
        return not more_soon and (frames % look == 0 or rejected >= MIN_REJECTED)
