"""Which version and which slot to use: questions to a state that change nothing."""

from __future__ import annotations

from collections.abc import Iterator, Set

from edge_daemon.core.lifecycle import Phase
from edge_daemon.core.state import SlotState, State
from edge_daemon.core.values import BundleRef, ModelChoice, StoredBundle


def find(state: State, ref: BundleRef) -> StoredBundle | None:
    """The complete bundle of this ref in the store."""
    return next((known for known in state.available if known.ref == ref), None)


def versions(state: State, name: str) -> list[StoredBundle]:
    """Complete versions of a name, oldest first."""
    return [known for known in state.available if known.ref.name == name]


def newest(state: State, name: str, but: Set[BundleRef] = frozenset()) -> StoredBundle | None:
    """The newest version of a name that is neither quarantined nor among `but`."""
    for known in reversed(versions(state, name)):
        if known.ref not in but and state.quarantine_reason(known.ref) is None:
            return known
    return None


def choose(state: State, choice: ModelChoice) -> StoredBundle | None:
    """`name@version`, or the newest fit version of `name`; quarantine of a named one is ignored."""
    if choice.version is None:
        return newest(state, choice.name)
    return find(state, BundleRef(choice.name, choice.version))


def configured(state: State) -> StoredBundle | None:
    """The bundle that the settings begin with."""
    return choose(state, state.initial) if state.initial else None


def selected(state: State, name: str) -> BundleRef | None:
    """The version that orders use for a name."""
    return next((BundleRef(name, v) for n, v in state.durable.selected if n == name), None)


def reference(state: State, target: StoredBundle) -> BundleRef | None:
    """The version that verdicts are compared with: the active one of this name, else the one
    confirmed last; None where that is `target` itself.
    """
    active = state.active_bundle
    if active is not None and active.ref.name == target.ref.name:
        return active.ref if active != target else None
    last = next((r for r in reversed(state.durable.confirmed) if r.name == target.ref.name), None)
    return last if last != target.ref else None


def rollback_target(state: State) -> StoredBundle | None:
    """The version of the active name that was confirmed before the active one."""
    last = state.last_bundle
    if last is None:
        return None
    return next(_confirmed(state, last.ref.name, but=last.ref), None)


def wanted(state: State) -> list[StoredBundle]:
    """What should judge now, best first, without what is quarantined, skipped or backing off."""
    name = state.line.requires or _habitual_name(state)
    if name is None or not state.line.linked:
        return []
    return for_name(state, name)


def for_name(state: State, name: str) -> list[StoredBundle]:
    """The versions of a name that the daemon may activate by itself, best first."""
    left = state.skipped | state.backing_off
    fit = (
        known
        for known in _preferences(state, name)
        if known.ref not in left
        and state.quarantine_reason(known.ref) is None
        and not below_floor(state, known.ref)
    )
    return list(dict.fromkeys(fit))


def below_floor(state: State, ref: BundleRef) -> bool:
    """Whether a version is older than its floor, and was never confirmed on this device."""
    return state.floor_above(ref) is not None and ref not in state.durable.confirmed


def _habitual_name(state: State) -> str | None:
    if state.durable.active is not None:
        return state.durable.active.ref.name
    return state.initial.name if state.initial else None


def _preferences(state: State, name: str) -> Iterator[StoredBundle]:
    last = state.durable.active
    if last is not None and last.ref.name == name and not state.unfit and last in state.available:
        yield last
    ref = selected(state, name)
    chosen = find(state, ref) if ref else None
    if chosen:
        yield chosen
    yield from _confirmed(state, name)
    initial = configured(state)
    if initial and initial.ref.name == name:
        yield initial
    # A broken version hides no older one; one that failed for this box's own fault is waited for.
    unproven = newest(state, name, state.skipped if state.retry_at is None else frozenset())
    if chosen is None and unproven and not any(r.name == name for r in state.durable.confirmed):
        yield unproven
    if state.initial is not None and state.line.requires is None:
        if initial:
            yield initial
        yield from _confirmed(state, state.initial.name)


def _confirmed(state: State, name: str, but: BundleRef | None = None) -> Iterator[StoredBundle]:
    for ref in reversed(state.durable.confirmed):
        known = find(state, ref)
        if ref.name == name and ref != but and known and state.quarantine_reason(ref) is None:
            yield known


def resident(state: State, target: StoredBundle) -> SlotState | None:
    """A READY slot that holds exactly this bundle, the active one first."""
    holding = [s for s in state.slots if s.phase is Phase.READY and s.bundle == target]
    return max(holding, key=lambda s: s.name == state.active, default=None)


def victim(state: State, *, even_candidate: bool = True) -> SlotState | None:
    """The resident bundle to free first; the active one never.

    They are kept in this order: a rollout's candidate (freed only where `even_candidate`),
    confirmed before, next order's, last used.
    """
    back = rollback_target(state)
    parked = state.parked.target if state.parked else None
    announced = {order.name for order in state.upcoming}
    rollout = state.durable.rollout
    tried = rollout.candidate if rollout is not None and not rollout.is_back else None

    def worth(slot: SlotState) -> tuple[bool, bool, bool, bool, int]:
        bundle = slot.bundle
        assert bundle is not None
        is_next = bundle.ref.name in announced
        return bundle == tried, bundle == back, bundle == parked, is_next, slot.used

    holding = (Phase.READY, Phase.LOST, Phase.RESTORING)
    idle = [s for s in state.slots if s.name != state.active and s.phase in holding]
    if not even_candidate:
        idle = [slot for slot in idle if slot.bundle != tried]
    return min(idle, key=worth, default=None)


def has_room(state: State) -> bool:
    """Whether a bundle can be prepared beside the active one and a rollout's candidate."""
    free = any(slot.phase in (Phase.EMPTY, Phase.DRAINING) for slot in state.slots)
    return free or victim(state, even_candidate=False) is not None
