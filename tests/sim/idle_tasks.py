"""A lane with no frames: it runs idle tasks, one after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edge_daemon.slots.active import ActiveSlot


@contextmanager
def still_lane(active_slot: ActiveSlot, note: Callable[[], None] = lambda: None) -> Iterator[None]:
    """`note` is called at each idle task, before it is run."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(0.001):
            idle_task = active_slot.take_idle_task()
            if idle_task is not None:
                note()
                idle_task(active_slot.pointer)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
