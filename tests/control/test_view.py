"""`model/state`: who judges, who is ready, who was before; since when."""

from __future__ import annotations

from dataclasses import replace

from edge_daemon.control.reporter import model_state
from edge_daemon.core.effects import AskCutover, Prepare, Restore, Verify
from edge_daemon.core.events import (
    BundleProven,
    BundleVerified,
    CutoverDone,
    Event,
    RequestReceived,
    SlotFreed,
    SlotLost,
    Started,
)
from edge_daemon.core.lifecycle import Phase
from edge_daemon.core.planner import step
from edge_daemon.core.values import Instant, ModelChoice, Request
from edge_daemon.core.verbs import Verb
from edge_daemon.messaging.payloads import ModelState
from tests.sim.planner_world import start_state


class Told:
    """A station whose surroundings answer each at its own second."""

    def __init__(self, slots: int = 2) -> None:
        self.state = start_state(slots)
        self.second = 0
        self.tell(Started())

    @property
    def shown(self) -> ModelState:
        return model_state(self.state)

    def tell(self, event: Event) -> Told:
        """An event, and what its actions lead to."""
        now = Instant(float(self.second), float(self.second))
        self.second += 1
        self.state, effects, _ = step(self.state, event, now)
        for action in effects:
            if isinstance(action, (Prepare, Restore)):
                self.tell(BundleProven(action.token))
            elif isinstance(action, Verify):
                self.tell(BundleVerified(action.token))
            elif isinstance(action, AskCutover):
                self.tell(CutoverDone(action.token))
        for slot in self.state.slots:
            if slot.phase is Phase.DRAINING:
                self.tell(SlotFreed(slot.token))
        return self

    def ask(self, verb: Verb, model: str) -> Told:
        choice = ModelChoice(*model.split("@"))
        return self.tell(RequestReceived(Request(f"r{self.second}", verb, choice)))


def second(iso: str) -> int:
    return int(iso[17:19])


def test_a_bundle_that_never_judged_is_prepared() -> None:
    """And one that did is not: it is there for a rollback."""
    station = Told()
    assert station.ask(Verb.PREPARE, "b@2").shown.prepared is not None
    assert station.shown.previous is None
    shown = station.ask(Verb.SWAP, "b@2").shown
    assert (shown.active.model if shown.active else "", shown.prepared) == ("b@2", None)
    assert shown.previous is not None
    assert (shown.previous.model, shown.previous.slot) == ("b@1", "A")


def test_since_stays_while_a_role_does() -> None:
    """The moment at which it took its role, which a lost worker does not end."""
    station = Told()
    first = station.shown.active
    assert first is not None
    prepared = station.ask(Verb.PREPARE, "b@2").shown.prepared
    station.tell(SlotLost(station.state.slot("A").token, "killed"))
    assert station.shown.active == first
    assert station.shown.prepared == prepared
    assert prepared is not None
    later = station.ask(Verb.SWAP, "b@2").shown.active
    assert later is not None
    assert second(first.since) < second(prepared.since) < second(later.since)


def test_the_version_before_is_shown_with_its_slot_while_it_is_resident() -> None:
    """Without a slot once it was given up."""
    station = Told().ask(Verb.SWAP, "b@2").ask(Verb.PREPARE, "c@1")
    previous = station.shown.previous
    assert previous is not None
    assert (previous.model, previous.slot, station.shown.swap_id) == ("b@1", None, "t-2")


def test_with_three_slots_what_judged_long_ago_is_neither() -> None:
    """Only the last one is previous, and none of them is prepared."""
    shown = Told(3).ask(Verb.SWAP, "b@2").ask(Verb.SWAP, "c@1").shown
    assert shown.previous is not None
    assert (shown.previous.model, shown.prepared) == ("b@2", None)


def test_what_the_line_makes_is_told() -> None:
    """Selection, product, order and hold are the durable ones; nothing active is null."""
    state = start_state(2)
    durable = replace(state.durable, selected=(("b", "1"),), product="P", job_order="wo", held=True)
    shown = model_state(replace(state, durable=durable))
    assert shown.active is None
    assert shown.selected == {"b": "1"}
    assert (shown.product, shown.job_order, shown.held) == ("P", "wo", True)
