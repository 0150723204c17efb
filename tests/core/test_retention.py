"""What a quota may never take."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edge_daemon.core.lifecycle import Phase
from edge_daemon.core.retention import kept
from edge_daemon.core.rollout.values import Mode, Plan, Stage
from edge_daemon.core.state import Durable, Kind, Operation, Rollout, SlotState, State
from edge_daemon.core.values import BundleRef, ModelChoice, StoredBundle

B = [StoredBundle(BundleRef("b", str(number)), f"b{number}") for number in range(10)]
C = [StoredBundle(BundleRef("c", str(number)), f"c{number}") for number in range(3)]
NEW = {str(B[9].ref), str(C[2].ref)}
"""The newest of each name always stays: nobody has had the time to ask for it."""


def state(**durable: Any) -> State:
    return State(
        "t",
        (SlotState("A"), SlotState("B")),
        links=(("P", "b"), ("Q", "c")),
        available=(*B, *C),
        durable=Durable(**durable),
    )


def stays(state: State) -> set[str]:
    return {str(ref) for ref in kept(state)} - NEW


def test_what_nothing_needs_may_go() -> None:
    """On a fresh station only the newest of each name stay."""
    assert stays(state()) == set()
    assert {str(ref) for ref in kept(state())} >= NEW


def test_of_what_was_confirmed_the_last_and_the_one_before_stay() -> None:
    """The rollback has somewhere to go; older ones are history."""
    confirmed = (B[1].ref, C[0].ref, B[2].ref, B[3].ref)
    assert stays(state(confirmed=confirmed)) == {"b@2", "b@3", "c@0"}


def test_what_the_next_start_goes_to_stays() -> None:
    """Active on trial, selected by a swap, begun and not ended."""
    given = state(active=B[4], trial="s-1", selected=(("c", "1"),), begun=((B[5].ref, 1),))
    assert stays(given) == {"b@4", "c@1", "b@5"}


@pytest.mark.parametrize("phase", [Phase.PREPARING, Phase.READY, Phase.RESTORING])
def test_whatever_a_slot_holds_stays(phase: Phase) -> None:
    """Prepared, previous, being loaded, being brought back."""
    given = replace(state(), slots=(SlotState("A"), SlotState("B", phase, B[6], 1)))
    assert stays(given) == {"b@6"}


@pytest.mark.parametrize("place", ["op", "queued", "parked"])
def test_what_was_asked_for_stays(place: str) -> None:
    """Also while it waits for its time or its order."""
    given = replace(state(), **{place: Operation(Kind.SWAP, "s-1", B[7])})
    assert stays(given) == {"b@7"}


def test_what_a_rollout_compares_stays() -> None:
    """Its candidate may wait for its slot, while a newer version of it is in the store."""
    plan = Plan((Stage(Mode.SHADOW),))
    assert stays(state(rollout=Rollout("r", B[4], B[3], plan, "", "q"))) == {"b@3", "b@4"}


def test_the_initial_version_stays() -> None:
    """Without any record it is what the daemon starts with."""
    assert stays(replace(state(), initial=ModelChoice("b", "0"))) == {"b@0"}


def test_a_quarantined_newest_version_does_not_stand_for_the_newest_fit_one() -> None:
    """A bare name means the newest version that may be used: that one stays."""
    assert stays(state(quarantined=((B[9].ref, "bad"),))) == {"b@8"}
