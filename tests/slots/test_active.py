"""The crossing: what is asked is taken once, or withdrawn once, never both."""

from __future__ import annotations

import threading

from edge_daemon.core.values import BundleRef, Recipe, StoredBundle
from edge_daemon.slots.active import ActiveSlot, Cutover, IdleTask, Pointer
from tests.sim.slot import SimSlot

KNOWN = StoredBundle(BundleRef("bottle", "1"), "aa")


def make() -> tuple[ActiveSlot, list[str]]:
    wakes: list[str] = []
    return ActiveSlot({"A": SimSlot("A")}, lambda: wakes.append("wake")), wakes


def test_the_lane_is_woken_for_whatever_is_asked() -> None:
    """A cutover, an idle task and a new load each end the lane's wait."""
    active_slot, wakes = make()
    active_slot.ask(Cutover(1, Pointer(), "s"))
    active_slot.send(lambda pointer: None)
    active_slot.ready("A", 3)
    assert len(wakes) == 3


def test_a_cutover_is_taken_once_and_not_before_its_boundary() -> None:
    """Not before its epoch, not before its frame, and only by the first who looks."""
    active_slot, _ = make()
    active_slot.ask(Cutover(1, Pointer(known=KNOWN), "s", at_epoch=2, at_frame=10))
    assert active_slot.take_due(10, 1) is None
    assert active_slot.take_due(9, 2) is None
    taken = active_slot.take_due(10, 2)
    assert taken is not None
    assert taken.token == 1
    assert active_slot.take_due(11, 2) is None


def test_a_newer_asking_replaces_the_older() -> None:
    """Only the last one is carried out, and the old token cannot withdraw it."""
    active_slot, _ = make()
    active_slot.ask(Cutover(1, Pointer(), "s"))
    active_slot.ask(Cutover(2, Pointer(), "s"))
    assert not active_slot.withdraw(1)
    taken = active_slot.take_due(0, 0)
    assert taken is not None
    assert taken.token == 2


def test_what_was_taken_cannot_be_withdrawn() -> None:
    """`withdraw` says honestly whether the lane will still cross."""
    active_slot, _ = make()
    active_slot.ask(Cutover(1, Pointer(), "s"))
    assert active_slot.withdraw(1)
    assert active_slot.take_due(0, 0) is None
    active_slot.ask(Cutover(2, Pointer(), "s"))
    assert active_slot.take_due(0, 0) is not None
    assert not active_slot.withdraw(2)


def test_taking_and_withdrawing_at_once_has_one_winner() -> None:
    """Two threads meet over each of 300 cutovers: exactly one of them has it."""
    active_slot, _ = make()
    start = threading.Barrier(2)
    taken: list[int] = []

    def lane() -> None:
        for _ in range(300):
            start.wait()
            found = active_slot.take_due(0, 0)
            if found is not None:
                taken.append(found.token)
            start.wait()

    thread = threading.Thread(target=lane)
    thread.start()
    withdrawn = []
    for token in range(300):
        active_slot.ask(Cutover(token, Pointer(), "s"))
        start.wait()
        if active_slot.withdraw(token):
            withdrawn.append(token)
        start.wait()
    thread.join()
    assert sorted(taken + withdrawn) == list(range(300))


def test_a_load_is_told_from_the_one_before() -> None:
    """A slot that was loaded anew is not the one that was lost."""
    active_slot, _ = make()
    slot = active_slot.slots["A"]
    assert active_slot.token_of(slot) == 0
    active_slot.ready("A", 4)
    active_slot.ready("A", 9)
    assert active_slot.token_of(slot) == 9


def test_errands_are_run_once_and_in_turn() -> None:
    """Two proofs at a time do not take each other's place."""
    active_slot, _ = make()
    idle_tasks: list[IdleTask] = [lambda pointer: None, lambda pointer: None]
    for idle_task in idle_tasks:
        active_slot.send(idle_task)
    assert [active_slot.take_idle_task(), active_slot.take_idle_task()] == idle_tasks
    assert active_slot.take_idle_task() is None
    assert not active_slot.has_errand


def test_an_errand_may_be_taken_back() -> None:
    """That leaves the lane nothing to do; one that it has begun can not."""
    active_slot, _ = make()
    idle_tasks: list[IdleTask] = [lambda pointer: None, lambda pointer: None]
    for idle_task in idle_tasks:
        active_slot.send(idle_task)
    active_slot.take_back(idle_tasks[0])
    assert active_slot.take_idle_task() is idle_tasks[1]
    active_slot.take_back(idle_tasks[1])
    assert active_slot.take_idle_task() is None


def test_what_is_only_offered_waits_for_nobody() -> None:
    """Where an idle task waits, the offer is refused."""
    active_slot, _ = make()
    assert active_slot.offer(lambda pointer: None)
    assert not active_slot.offer(lambda pointer: None)


def test_another_recipe_is_taken_once_by_the_bundle_that_it_is_for() -> None:
    """Also by one that the lane is about to cross to; another bundle never judges by it."""
    active_slot, wakes = make()
    tuned, other = Recipe(0.45), StoredBundle(BundleRef("can", "1"), "bb")
    active_slot.pointer = Pointer(known=KNOWN)
    active_slot.ask(Cutover(1, Pointer(known=KNOWN), "s"))
    active_slot.retune(KNOWN, tuned)
    assert len(wakes) == 2
    taken = active_slot.take_tuned()
    assert taken == Pointer(known=KNOWN, recipe=tuned)
    assert active_slot.take_tuned() is None
    due = active_slot.take_due(0, 0)
    assert due is not None
    assert due.pointer.recipe == tuned
    active_slot.pointer = Pointer(known=other)
    active_slot.retune(KNOWN, tuned)
    assert active_slot.take_tuned() is None
