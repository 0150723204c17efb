"""What is done now and then: retry the disk, log a summary, write the head of the audit trail."""

from __future__ import annotations

from contextlib import suppress

import structlog

from edge_daemon.app.signs_of_life import rounded
from edge_daemon.app.status import Status
from edge_daemon.core.values import Instant
from edge_daemon.errors import StateError
from edge_daemon.host import allocator
from edge_daemon.host.audit import Anchor
from edge_daemon.host.disk import Reserve
from edge_daemon.host.journal import Journal

_log = structlog.get_logger(__name__)

SUMMARY_S = 10.0
"""Between two summaries in the log."""
TELL_AGAIN_S = 60.0
"""Between two lines of the log about messages that were given up."""
EVERY_S = 60.0
"""Between two looks at the audit trail."""
YEAR_S = 365.25 * 86_400.0


class DiskWatch:
    """Retries a disk that refused a write; reports a full outbox once a minute."""

    def __init__(self, journal: Journal, reserve: Reserve) -> None:
        self._journal = journal
        self._reserve = reserve
        self._told = 0
        self._told_at = float("-inf")

    def hear(self, status: Status) -> None:
        if status.journal.trouble:
            with suppress(StateError):  # it is a problem of health already
                self._journal.probe()
        elif status.line.state.active is not None:
            self._reserve.keep()
        given_up, at = status.journal.given_up, status.line.now.at
        if given_up > self._told and at - self._told_at >= TELL_AGAIN_S:
            _log.error("outbox_overflowed", given_up=given_up - self._told)
            self._told, self._told_at = given_up, at


class Summary:
    """Logs a summary now and then, and returns free memory to the system."""

    def __init__(self, started_at: float) -> None:
        self._told_at = started_at

    def hear(self, status: Status) -> None:
        line = status.line
        if line.now.at - self._told_at < SUMMARY_S:
            return
        self._told_at = line.now.at
        active = line.state.active_bundle
        fps, picture, latency = line.camera.fps, line.camera.measures, status.frames.latency
        _log.info(
            "line",
            model=str(active.ref) if active else None,
            fps=round(fps, 2) if fps else None,
            p50_ms=rounded(latency.p50),
            p99_ms=rounded(latency.p99),
            mean=rounded(picture.mean) if picture else None,
            contrast=rounded(picture.contrast) if picture else None,
            sharpness=rounded(picture.sharpness) if picture else None,
            **vars(line.totals.counts),
        )
        allocator.give_back()


class AuditAnchors:
    """Writes the head of the audit trail to the log, and deletes rows older than `keep_years`;
    None keeps every row."""

    def __init__(self, journal: Journal, keep_years: int | None = None) -> None:
        self._journal = journal
        self._keep_s = None if keep_years is None else keep_years * YEAR_S
        self._due_at = float("-inf")
        self._told = Anchor()

    def hear(self, status: Status) -> None:
        self.look(status.line.now)

    def look(self, now: Instant) -> None:
        """Once a minute: log the head if it is new, and delete rows that are too old."""
        if now.at < self._due_at:
            return
        self._due_at = now.at + EVERY_S
        if self._keep_s is not None:
            with suppress(StateError):  # it is a problem of health already
                self._journal.cut_audit(now.utc, self._keep_s)
        head = self._journal.audit_head()
        if head != self._told:
            self._told = head
            _log.info("audit_head", seq=head.seq, hash=head.hash)
