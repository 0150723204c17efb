"""Scans the whole store beside the driver, for a request that may name a bundle that just came.

A store may be large, slow, or full of foreign files, and frames may wait for the driver's thread:
so that thread never reads the store. Requests that arrive meanwhile wait too, so that their order
is kept. Orders, the lane and the loader do not wait.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog

from edge_daemon.core import selection
from edge_daemon.core.events import StoreChanged
from edge_daemon.core.state import State
from edge_daemon.core.values import BundleRef, ModelChoice
from edge_daemon.host.clock import Clock
from edge_daemon.host.error_boundary import ErrorBoundary
from edge_daemon.models.manifest import MANIFEST_FILE

_log = structlog.get_logger(__name__)

AGAIN_S = 1.0
"""Between two scans of the store for a folder that was checked already."""

Work = Callable[[], None]
Then = Callable[["StoreChanged | None"], None]
"""Called with the news; None: the store could not be scanned."""


class Newcomers:
    """Whether a request may name a bundle that came to the store a moment ago.

    The store is watched, but a request can be faster. A scan of the whole store is slow, and
    anybody may ask for what is not there; so one folder is checked first. Only the driver's thread
    asks.
    """

    def __init__(self, store: Path, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._looked_at = float("-inf")
        self._looked_for: frozenset[BundleRef] = frozenset()

    def may_hide(self, choice: ModelChoice, state: State) -> bool:
        """Whether to scan the store before this choice is judged."""
        usable = {known.ref for known in state.available if known.ref.name == choice.name}
        if choice.version:
            usable &= {BundleRef(choice.name, choice.version)}
        # What came or went unnoticed; what was refused may have been repaired since.
        unlike = self._there(choice) ^ usable
        now = self._clock.now().at
        is_due = now - self._looked_at >= AGAIN_S
        looked_for = frozenset() if is_due else self._looked_for
        if not is_due:
            unlike -= {ref for ref, _ in state.refused}
        if not unlike - looked_for:
            return False
        self._looked_for, self._looked_at = looked_for | unlike, now
        return True

    def _there(self, choice: ModelChoice) -> set[BundleRef]:
        """The complete versions of this name.

        The requested one is included even if incomplete, so that the answer says what it lacks.
        """
        folder = self._store / choice.name
        if choice.version:
            there = os.path.isdir(folder / choice.version)  # not where nobody may look
            return {BundleRef(choice.name, choice.version)} if there else set()
        try:
            refs = [BundleRef(choice.name, version) for version in os.listdir(folder)]
        except OSError:
            return set()
        return {ref for ref in refs if os.path.exists(folder / ref.version / MANIFEST_FILE)}


class StoreScan:
    """Only the driver's thread calls it.

    Args:
        newcomers: tells, by one folder, whether a look is worth its while.
        look: reads the store; on a thread of its own, may raise anything.
        call: has brief work done on the driver's thread; from any thread.
    """

    def __init__(
        self, newcomers: Newcomers, look: Callable[[], StoreChanged], call: Callable[[Work], None]
    ) -> None:
        self._newcomers = newcomers
        self._look = look
        self._call = call
        self._scout = ThreadPoolExecutor(1, thread_name_prefix="store-look")
        self._boundary = ErrorBoundary(_log, "store_look_failed")
        self._is_out = False
        self._waiting: deque[Work] = deque()

    def ask(self, work: Work) -> None:
        """Do it now, or when earlier requests are done."""
        if self._is_out or self._waiting:
            self._waiting.append(work)
        else:
            work()

    def may_find(self, choice: ModelChoice | None, state: State) -> bool:
        """Whether this model, or a newer version of it, may be in the store unknown to us."""
        if choice is None or (choice.version and selection.choose(state, choice) is not None):
            return False
        return self._newcomers.may_hide(choice, state)

    def look(self, then: Then) -> None:
        """Call `then` once the store has been scanned; returns at once."""
        self._is_out = True
        self._scout.submit(self._run, then)

    def close(self) -> None:
        """A scan under way ends by itself, and its result is ignored."""
        self._scout.shutdown(wait=False, cancel_futures=True)

    def _run(self, then: Then) -> None:
        seen = None
        with self._boundary.turn():  # the request goes on without the scan
            seen = self._look()
        self._call(lambda: self._back(then, seen))

    def _back(self, then: Then, seen: StoreChanged | None) -> None:
        self._is_out = False
        then(seen)
        self._call(self._next)

    def _next(self) -> None:
        """One at a time: an order of the MES must not wait for a queue of requests."""
        if self._waiting and not self._is_out:
            self._waiting.popleft()()
            self._call(self._next)
