"""What the rollout's recorder and evaluator act on, as the composition root passes it in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from edge_daemon.control.arrivals import Arrival
from edge_daemon.control.block_scheduler import BlockScheduler
from edge_daemon.host.clock import Clock
from edge_daemon.host.journal import Journal
from edge_daemon.host.metrics import Metrics
from edge_daemon.slots.frame_control import ShadowTally
from edge_daemon.slots.turns import Turns


@dataclass(frozen=True)
class PairRetention:
    """How much is kept of pairs."""

    most: int = 100_000
    days: float = 90.0


@dataclass(frozen=True)
class EvaluatorTools:
    """What recorder and evaluator act on. `captured`: frames so far; `say`: publishes
    `rollout/state`; `audit`: share of the passed parts that a person is to look at.
    """

    journal: Journal
    put: Callable[[Arrival], None]
    say: Callable[[bytes], None]
    captured: Callable[[], int]
    metrics: Metrics
    clock: Clock
    keep: PairRetention = PairRetention()
    shadowed: Callable[[], ShadowTally] = ShadowTally
    blocks: BlockScheduler = field(default_factory=lambda: BlockScheduler(Turns()))
    audit: float = 0.0
