"""The planner's state as others see it: the retained topics, the status page, `status`."""

from __future__ import annotations

from edge_daemon.control.payloads import (
    ActiveModel,
    ModelState,
    PreparedModel,
    PreviousModel,
    iso_utc,
)
from edge_daemon.core.lifecycle import Phase
from edge_daemon.core.state import SlotState, State
from edge_daemon.core.values import Instant, Known


class View:
    """Makes `model/state`, and remembers since when each role has been what it is."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, Known], str] = {}
        self._swap_id: str | None = None
        self._left: Known | None = None

    def swapped(self, swap_id: str, left: Known | None) -> None:
        """A cutover was made by this swap, away from `left`."""
        self._swap_id, self._left = swap_id, left

    def model_state(self, state: State, now: Instant) -> ModelState:
        """The retained state; times are when each bundle took its role."""
        utc = iso_utc(now.utc)
        durable = state.durable
        roles: dict[tuple[str, Known], str] = {}

        def since(role: str, known: Known) -> str:
            roles[role, known] = self._since.get((role, known), utc)
            return roles[role, known]

        active = None
        if state.active is not None and (bundle := state.active_bundle) is not None:
            when = since("active", bundle)
            trial = durable.trial is not None
            active = ActiveModel(str(bundle.ref), bundle.sha256, state.active, when, trial)
        prepared = None
        if (slot := _prepared(state)) is not None and slot.bundle is not None:
            when = since("prepared", slot.bundle)
            prepared = PreparedModel(str(slot.bundle.ref), slot.bundle.sha256, slot.name, when)
        previous = self._previous(state)
        self._since = roles
        return ModelState(
            active=active,
            prepared=prepared,
            previous=previous,
            selected=dict(durable.selected),
            product=durable.product,
            job_order=durable.job_order,
            held=durable.held,
            swap_id=self._swap_id,
        )

    def _previous(self, state: State) -> PreviousModel | None:
        left = self._left
        if left is None or left == state.active_bundle:
            return None
        home = next(
            (s.name for s in state.slots if s.bundle == left and s.phase is Phase.READY), None
        )
        return PreviousModel(str(left.ref), left.sha256, home)


def _prepared(state: State) -> SlotState | None:
    """The READY bundle that was not active since it was proven: ready for its cutover."""
    fresh = [
        s for s in state.slots if s.name != state.active and s.phase is Phase.READY and not s.used
    ]
    return max(fresh, key=lambda s: s.token, default=None)
