"""What the rollout's recorder has not written yet: it waits where the disk is full."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import structlog

from edge_daemon.config.rollouts import PairRetentionSettings
from edge_daemon.control.refusals import LogThrottle
from edge_daemon.control.rollout_rows import relabelled
from edge_daemon.core.rollout.evidence import Place
from edge_daemon.core.values import Verdict
from edge_daemon.errors import StateError
from edge_daemon.host.clock import Clock
from edge_daemon.host.journal import Entry, Journal
from edge_daemon.host.journal_rollouts import (
    LookRow,
    PairRow,
    PartKey,
    RolloutRow,
    RolloutsEntry,
)

_log = structlog.get_logger(__name__)


class UnsavedRows:
    """Rows that become durable together, on the recorder's thread."""

    def __init__(self, journal: Journal, clock: Clock, keep: PairRetentionSettings) -> None:
        self._journal = journal
        self._clock = clock
        self._keep = keep
        self._refused = LogThrottle()
        self._pairs: dict[tuple[str, str, int], PairRow] = {}
        self._ended: dict[str, RolloutRow] = {}
        self.looks: list[LookRow] = []
        self.is_dirty = False
        """Whether the evidence of the rollout that runs changed since it was written."""

    def __bool__(self) -> bool:
        return bool(self.is_dirty or self._pairs or self._ended or self.looks)

    def keep(self, row: PairRow) -> None:
        """A pair that is new, or has another label; no more wait than are kept anyway."""
        self._pairs[row.rollout, row.boot, row.part] = row
        if len(self._pairs) > self._keep.most:
            del self._pairs[next(iter(self._pairs))]

    def pairs_of(self, parts: Collection[PartKey]) -> list[PairRow]:
        """The pairs of these parts as they are now, written or not. Raises StateError."""
        found = {(r.rollout, r.boot, r.part): r for r in self._journal.rollouts.pairs_of(parts)}
        waiting = self._pairs.items()
        found |= {key: row for key, row in waiting if (row.boot, row.part) in parts}
        return list(found.values())

    def end(self, row: RolloutRow) -> None:
        """A rollout that is over."""
        self._ended[row.id] = row

    def label_ended(self, rollout: str, place: Place, truth: Verdict) -> Place:
        """The evidence of one that is over follows its labels: another try may go on with it."""
        row = self._ended.get(rollout) or self._journal.rollouts.find(rollout)
        if row is None or row.ended_utc is None:
            return replace(place, truth=truth)
        try:
            self._ended[rollout], place = relabelled(row, place, truth)
        except ValueError as error:
            _log.warning("rollout_evidence_unreadable", rollout=rollout, error=str(error))
            return replace(place, truth=truth)
        return place

    def commit(self, row: RolloutRow | None) -> bool:
        """Write all of it, and `row` of the rollout that runs; False where the disk is full.

        Nothing is lost then: the rows wait for the next time.
        """
        now = self._clock.now()
        entry = RolloutsEntry(
            row,
            tuple(self._pairs.values()),
            most=self._keep.most,
            since_utc=now.utc - self._keep.days * 86_400.0,
            looks=tuple(self.looks),
            over=tuple(self._ended.values()),
        )
        try:
            self._journal.commit(Entry(rollouts=entry))
        except StateError as error:
            count = self._refused.comes(now.at)
            if count is not None:
                _log.error("rollout_not_saved", error=error.message, count=count)
            return False
        self._pairs.clear()
        self._ended.clear()
        self.looks.clear()
        self.is_dirty = False
        return True
