"""Roles: one answer for each state, whoever asks."""

from __future__ import annotations

from collections import Counter

import pytest

from edge_daemon.core.lifecycle import Phase
from edge_daemon.core.roles import Role, role
from edge_daemon.core.state import State
from tests.sim.planner_search import PLAN, explore

WORLDS = pytest.mark.parametrize("slots", [1, 2, 3])


def roles(state: State) -> list[Role]:
    return [found for slot in state.slots if (found := role(state, slot)) is not None]


@WORLDS
def test_roles_are_given_out_once(slots: int) -> None:
    """One active slot exactly where the pointer names one, one previous slot at most."""
    for state in explore(slots, 2, 1):
        count = Counter(roles(state))
        assert count[Role.ACTIVE] == (state.active is not None), state
        assert count[Role.PREVIOUS] <= 1, state


@WORLDS
def test_prepared_is_checked_and_fresh(slots: int) -> None:
    """A slot at work is not prepared, nor is one that judged before; each other READY one is."""
    found = set()
    for state in explore(slots, 2, 1):
        for slot in state.slots:
            fresh = slot.name != state.active and slot.phase is Phase.READY and not slot.used
            assert (role(state, slot) is Role.PREPARED) == fresh, state
            found.add(fresh)
    assert found == {True, False}


@WORLDS
def test_previous_is_what_judged_last_before(slots: int) -> None:
    """While it is resident: of all slots that judged, the one that was left last."""
    found = 0
    for state in explore(slots, 2, 1):
        for slot in state.slots:
            if role(state, slot) is Role.PREVIOUS:
                found += 1
                rest = [s.used for s in state.slots if s.name not in (slot.name, state.active)]
                assert slot.phase is Phase.READY, state
                assert slot.used > max(rest, default=0), state
    assert found


def test_every_role_is_met() -> None:
    """In three slots: several prepared at once, and one that judged too long ago for a role."""
    worlds = explore(3, 2, 1) | explore(2, 0, 0, PLAN)
    met = [roles(state) for state in worlds]
    assert {each for found in met for each in found} == set(Role)
    assert any(found.count(Role.PREPARED) == 2 for found in met)
    ready = [
        state for state in explore(3, 2, 1) if all(s.phase is Phase.READY for s in state.slots)
    ]
    assert any(len(roles(state)) == 2 for state in ready)
