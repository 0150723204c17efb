"""The planner's state as others see it: the retained topic `model/state`."""

from __future__ import annotations

from typing import TypeVar

from msgspec import UNSET, UnsetType

from edge_daemon.core import tuning
from edge_daemon.core.roles import Role, slot_of
from edge_daemon.core.state import State
from edge_daemon.core.values import StoredBundle
from edge_daemon.messaging import payloads
from edge_daemon.messaging.times import iso_utc

_Line = TypeVar("_Line", bound=payloads.PreparedModel)


def model_state(state: State) -> payloads.ModelState:
    """The retained state; times are when each bundle took its role."""
    durable = state.durable
    return payloads.ModelState(
        active=_active(state),
        candidate=_standing_by(state, Role.CANDIDATE, payloads.CandidateModel) or UNSET,
        prepared=_standing_by(state, Role.PREPARED, payloads.PreparedModel),
        previous=_previous(state),
        selected=dict(durable.selected),
        product=durable.product,
        job_order=durable.job_order,
        held=durable.held,
        swap_id=state.swap_id,
    )


def _active(state: State) -> payloads.ActiveModel | None:
    slot = slot_of(state, Role.ACTIVE)
    if slot is None or (known := slot.bundle) is None:
        return None
    since, on_trial = iso_utc(slot.since_utc), state.durable.trial is not None
    return payloads.ActiveModel(
        str(known.ref), known.sha256, slot.name, since, on_trial, _tuned(state, known)
    )


def _tuned(state: State, known: StoredBundle) -> payloads.TunedLine | UnsetType:
    held = tuning.of(state.durable, known)
    if held is None:
        return UNSET
    return payloads.TunedLine(dict(held.changes), held.by, held.reason, iso_utc(held.since_utc))


def _standing_by(state: State, role: Role, line: type[_Line]) -> _Line | None:
    slot = slot_of(state, role)
    if slot is None or (known := slot.bundle) is None:
        return None
    return line(str(known.ref), known.sha256, slot.name, iso_utc(slot.since_utc))


def _previous(state: State) -> payloads.PreviousModel | None:
    """Without a slot once its slot was given to another bundle."""
    left = state.left
    if left is None or left == state.active_bundle:
        return None
    slot = slot_of(state, Role.PREVIOUS)
    return payloads.PreviousModel(str(left.ref), left.sha256, slot.name if slot else None)
