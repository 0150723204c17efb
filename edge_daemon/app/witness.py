"""The witness: writes the audit trail's head into the log, lets rows go that are too old, and
sees where the clock says an earlier time than what is on record."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import structlog

from edge_daemon.control.payloads import iso_utc
from edge_daemon.core.values import Instant
from edge_daemon.errors import StateError
from edge_daemon.host.audit import Anchor
from edge_daemon.host.clock import set_back_s
from edge_daemon.host.journal import Journal

EVERY_S = 60.0
YEAR_S = 365.25 * 86_400.0

_log = structlog.get_logger(__name__)


class Witness:
    """Looked after by the keeper, once a second; `keep_years` None keeps every row."""

    def __init__(self, journal: Journal, keep_years: int | None = None) -> None:
        self._journal = journal
        self._keep_s = None if keep_years is None else keep_years * YEAR_S
        self._due_at = float("-inf")
        self._told = Anchor()

    def look(self, now: Instant) -> None:
        """Once a minute: tell the head where it is a new one, cut where there is something."""
        if now.at < self._due_at:
            return
        self._due_at = now.at + EVERY_S
        if self._keep_s is not None:
            with suppress(StateError):  # the journal's trouble is a problem of health already
                self._journal.cut_audit(now.utc, self._keep_s)
        head = self._journal.audit_head()
        if head != self._told:
            self._told = head
            _log.info("audit_head", seq=head.seq, hash=head.hash)

    def problems(self, now: Instant) -> Iterator[str]:
        """A sentence where the clock was set back; any thread."""
        newest_utc = self._journal.newest_utc
        if set_back_s(now, newest_utc):
            yield (
                f"the clock was set back: it says {iso_utc(now.utc)}, and {iso_utc(newest_utc)} is "
                "on record; requests with a time are refused"
            )
