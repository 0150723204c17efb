"""Recent frames: how candidate and active model judged the same pictures of this camera.

Always reported; a bundle may set limits. Nothing here is the truth, only a difference: a better
model judges some parts differently, and so does a worse one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edge_daemon.core.values import Check, Detection, Recipe
from edge_daemon.core.wording import shown


@dataclass(frozen=True)
class Sightings:
    """What one model found on all the frames together, above its recipe's confidence."""

    detections: int = 0
    confidence_sum: float = 0.0

    def and_in(self, detections: Iterable[Detection], recipe: Recipe) -> Sightings:
        """The sums with one more frame."""
        sure = [each.confidence for each in detections if not each.confidence < recipe.confidence]
        return Sightings(self.detections + len(sure), self.confidence_sum + sum(sure))

    @property
    def confidence(self) -> float | None:
        """The mean; None if nothing was found."""
        return self.confidence_sum / self.detections if self.detections else None


@dataclass(frozen=True)
class Recent:
    """Verdicts and findings of candidate and incumbent on the same recent frames."""

    frames: int
    agreeing: int
    candidate: Sightings = Sightings()
    incumbent: Sightings = Sightings()


@dataclass(frozen=True)
class RecentLimits:
    """None reports and limits nothing.

    `min_agreement`: share of frames with the same verdict, 0..1. `max_count_drift`: difference in
    detections a frame. `max_confidence_shift`: difference of mean confidences, 0..1.
    """

    min_agreement: float | None = None
    max_count_drift: float | None = None
    max_confidence_shift: float | None = None


def compare(
    recent: Recent | None, limits: RecentLimits, *, has_active: bool = False
) -> tuple[Check, ...]:
    """Agreement, drift of the count, shift of the confidence; without frames only what is asked.

    `has_active`: a version of the same name judges, so that what is asked could be compared.
    """
    if recent is None or recent.frames <= 0:
        return _nothing(limits, has_active)
    share = recent.agreeing / recent.frames
    checks = [
        Check(
            "recent.agreement",
            limits.min_agreement is None or share >= limits.min_agreement,
            shown(share),
            limits.min_agreement,
            f"{recent.agreeing} of {recent.frames} recent frames were judged alike",
        )
    ]
    new, old = recent.candidate, recent.incumbent
    counts = f"{new.detections} against {old.detections} detections on {recent.frames} frames"
    drift = abs(new.detections - old.detections) / recent.frames
    checks.append(_at_most("recent.count_drift", drift, limits.max_count_drift, counts))
    if new.confidence is not None and old.confidence is not None:
        note = f"mean confidence {new.confidence:.3g} against {old.confidence:.3g}"
        shift = abs(new.confidence - old.confidence)
        checks.append(_at_most("recent.confidence_shift", shift, limits.max_confidence_shift, note))
    return tuple(checks)


def _nothing(limits: RecentLimits, has_active: bool) -> tuple[Check, ...]:
    note = "no recent frames to compare on; nothing was compared"
    if has_active:
        note += ", and the bundle asks for it"
    asked = (
        ("recent.agreement", limits.min_agreement),
        ("recent.count_drift", limits.max_count_drift),
        ("recent.confidence_shift", limits.max_confidence_shift),
    )
    return tuple(
        Check(name, not has_active, None, limit, note) for name, limit in asked if limit is not None
    )


def _at_most(name: str, measured: float, limit: float | None, note: str) -> Check:
    # A measure that is not a number passes no comparison.
    return Check(name, limit is None or measured <= limit, shown(measured), limit, note)
