"""The role of each slot, derived from the planner's state alone.

Phase says what a slot holds, role what it is there for. Metrics, the page, `model/state` and the
commands all ask here, so one state has one answer.
"""

from __future__ import annotations

from enum import Enum

from edge_daemon.core.lifecycle import Phase
from edge_daemon.core.state import SlotState, State


class Role(str, Enum):
    """What a slot is there for. A slot has one role at most."""

    ACTIVE = "active"  # judges frames
    CANDIDATE = "candidate"  # judges beside the active one, in a rollout
    PREPARED = "prepared"  # holds a checked bundle that has not judged from there yet
    PREVIOUS = "previous"  # holds the bundle that was active before

    def __str__(self) -> str:
        return self.value


def role(state: State, slot: SlotState) -> Role | None:
    """The role of one slot.

    None: it is empty, at work or lost, or was active longer ago than the previous one.
    """
    if slot.name == state.active:
        return Role.ACTIVE
    if slot.phase is not Phase.READY:
        return None
    rollout = state.durable.rollout
    if rollout is not None and slot.bundle == rollout.candidate:
        return Role.CANDIDATE
    if not slot.used:
        return Role.PREPARED
    return Role.PREVIOUS if slot.bundle == state.left else None


def slot_of(state: State, wanted: Role) -> SlotState | None:
    """The slot with this role; of several prepared ones the newest."""
    slots = [slot for slot in state.slots if role(state, slot) is wanted]
    return max(slots, key=lambda slot: slot.token, default=None)
