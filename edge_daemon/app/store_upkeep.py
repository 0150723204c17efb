"""Keeps the store within its quota, records what was deleted, and reports a missing store."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass

import structlog

from edge_daemon.control.driver import Driver
from edge_daemon.control.mailbox import Mailbox
from edge_daemon.control.recorder import Recorder
from edge_daemon.core.retention import kept
from edge_daemon.core.values import BundleRef
from edge_daemon.errors import BoxError
from edge_daemon.models.store import Offer, Store

_log = structlog.get_logger(__name__)


@dataclass
class StoreUpkeep:
    """Called with every change of the store. Without a quota nothing is ever deleted."""

    store: Store
    quota_bytes: int | None
    mailbox: Mailbox
    driver: Driver
    recorder: Recorder
    pinned: Callable[[], Set[BundleRef]] = frozenset
    """Bundles that somebody needs who is not the planner."""
    problem: str = ""
    """A sentence while the store's folder is missing, unreadable or suddenly empty."""
    _is_short: bool = False

    def note(self, offer: Offer) -> None:
        """The store was scanned; resident bundles are not affected."""
        before = self.problem
        self.problem = f"the store {self.store.root} {offer.trouble}" if offer.trouble else ""
        if self.problem and self.problem != before:
            _log.error(
                "store_away",
                store=str(self.store.root),
                why=offer.trouble,
                hint="Is the volume mounted, and may this user read it? No other model can load.",
            )
        elif before and not self.problem:
            _log.info("store_back", store=str(self.store.root), bundles=len(offer.known))

    def look(self) -> None:
        """Remove the oldest bundles that nothing needs, if there are too many; any thread.

        They are deleted by the following look, off the driver's thread.
        """
        self.store.sweep()
        if self.quota_bytes is not None and self.store.size_bytes() > self.quota_bytes:
            self.mailbox.call(self._collect)
        else:
            self._is_short = False

    def _collect(self) -> None:
        """Between two steps of the driver, so that nobody requests a bundle while it is removed."""
        assert self.quota_bytes is not None
        try:
            keep = kept(self.driver.state) | self.pinned()
            removed = self.store.collect(keep, self.quota_bytes)
        except (OSError, BoxError) as error:  # mounted to be read only; something else at .lock
            _log.warning("quota_not_kept", error=str(error))
            return
        for bundle in removed:
            facts = {"size_bytes": bundle.size_bytes, "quota_bytes": self.quota_bytes}
            _log.info("bundle_removed", model=str(bundle.ref), **facts)
            self.recorder.note_removal(bundle.ref, facts)
        self._warn_if_short()

    def _warn_if_short(self) -> None:
        size_bytes = self.store.size_bytes()
        is_short = self.quota_bytes is not None and size_bytes > self.quota_bytes
        if is_short and not self._is_short:
            _log.warning(
                "store_over_quota",
                size_bytes=size_bytes,
                quota_bytes=self.quota_bytes,
                hint="Every bundle left is needed: raise models.quota_mb.",
            )
        self._is_short = is_short
