"""Metrics, page and `model/state` say the same of the same moment."""

from __future__ import annotations

import pytest

from edge_daemon.app.monitor import resident
from edge_daemon.app.page import slot_lines
from edge_daemon.control.reporter import model_state
from edge_daemon.core.roles import Role
from edge_daemon.core.state import State
from tests.sim.planner_search import explore


def by_metrics(state: State) -> dict[str, Role]:
    return {row.slot: row.role for row in resident(state) if row.role is not None}


def by_page(state: State) -> dict[str, Role]:
    lines = slot_lines(state, {}, {})
    return {line.name: line.role for line in lines if line.role is not None}


def by_topic(state: State) -> dict[str, Role]:
    """`model/state` names one slot for a role; of several prepared ones the newest."""
    shown = model_state(state)
    named = {role: shown.of(role) for role in Role}
    return {each.slot: role for role, each in named.items() if each is not None and each.slot}


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_one_state_has_one_answer(slots: int) -> None:
    """In every reachable state, by whatever way it is asked for."""
    for state in explore(slots, 2, 1):
        told = by_metrics(state)
        assert by_page(state) == told, state
        topic = by_topic(state)
        assert topic.items() <= told.items(), state
        assert set(topic.values()) == set(told.values()), state
