"""Which arm a part belongs to: a number that anybody can compute again, and nothing else.

A larger share keeps every part that a smaller one had.
"""

from __future__ import annotations

import hashlib

from edge_daemon.core.rollout.values import Arm, Assigned, Mode, Split, UnitKind
from edge_daemon.core.values import Assignment

LATER_BITS = 2.0**20
"""A unit's number times this, without what is whole, is another number in [0, 1): whether the
candidate looks at the unit besides. The bits before it give the arm, so that neither tells of the
other."""


def draw(rollout: str, boot: str, part: str | int) -> float:
    """The part's number in [0, 1): the first 8 bytes of SHA-256 of `rollout:boot:part`."""
    digest = hashlib.sha256(f"{rollout}:{boot}:{part}".encode()).digest()
    number = int.from_bytes(digest[:8], "big") / 2.0**64
    return min(number, 1.0 - 2.0**-53)  # the largest ones would round up to 1


def assign(rollout: str, boot: str, part: str | int, share: float) -> Assigned:
    """The arm of one part: `part` is its id where it has one, else its number."""
    drawn = draw(rollout, boot, part)
    arm = Arm.CANDIDATE if drawn < share else Arm.INCUMBENT
    return Assigned(rollout, arm, share, drawn, str(part))


def assign_by(split: Split, boot: str, made: Assignment, unit: str | int) -> Assigned:
    """The arm of a unit by what the line does with a candidate: outside of a share it has none.

    `made`: what the line is making; by order that is what is drawn, whatever the unit.
    """
    if split.unit is UnitKind.ORDER:
        unit = made.job_order or str(made.epoch)
    return assign(split.rollout, boot, unit, split.share if split.mode is Mode.SHARE else 0.0)
