"""How much of what the line saw the candidate saw too, for the rollout's evaluator."""

from __future__ import annotations

from edge_daemon.control.rollout_tools import Shadowed
from edge_daemon.core.rollout.plan import OVERALL
from edge_daemon.frames.shadow import Shadow


def shadowed(shadow: Shadow) -> Shadowed:
    """As it stands; any thread."""
    tally = shadow.tally
    coverage = tally.coverage
    whole, slices = coverage.whole, dict(coverage.slices)  # its thread adds names meanwhile
    lost = {name: each.units - each.pairs for name, each in slices.items()}
    lost[OVERALL] = whole.units - whole.pairs + tally.missed
    frames = (tally.compared, tally.skipped, tally.failed)
    return Shadowed(tally.rollout, lost, *frames, dict(coverage.arms), coverage.misassigned)
