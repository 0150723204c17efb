"""Tells when the store's offer changes, however bundles arrive: copied, synchronised, linked.

File events only say "look again", after a moment of quiet; what counts is the look itself. A
regular look, which costs a few `stat` calls for each bundle, catches what events miss: a network
file system, a link flipped above the root, an event thread of watchdog that ended on a race.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from edge_daemon.documents.watch import Watch, settle
from edge_daemon.models.store import Offer, Store

_log = structlog.get_logger()


class StoreWatch:
    """Calls `on_change(offer)` from its own thread, first with the offer at the start.

    `quiet_s`: how long the store must be still before a look; a store that never is still is
    looked at every ten times that. `rescan_s`: the look without an event.
    """

    def __init__(
        self,
        store: Store,
        on_change: Callable[[Offer], None],
        *,
        quiet_s: float = 0.3,
        rescan_s: float = 10.0,
    ) -> None:
        self._store = store
        self._on_change = on_change
        self._quiet_s = quiet_s
        self._rescan_s = rescan_s
        self._stirred = threading.Event()
        self._stopped = threading.Event()
        self._watch = Watch(store.root, self._stirred, recursive=True)
        self._thread = threading.Thread(target=self._run, name="store-watch", daemon=True)

    def __enter__(self) -> StoreWatch:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to watch; without file events (too many watches, for example) only the regular look
        remains.
        """
        try:
            self._store.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            _log.debug("store_not_made", error=str(error))  # the looks say what is wrong with it
        if not self._watch.start():
            _log.warning("store_events_missing", rescan_s=self._rescan_s)
        self._thread.start()

    def stop(self) -> None:
        """End the watch and wait for its threads; not from within `on_change`."""
        self._stopped.set()
        self._stirred.set()
        self._watch.stop()
        self._thread.join(5.0)

    def _run(self) -> None:
        last: Offer | None = None
        while not self._stopped.is_set():
            last = self._look(last)
            self._stirred.wait(self._rescan_s)
            settle(self._stirred, self._stopped, self._quiet_s)

    def _look(self, last: Offer | None) -> Offer | None:
        try:
            offer = self._store.offer()
            if last is not None and _shown(offer) == _shown(last):
                return last
            self._on_change(offer)
        except Exception as error:
            _log.error("store_look_failed", error=str(error), exc_info=error)
            return last
        return offer


def _shown(offer: Offer) -> object:
    """Errors are compared by their text, not by identity."""
    problems = tuple((each.folder, str(each.error)) for each in offer.problems)
    return offer.known, problems, offer.trouble
