"""A lane with no frames: it runs errands, one after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edge_daemon.slots.crossing import Crossing


@contextmanager
def still_lane(crossing: Crossing, note: Callable[[], None] = lambda: None) -> Iterator[None]:
    """`note` is called at each errand, before it is run."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(0.001):
            errand = crossing.take_errand()
            if errand is not None:
                note()
                errand(crossing.pointer)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
