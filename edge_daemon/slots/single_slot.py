"""One slot for a command: a caged worker without a daemon."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edge_daemon.slots.child import WorkerSpec
from edge_daemon.slots.process import ProcessSlot
from edge_daemon.slots.slot import Slot
from edge_daemon.slots.spare import SparePool


@contextmanager
def single_slot(spec: WorkerSpec) -> Iterator[Slot]:
    """A slot with a worker by `spec`, until the end of the `with`."""
    pool = SparePool(spec, standing=0)
    slot = ProcessSlot("alone", pool)
    try:
        yield slot
    finally:
        slot.close()
        pool.close()
