"""What of a picture is never written to the disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_daemon.core.values import Box

Polygon = Sequence["tuple[float, float]"]


@dataclass(frozen=True)
class PrivacyMask:
    """Shares of the frame's width and height.

    `crop`: the rectangle that is kept. `zones`: polygons that are blackened. `classes`: whose boxes
    are blackened, whoever found them and however unsure; the boxes grow by a tenth on each side.
    """

    crop: Box | None = None
    zones: Sequence[Polygon] = ()
    classes: frozenset[str] = frozenset()
