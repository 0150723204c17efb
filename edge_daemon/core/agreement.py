"""Do two engines of the same weights see the same? Compared box by box on the same images.

Two detections are partners when class and place agree. What only one of them sees is a difference,
unless its confidence is so close to the limit that rounding alone may decide it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_daemon.core.golden import iou
from edge_daemon.core.values import Detection

MIN_IOU = 0.9
MAX_DRIFT = 0.05


@dataclass(frozen=True)
class Agreement:
    """Sums over images; `worst_iou` and `worst_drift` (of confidence) are over all partners."""

    images: int = 0
    partners: int = 0
    differences: int = 0
    worst_iou: float = 1.0
    worst_drift: float = 0.0

    def __add__(self, other: Agreement) -> Agreement:
        return Agreement(
            self.images + other.images,
            self.partners + other.partners,
            self.differences + other.differences,
            min(self.worst_iou, other.worst_iou),
            max(self.worst_drift, other.worst_drift),
        )

    @property
    def is_proof(self) -> bool:
        """Whether something was seen and both agreed; seeing nothing proves nothing."""
        alike = self.worst_iou >= MIN_IOU and self.worst_drift <= MAX_DRIFT
        return self.partners > 0 and self.differences == 0 and alike


def agree(ours: Sequence[Detection], theirs: Sequence[Detection], confidence: float) -> Agreement:
    """Compare one image.

    `confidence` is the recipe's limit; detections below it are not reported by either. Each
    detection, the most confident first, takes the partner of its class that overlaps it most.
    """
    left = list(theirs)
    partners, worst_iou, worst_drift = 0, 1.0, 0.0
    alone: list[Detection] = []
    for mine in sorted(ours, key=lambda each: -each.confidence):
        near = [each for each in left if each.label == mine.label and iou(each.box, mine.box) > 0.5]
        if not near:
            alone.append(mine)
            continue
        partner = max(near, key=lambda each: iou(each.box, mine.box))
        left.remove(partner)
        partners += 1
        worst_iou = min(worst_iou, iou(partner.box, mine.box))
        worst_drift = max(worst_drift, abs(partner.confidence - mine.confidence))
    sure = [each for each in (*alone, *left) if each.confidence > confidence + MAX_DRIFT]
    return Agreement(1, partners, len(sure), worst_iou, worst_drift)
