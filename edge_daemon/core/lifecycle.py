"""What a slot goes through, as one table. Whatever is not listed is illegal.

Phase says what a slot holds; which slot judges frames (role) and whether a bundle is good (health)
are kept elsewhere and never mixed in here.
"""

from __future__ import annotations

from enum import Enum


class Phase(str, Enum):
    """What a slot holds at this moment."""

    EMPTY = "empty"
    PREPARING = "preparing"  # verify, load, warm, gate
    READY = "ready"  # proven in this boot: may be made active
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
