"""`model/state`: who judges, who is ready, who was before; since when."""

from __future__ import annotations

from dataclasses import replace

from edge_daemon.control.view import View
from edge_daemon.core.lifecycle import Phase
from edge_daemon.core.state import Durable, SlotState, State
from edge_daemon.core.values import Instant, Known
from tests.sim.planner_world import B1, B2, C1

THEN, LATER = Instant(0.0, 0.0), Instant(60.0, 60.0)


def state(a: Known, b: Known | None = None, *, used: int = 0) -> State:
    slots = (
        SlotState("A", Phase.READY, a, 1, 1),
        SlotState("B", Phase.READY if b else Phase.EMPTY, b, 2, used),
    )
    durable = Durable(selected=(("b", "1"),), product="P", job_order="wo", held=True)
    return State("t", slots, durable=durable, active="A")


def test_a_bundle_that_never_judged_is_prepared() -> None:
    """And one that did is not: it is there for a rollback."""
    shown = View().model_state(state(B1, B2), THEN)
    assert shown.active is not None
    assert (shown.active.model, shown.active.slot, shown.active.trial) == ("b@1", "A", False)
    assert shown.prepared is not None
    assert shown.prepared.model == "b@2"
    assert View().model_state(state(B1, B2, used=1), THEN).prepared is None


def test_since_stays_while_a_role_does() -> None:
    """The moment at which it took its role, not that of the message."""
    view = View()
    first = view.model_state(state(B1), THEN)
    later = view.model_state(state(B1, B2), LATER)
    assert first.active is not None
    assert later.active is not None
    assert later.active.since == first.active.since
    assert later.prepared is not None
    assert later.prepared.since != first.active.since


def test_the_version_before_is_shown_with_its_slot_while_it_is_resident() -> None:
    """Without a slot once it was given up."""
    view = View()
    view.swapped("t-9", B2)
    shown = view.model_state(state(B1, B2, used=1), THEN)
    assert shown.previous is not None
    assert (shown.previous.model, shown.previous.slot, shown.swap_id) == ("b@2", "B", "t-9")
    gone = view.model_state(state(B1, C1, used=1), THEN)
    assert gone.previous is not None
    assert gone.previous.slot is None


def test_what_the_line_makes_is_told() -> None:
    """Selection, product, order and hold are the durable ones; nothing active is null."""
    shown = View().model_state(replace(state(B1), active=None), THEN)
    assert shown.active is None
    assert shown.selected == {"b": "1"}
    assert (shown.product, shown.job_order, shown.held) == ("P", "wo", True)
