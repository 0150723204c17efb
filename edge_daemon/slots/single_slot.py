"""One slot for a command: a caged worker without a daemon."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from edge_daemon.slots.child import WorkerSpec
from edge_daemon.slots.process import ProcessSlot
from edge_daemon.slots.scratch import Scratch
from edge_daemon.slots.slot import Slot
from edge_daemon.slots.spare import SparePool


@contextmanager
def single_slot(spec: WorkerSpec, scratch: str | None = None) -> Iterator[Slot]:
    """A slot whose worker has its scratch folder below `scratch`, or one that goes with it."""
    if scratch is None:
        with Scratch() as own, single_slot(spec, own) as slot:
            yield slot
        return
    pool = SparePool(replace(spec, scratch=scratch), standing=0)
    slot = ProcessSlot("alone", pool)
    try:
        yield slot
    finally:
        slot.close()
        pool.close()
