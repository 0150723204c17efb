"""How many units were drawn for each arm of a split."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_daemon.core.rollout.values import Arm, Assigned


@dataclass(eq=False)
class ArmCounts:
    """Units without a pair count too: the candidate sees all of its own, and of the others some."""

    arms: dict[float, tuple[int, int]] = field(default_factory=dict)
    """By declared share: draws, and those of them that went to the candidate."""
    misassigned: int = 0
    """Draws that did not give the arm that they had to."""
    last_draw: float | None = None

    def assign(self, assigned: Assigned) -> None:
        """One unit that is over; units of one order or span have one draw between them."""
        if assigned.draw == self.last_draw:
            return
        self.last_draw = assigned.draw
        is_candidate = assigned.arm is Arm.CANDIDATE
        self.count_arms(assigned.share, 1, is_candidate)
        self.misassigned += is_candidate != (assigned.draw < assigned.share)

    def count_arms(self, share: float, units: int, candidates: int) -> None:
        """So many units more were drawn by this share, and so many of them for the candidate."""
        before = self.arms.get(share, (0, 0))
        self.arms[share] = (before[0] + units, before[1] + candidates)
