"""A lane with no frames: it runs errands, one after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edge_daemon.slots.active import ActiveSlot


@contextmanager
def still_lane(active_slot: ActiveSlot, note: Callable[[], None] = lambda: None) -> Iterator[None]:
    """`note` is called at each errand, before it is run."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(0.001):
            errand = active_slot.take_errand()
            if errand is not None:
                note()
                errand(active_slot.pointer)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
