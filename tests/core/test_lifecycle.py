"""The two tables: what a slot and an operation may go through, searched whole."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from typing import TypeVar

import pytest

from edge_daemon.core.lifecycle import (
    LIFECYCLE,
    OPERATIONS,
    WITH_LANE,
    Move,
    Phase,
    Stage,
    Step,
)
from edge_daemon.core.state import Kind, Operation, SlotState
from edge_daemon.core.step_draft import StepDraft
from tests.sim.planner_world import B1, B2, NOW, start_state

Where = TypeVar("Where", bound=Enum)
What = TypeVar("What", bound=Enum)


def reached(table: Mapping[tuple[Where, What], Where], start: Where) -> set[Where]:
    """Where the table leads from `start`, in any number of steps."""
    found, waiting = {start}, [start]
    while waiting:
        here = waiting.pop()
        after = {to for (before, _), to in table.items() if before is here} - found
        found |= after
        waiting += after
    return found


@pytest.mark.parametrize(("phase", "move"), list(itertools.product(Phase, Move)))
def test_a_slot_makes_listed_moves_only(phase: Phase, move: Move) -> None:
    """Each pair is in the table, or illegal; an empty slot holds nothing."""
    slot = SlotState("A", phase, B1, 3)
    if (phase, move) not in LIFECYCLE:
        with pytest.raises(KeyError):
            slot.moved(move)
        return
    moved = slot.moved(move)
    assert moved.phase is LIFECYCLE[phase, move]
    assert (moved.bundle is None) is (moved.phase is Phase.EMPTY)


def test_no_slot_is_stuck() -> None:
    """From each phase a slot gets to every other."""
    assert all(reached(LIFECYCLE, phase) == set(Phase) for phase in Phase)


def placed(stage: Stage) -> tuple[StepDraft, Operation]:
    """An operation of this stage, where the planner keeps such a one."""
    turn = StepDraft(start_state(2), NOW)
    op = replace(turn.operation(Kind.SWAP, B2), stage=stage)
    return turn, op if stage is Stage.NEW else turn.amend(op)


@pytest.mark.parametrize(("stage", "step"), list(itertools.product(Stage, Step)))
def test_an_operation_takes_listed_steps_only(stage: Stage, step: Step) -> None:
    """Each pair is in the table, or illegal; an operation is kept where its stage says."""
    turn, op = placed(stage)
    if (stage, step) not in OPERATIONS:
        with pytest.raises(KeyError):
            turn.advance(op, step)
        return
    after = turn.advance(op, step)
    state = turn.state
    kept = {Stage.QUEUED: state.queued, Stage.PARKED: state.parked}.get(after.stage, state.op)
    assert kept == (None if after.stage is Stage.ENDED else after)
    assert sum(place is not None for place in (state.op, state.queued, state.parked)) <= 1


def test_every_operation_comes_to_an_end_and_none_comes_back() -> None:
    """An end can be reached from everywhere, and leads nowhere."""
    assert reached(OPERATIONS, Stage.NEW) == set(Stage)
    assert all(Stage.ENDED in reached(OPERATIONS, stage) for stage in Stage)
    assert reached(OPERATIONS, Stage.ENDED) == {Stage.ENDED}


def test_the_lane_has_the_last_word() -> None:
    """What it was asked for ends, waits or is checked by its answer alone."""
    own = {Step.END, Step.QUEUE, Step.PARK, Step.BEGIN, Step.VERIFY}
    assert not {(stage, step) for stage in WITH_LANE for step in own} & OPERATIONS.keys()


@pytest.mark.parametrize("stage", [s for s in Stage if s not in (Stage.NEW, Stage.ENDED)])
def test_no_operation_is_forgotten_for_another(stage: Stage) -> None:
    """One place holds one operation: the request of the other would never be answered."""
    turn, _ = placed(stage)
    other = replace(turn.operation(Kind.SWAP, B1), stage=stage)
    with pytest.raises(AssertionError, match="would be forgotten"):
        turn.amend(other)
