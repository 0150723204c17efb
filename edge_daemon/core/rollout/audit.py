"""Which passed parts a person looks at all the same: by a number that anybody can compute again.

What a model misses is only found among the parts that it passed. A random sample of known share
says how many there are.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_daemon.core.rollout.draw import draw
from edge_daemon.core.values import Verdict

UNIT = "audit"
"""Stands where a rollout's id stands in `draw`."""


@dataclass(frozen=True)
class Sampled:
    """One part that was told while passed parts are audited."""

    share: float
    draw: float

    @property
    def is_drawn(self) -> bool:
        """Whether a person is to look at it."""
        return self.draw < self.share


def sampled(boot: str, part: int, verdict: Verdict, share: float) -> Sampled | None:
    """The draw of a part; None where nothing is audited, or the part was not passed."""
    if not share or verdict is not Verdict.OK:
        return None
    return Sampled(share, draw(UNIT, boot, part))
