"""The planner's state space, searched exhaustively: every interleaving of requests, orders, late
answers, failures, losses, trials and restarts in a small world, with the invariants at each step.
"""

from __future__ import annotations

import pytest

from tests.sim.planner_search import explore


@pytest.mark.parametrize(("slots", "asks", "faults"), [(1, 2, 1), (2, 2, 1), (3, 2, 1)])
def test_no_interleaving_breaks_an_invariant(slots: int, asks: int, faults: int) -> None:
    """Every reachable state of the small world keeps every invariant, and recovers by itself."""
    assert len(explore(slots, asks, faults)) > 1000
