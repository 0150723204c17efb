"""Writes down now and then which bundle is active, and how many frames each one judged."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

from edge_daemon.app.resources import Resources
from edge_daemon.app.status import Status
from edge_daemon.core.totals import Totals
from edge_daemon.core.values import StoredBundle
from edge_daemon.errors import StateError
from edge_daemon.host.journal import Entry
from edge_daemon.host.journal_lineage import ActiveRow, LineageEntry

EVERY_S = 60.0
"""So much is missing from the record after a power cut."""


class JudgedModels:
    """A change of the active bundle is seen within a second.

    Args:
        totals: what was judged since the start.
        active: the bundle that judges now.
    """

    def __init__(
        self,
        resources: Resources,
        totals: Callable[[], Totals],
        active: Callable[[], StoredBundle | None],
    ) -> None:
        self._journal, self._clock = resources.journal, resources.clock
        self._boot = resources.boot
        self._totals, self._active = totals, active
        self._counted: dict[str, int] = {}  # frames of each bundle that are on record
        self._span: ActiveRow | None = None
        self._saved_at = float("-inf")
        self._saving = threading.Lock()

    def hear(self, status: Status) -> None:
        """The next second; the disk is written once a minute, and when another bundle judges."""
        active = self._active()
        is_other = (active and str(active.ref)) != (self._span and self._span.model)
        if is_other or status.line.now.at - self._saved_at >= EVERY_S:
            self.save()

    def save(self) -> None:
        """Write what came since; what the disk refuses is written the next time."""
        with self._saving:  # the monitor's thread does so, and the one that stops the daemon
            now, active = self._clock.now(), self._active()
            self._saved_at = now.at
            frames = {
                str(ref): sum(tally.verdicts.values())
                for ref, tally in self._totals().models.items()
                if ref is not None
            }
            more = _grown(self._counted, frames)
            ended = self._span and replace(
                self._span, to_utc=now.utc, frames=self._span.frames + more.get(self._span.model, 0)
            )
            span = ended
            if active is None:
                span = None
            elif ended is None or ended.model != str(active.ref):
                begun = more.get(str(active.ref), 0)
                span = ActiveRow(self._boot, str(active.ref), now.utc, now.utc, begun)
            rows = tuple(dict.fromkeys(row for row in (ended, span) if row is not None))
            if not rows and not more:
                return
            with suppress(StateError):  # it is a problem of health already
                self._journal.commit(Entry(lineage=LineageEntry((), rows, more, now.utc)))
                self._counted, self._span = frames, span


def _grown(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """What was added to each count; one that is lower than before began anew from zero."""
    grown = {
        name: count - (earlier if (earlier := before.get(name, 0)) <= count else 0)
        for name, count in after.items()
    }
    return {name: count for name, count in grown.items() if count}
