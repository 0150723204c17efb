"""A work order of the MES, as it was understood."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from edge_daemon.core.values import Instant


class OrderState(str, Enum):
    """A MES's own words are mapped to these three; others are recorded and change nothing."""

    DISPATCHED = "dispatched"
    RUNNING = "running"
    COMPLETED = "completed"


@dataclass(frozen=True)
class JobOrder:
    """One work order as understood: `state` is None for a word that is not mapped.

    `product` is None where nobody told it: of a completed one, of work that makes nothing, and
    of one that runs all the same.
    """

    product: str | None
    state: OrderState | None
    arrived: Instant
    id: str | None = None
    word: str = ""
