"""Which versions must stay in the store, whatever its quota. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator

from edge_daemon.core import selection
from edge_daemon.core.state import State
from edge_daemon.core.values import BundleRef

CONFIRMED = 2  # of each name: the one confirmed last, and the one that a rollback goes to


def kept(state: State) -> frozenset[BundleRef]:
    """Everything that judges, is resident or on its way, and what may be needed next."""
    return frozenset((*_in_use(state), *_on_record(state), *_next(state)))


def _in_use(state: State) -> Iterator[BundleRef]:
    """Slots (active, prepared, previous, being loaded) and operations (a restore reads anew)."""
    for slot in state.slots:
        if slot.bundle is not None:
            yield slot.bundle.ref
    yield from (op.target.ref for op in state.operations)


def _on_record(state: State) -> Iterator[BundleRef]:
    """What the next start, a rollback or an order would use."""
    durable = state.durable
    if durable.active is not None:
        yield durable.active.ref
    for name, version in durable.selected:
        yield BundleRef(name, version)
    for name in {ref.name for ref in durable.confirmed}:
        yield from [ref for ref in durable.confirmed if ref.name == name][-CONFIRMED:]
    yield from (ref for ref, _ in durable.begun)
    if durable.rollout is not None:
        yield durable.rollout.candidate.ref
        yield durable.rollout.reference.ref
    yield from state.backing_off


def _next(state: State) -> Iterator[BundleRef]:
    """What the daemon would choose by itself for an order or for lack of a model, and what is new.

    A bundle must not be deleted before anybody could request it.
    """
    wanted = [selection.configured(state)]
    for name in {known.ref.name for known in state.available}:
        wanted += [*selection.for_name(state, name)[:CONFIRMED], selection.newest(state, name)]
    yield from (known.ref for known in wanted if known is not None)
