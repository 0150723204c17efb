"""The verdict of a frame, with all that stands behind it."""

from __future__ import annotations

from dataclasses import dataclass

from edge_daemon.core.rollout.values import Assigned, Opinion
from edge_daemon.core.values import (
    Assignment,
    BundleRef,
    Detection,
    Reason,
    Recipe,
    Size,
    Verdict,
)


@dataclass(frozen=True)
class Judged:
    """The one verdict of one captured frame: what is published, counted and proved."""

    frame: int
    captured_utc: float
    captured_at: float
    assignment: Assignment
    verdict: Verdict
    reason: Reason | None = None
    model: BundleRef | None = None
    sha256: str | None = None
    detections: tuple[Detection, ...] = ()
    queue_ms: float = 0.0
    inference_ms: float = 0.0
    causes: tuple[str, ...] = ()  # the rules that it breaks, in the recipe's order
    part_in_view: bool = False  # the recipe's part, or something that no rule forbids
    recipe: Recipe | None = None  # that judged, with its tuning
    size: Size | None = None  # of the picture that a model judged
    assigned: Assigned | None = None  # whose verdict it is, while a candidate is tried
    shadow: Opinion | None = None  # what the other model says, where it was asked
    faint: tuple[Detection, ...] = ()  # found with less confidence than the recipe ever asks for
    is_stamped: bool = False  # `captured_at` is the driver's stamp, not when the frame was read
