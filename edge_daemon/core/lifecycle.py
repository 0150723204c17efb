"""What a slot and an operation go through, as two tables. Whatever is not listed is illegal.

Phase says what a slot holds, stage how far an operation is; which slot judges frames (role) and
whether a bundle is good (health) are kept elsewhere and never mixed in here.
"""

from __future__ import annotations

from enum import Enum


class Phase(str, Enum):
    """What a slot holds at this moment."""

    EMPTY = "empty"
    PREPARING = "preparing"  # verify, load, warm, gate
    READY = "ready"  # proven in this boot, by the gate or by a spot proof: may be made active
    LOST = "lost"  # it was READY; its worker is gone
    RESTORING = "restoring"  # the same bundle is loaded again after a loss
    DRAINING = "draining"  # being freed


class Move(str, Enum):
    """What happened to a slot."""

    PREPARE = "prepare"
    PROVEN = "proven"
    REFUSED = "refused"
    CANCEL = "cancel"
    FREE = "free"
    FREED = "freed"
    LOST = "lost"
    RESTORE = "restore"


LIFECYCLE: dict[tuple[Phase, Move], Phase] = {
    (Phase.EMPTY, Move.PREPARE): Phase.PREPARING,
    (Phase.PREPARING, Move.PROVEN): Phase.READY,
    (Phase.PREPARING, Move.REFUSED): Phase.EMPTY,
    (Phase.PREPARING, Move.CANCEL): Phase.DRAINING,
    (Phase.READY, Move.LOST): Phase.LOST,
    (Phase.READY, Move.FREE): Phase.DRAINING,
    (Phase.LOST, Move.RESTORE): Phase.RESTORING,
    (Phase.LOST, Move.FREE): Phase.DRAINING,
    (Phase.RESTORING, Move.PROVEN): Phase.READY,
    (Phase.RESTORING, Move.REFUSED): Phase.LOST,
    (Phase.RESTORING, Move.CANCEL): Phase.DRAINING,
    (Phase.DRAINING, Move.FREED): Phase.EMPTY,
}

BUSY = frozenset({Phase.PREPARING, Phase.RESTORING, Phase.DRAINING})
"""Phases in which a job with a token is at work on the slot."""


class Stage(str, Enum):
    """How far an operation is, and so where the planner keeps it."""

    NEW = "new"  # nowhere yet
    QUEUED = "queued"  # asked, waits for the one in hand to end
    PARKED = "parked"  # proven, waits for its time or its order
    PREPARING = "preparing"  # in hand from here on: until its bundle is READY in a slot
    VERIFYING = "verifying"  # checked on disk before anything is freed for it
    VACATING = "vacating"  # one slot: the lane is asked to let the active bundle go
    CUTTING = "cutting"  # the lane is asked to cross
    WITHDRAWING = "withdrawing"  # the lane is asked to forget it
    ENDED = "ended"  # nowhere any more


class Step(str, Enum):
    """What happened to an operation."""

    BEGIN = "begin"
    QUEUE = "queue"
    PARK = "park"
    VERIFY = "verify"
    VERIFIED = "verified"
    VACATE = "vacate"
    VACATED = "vacated"
    CUT = "cut"
    WITHDRAW = "withdraw"
    CROSSED = "crossed"
    WITHDRAWN = "withdrawn"
    HAND_OVER = "hand_over"  # the lane's answer is left to a newer operation
    TAKE_OVER = "take_over"
    END = "end"


OPERATIONS: dict[tuple[Stage, Step], Stage] = {
    (Stage.NEW, Step.BEGIN): Stage.PREPARING,
    (Stage.NEW, Step.QUEUE): Stage.QUEUED,
    (Stage.NEW, Step.TAKE_OVER): Stage.VACATING,
    (Stage.QUEUED, Step.BEGIN): Stage.PREPARING,
    (Stage.QUEUED, Step.END): Stage.ENDED,
    (Stage.PARKED, Step.BEGIN): Stage.PREPARING,
    (Stage.PARKED, Step.QUEUE): Stage.QUEUED,
    (Stage.PARKED, Step.END): Stage.ENDED,
    (Stage.PREPARING, Step.QUEUE): Stage.QUEUED,
    (Stage.PREPARING, Step.PARK): Stage.PARKED,
    (Stage.PREPARING, Step.VERIFY): Stage.VERIFYING,
    (Stage.PREPARING, Step.VACATE): Stage.VACATING,
    (Stage.PREPARING, Step.CUT): Stage.CUTTING,
    (Stage.PREPARING, Step.END): Stage.ENDED,
    (Stage.VERIFYING, Step.VERIFIED): Stage.PREPARING,
    (Stage.VERIFYING, Step.QUEUE): Stage.QUEUED,
    (Stage.VERIFYING, Step.END): Stage.ENDED,
    (Stage.VACATING, Step.VACATED): Stage.PREPARING,
    (Stage.VACATING, Step.HAND_OVER): Stage.ENDED,
    (Stage.CUTTING, Step.WITHDRAW): Stage.WITHDRAWING,
    (Stage.CUTTING, Step.CROSSED): Stage.ENDED,
    (Stage.WITHDRAWING, Step.CROSSED): Stage.ENDED,
    (Stage.WITHDRAWING, Step.WITHDRAWN): Stage.ENDED,
}

WITH_LANE = frozenset({Stage.VACATING, Stage.CUTTING, Stage.WITHDRAWING})
"""Stages in which the lane was asked: only its report ends them."""
