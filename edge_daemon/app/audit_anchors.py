"""Writes the head of the audit trail to the log, and deletes rows older than the setting allows."""

from __future__ import annotations

from contextlib import suppress

import structlog

from edge_daemon.app.status import Status
from edge_daemon.core.values import Instant
from edge_daemon.errors import StateError
from edge_daemon.host.audit import Anchor
from edge_daemon.host.journal import Journal

EVERY_S = 60.0
YEAR_S = 365.25 * 86_400.0

_log = structlog.get_logger(__name__)


class AuditAnchors:
    """Looks once a second, on the monitor's thread; `keep_years` None keeps every row."""

    def __init__(self, journal: Journal, keep_years: int | None = None) -> None:
        self._journal = journal
        self._keep_s = None if keep_years is None else keep_years * YEAR_S
        self._due_at = float("-inf")
        self._told = Anchor()

    def hear(self, status: Status) -> None:
        """Called with each second's status."""
        self.look(status.line.now)

    def look(self, now: Instant) -> None:
        """Once a minute: log the head if it is new, and delete rows that are too old."""
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
