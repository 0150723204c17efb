"""Which version is meant, and which slot is given up first."""

from __future__ import annotations

from dataclasses import replace

from edge_daemon.core import selection
from edge_daemon.core.state import Durable, Upcoming
from edge_daemon.core.values import (
    Assignment,
    ModelChoice,
)
from tests.core.resident import B1, B2, B3, C1, ref, state


def test_a_bare_name_means_its_newest_fit_version() -> None:
    """Quarantined versions are passed over; a named one is found all the same."""
    held = state(quarantined=((ref("b@3"), "bad"),))
    assert selection.choose(held, ModelChoice("b")) == B2
    assert selection.choose(held, ModelChoice("b", "3")) == B3
    assert selection.choose(held, ModelChoice("d")) is None


def test_nothing_below_its_floor_is_taken_by_itself_unless_confirmed_here() -> None:
    """Not for an order, not at a start; a line that runs on a confirmed one goes on."""
    below = ((ref("b@1"), "3"), (ref("b@2"), "3"))
    fresh = replace(state(selected=(("b", "2"),)), below=below, initial=ModelChoice("b", "1"))
    assert selection.for_name(fresh, "b") == []
    kept = replace(state(selected=(("b", "2"),), confirmed=(ref("b@2"),)), below=below)
    assert selection.for_name(kept, "b") == [B2]


def test_a_rollback_goes_to_what_was_confirmed_before() -> None:
    """Of the same name, the latest that is not the active one and not quarantined."""
    confirmed = (ref("b@1"), ref("c@1"), ref("b@2"))
    assert selection.rollback_target(state(B3, confirmed=confirmed)) == B2
    assert selection.rollback_target(state(B2, confirmed=confirmed)) == B1
    assert selection.rollback_target(state(C1, confirmed=confirmed)) is None
    assert selection.rollback_target(state()) is None


def test_what_should_judge_is_the_last_then_the_selected_then_confirmed() -> None:
    """A start goes on where the last one ended, whatever else there is."""
    durable = Durable((("b", "2"),), (ref("b@1"), ref("b@2")), active=B3)
    known = replace(state(), durable=durable)
    assert selection.wanted(known) == [B3, B2, B1]
    assert selection.wanted(replace(known, unfit=True)) == [B2, B1]
    assert selection.wanted(replace(known, skipped=frozenset({B3.ref, B2.ref}))) == [B1]


def test_an_unproven_version_is_chosen_only_where_none_was_confirmed() -> None:
    """The newest of a name that never judged, for the first order of its product."""
    fresh = replace(state(), line=Assignment(1, "Q", None, "c"))
    assert selection.wanted(fresh) == [C1]
    known = replace(state(confirmed=(ref("b@1"),)), line=Assignment(1, "P", None, "b"))
    assert selection.wanted(known) == [B1]


def test_a_product_without_a_link_wants_nothing() -> None:
    """No model can be right for it."""
    lost = replace(state(B1), line=Assignment(1, "X", None, None, linked=False))
    assert selection.wanted(lost) == []


def test_the_confirmed_version_before_is_given_up_last() -> None:
    """Active never; then what a rollback needs, what an order needs, what was used last."""
    full = state(B2, B1, C1, B3, confirmed=(ref("b@1"), ref("b@2")))
    first = selection.victim(full)
    assert first is not None
    assert first.bundle == C1, "the one that was used longest ago"
    announced = replace(full, upcoming=(Upcoming("wo", "c"),))
    second = selection.victim(announced)
    assert second is not None
    assert second.bundle == B3
    assert selection.victim(state(B2)) is None
