"""Is a picture nearly the same as one that is kept already?

The whole picture says little on a fixed camera: all of them look alike, and what matters is small.
So two pictures are alike only if the models say the same of both, at the same places.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from edge_daemon.core.golden import iou
from edge_daemon.core.values import Box

REMEMBERED = 500  # pictures that a new one is compared with
SAME_PLACE = 0.7  # IoU from which two boxes lie at the same place


@dataclass(frozen=True)
class PictureDescriptor:
    """What a picture shows: its perceptual hash, what it is filed under, what was found where."""

    hash: int
    kind: tuple[str, ...]  # reason, product, verdict, …: what must be equal
    found: tuple[tuple[str, Box], ...]


def are_alike(a: PictureDescriptor, b: PictureDescriptor, bits: int) -> bool:
    """Whether they show the same at the same place, and their hashes differ in few `bits`."""
    if a.kind != b.kind or len(a.found) != len(b.found) or (a.hash ^ b.hash).bit_count() > bits:
        return False
    left = list(b.found)
    for label, box in a.found:
        twin = next(
            (each for each in left if each[0] == label and iou(each[1], box) >= SAME_PLACE), None
        )
        if twin is None:
            return False
        left.remove(twin)
    return True


class Recent:
    """The newest pictures, each with its name. Not for two threads at a time."""

    def __init__(self, bits: int | None) -> None:
        self._bits = -1 if bits is None else bits  # no two pictures are alike then
        self._looks: deque[tuple[str, PictureDescriptor]] = deque(maxlen=REMEMBERED)

    def like(self, look: PictureDescriptor) -> str | None:
        """The name of a picture that is nearly the same; None where there is none."""
        return next(
            (name for name, each in reversed(self._looks) if are_alike(look, each, self._bits)),
            None,
        )

    def add(self, name: str, look: PictureDescriptor) -> None:
        """A picture that is kept now."""
        self._looks.append((name, look))
