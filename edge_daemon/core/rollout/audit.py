"""Which passed parts a person looks at all the same: by a number that anybody can compute again.

What a model misses is only found among the parts that it passed. A random sample of known share
says how many there are.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_daemon.core.rollout.draw import draw
from edge_daemon.core.rollout.values import Arm, Outcome, Pair, Plan, Truth
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


def is_asked(pair: Pair, plan: Plan, share: float) -> bool:
    """Whether a rollout asks what a part is that both models pass: where its truth is an audit.

    It is the draw of the station's own audit, so that one look serves both.
    """
    if Truth.AUDIT not in plan.truth or pair.outcome is not Outcome.NEITHER:
        return False
    is_candidates = pair.assigned.arm is Arm.CANDIDATE
    counts = pair.candidate if is_candidates else pair.incumbent
    found = sampled(pair.boot, pair.part, counts.verdict, share)
    return found is not None and found.is_drawn
