"""Does a picture show a part though no model finds one? By the contrast that parts bring.

It is learned from the line: the contrast of pictures with a part, and of those without.
"""

from __future__ import annotations

_LEAST = 20
"""Pictures of each kind, before anything is said."""
_FORGETS = 0.02
"""Weight of the newest picture: light changes through a day."""
_CLEARLY = 1.2
"""Parts must bring this much more contrast, or it tells nothing."""


class Bare:
    """Two running means. Not for two threads at a time."""

    def __init__(self) -> None:
        self._mean = {True: 0.0, False: 0.0}  # whether a part was found
        self._count = {True: 0, False: 0}

    def note(self, contrast: float, *, has_part: bool) -> None:
        """One picture, and whether a model found something in it."""
        count = self._count[has_part] = self._count[has_part] + 1
        weight = max(_FORGETS, 1.0 / count)
        self._mean[has_part] += weight * (contrast - self._mean[has_part])

    def is_part_likely(self, contrast: float) -> bool:
        """Whether a picture of this contrast is more like those with a part."""
        full, bare = self._mean[True], self._mean[False]
        if min(self._count.values()) < _LEAST or full < _CLEARLY * bare:
            return False
        return contrast > (full + bare) / 2
