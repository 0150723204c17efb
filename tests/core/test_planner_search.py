"""The planner's state space, searched exhaustively: every interleaving of requests, orders, late
answers, failures, losses, trials and restarts in a small world, with the invariants at each step.
"""

from __future__ import annotations

import pytest

from edge_daemon.core.rollout.values import Mode
from tests.sim.planner_search import LOOKS_BACK, PLAN, explore
from tests.sim.planner_world import B1, B2


@pytest.mark.parametrize(("slots", "asks", "faults"), [(1, 2, 1), (2, 2, 1), (3, 2, 1)])
def test_no_interleaving_breaks_an_invariant(slots: int, asks: int, faults: int) -> None:
    """Every reachable state of the small world keeps every invariant, and recovers by itself."""
    assert len(explore(slots, asks, faults)) > 1000


@pytest.mark.parametrize(("slots", "asks", "faults"), [(2, 1, 1), (3, 1, 1), (2, 2, 0)])
def test_no_interleaving_breaks_a_rollout(slots: int, asks: int, faults: int) -> None:
    """A share is never wider than its stage's, a stage has its evidence, a stop waits for nothing.

    The world begins with a rollout, so that whatever is asked comes while one runs.
    """
    found = explore(slots, asks, faults, PLAN)
    assert len(found) > 100
    modes = {state.split.mode for state in found if state.split is not None}
    assert modes == {Mode.SHADOW, Mode.SHARE}
    assert any(state.durable.active == B2 for state in found), "no candidate became active"


@pytest.mark.parametrize("on_alarm", ["ask", "rollback"])
@pytest.mark.parametrize(("slots", "asks", "faults"), [(2, 1, 1), (3, 0, 2)])
def test_no_interleaving_breaks_a_look_back(
    slots: int, asks: int, faults: int, on_alarm: str
) -> None:
    """The version before never gives a verdict, is never quarantined for a fault of its own, and
    the new one is left for it only where the plan says so.
    """
    found = explore(slots, asks, faults, LOOKS_BACK[on_alarm])
    back = [s for s in found if s.durable.rollout is not None and s.durable.rollout.is_back]
    assert {s.split.share for s in back if s.split is not None} == {0.0}
    if on_alarm == "ask":
        assert any(s.durable.rollout.is_alarmed for s in back if s.durable.rollout)
    left = [s for s in found if s.quarantine_reason(B2.ref) == "worse" and s.left == B2]
    assert any(s.active_bundle == B1 for s in left) is (on_alarm == "rollback")
