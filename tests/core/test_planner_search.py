"""The planner's state space, searched exhaustively: every interleaving of requests, orders, late
answers, failures, losses, trials and restarts in a small world, with the invariants at each step.
"""

from __future__ import annotations

import pytest

from edge_daemon.core.rollout.values import Mode
from tests.sim.planner_search import explore
from tests.sim.planner_world import B2


@pytest.mark.parametrize(("slots", "asks", "faults"), [(1, 2, 1), (2, 2, 1), (3, 2, 1)])
def test_no_interleaving_breaks_an_invariant(slots: int, asks: int, faults: int) -> None:
    """Every reachable state of the small world keeps every invariant, and recovers by itself."""
    assert len(explore(slots, asks, faults)) > 1000


@pytest.mark.parametrize(("slots", "asks", "faults"), [(2, 1, 1), (3, 1, 1), (2, 2, 0)])
def test_no_interleaving_breaks_a_rollout(slots: int, asks: int, faults: int) -> None:
    """A share is never wider than its stage's, a stage has its evidence, a stop waits for nothing.

    The world begins with a rollout, so that whatever is asked comes while one runs.
    """
    found = explore(slots, asks, faults, rollouts=True)
    assert len(found) > 100
    modes = {state.split.mode for state in found if state.split is not None}
    assert modes == {Mode.SHADOW, Mode.SHARE}
    assert any(state.durable.active == B2 for state in found), "no candidate became active"
