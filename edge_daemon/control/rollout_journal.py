"""What the rollout's evaluator has not written yet: it waits where the disk is full."""

from __future__ import annotations

from dataclasses import replace

import structlog

from edge_daemon.control.rollout_rows import relabelled
from edge_daemon.control.rollout_tools import PairRetention
from edge_daemon.core.rollout.evidence import Place
from edge_daemon.core.values import Verdict
from edge_daemon.errors import StateError
from edge_daemon.host.clock import Clock
from edge_daemon.host.journal import Entry, Journal
from edge_daemon.host.journal_rollouts import LookRow, PairRow, RolloutRow, RolloutsEntry

_log = structlog.get_logger(__name__)


class RolloutJournal:
    """Rows that become durable together, on the evaluator's thread."""

    def __init__(self, journal: Journal, clock: Clock, keep: PairRetention) -> None:
        self._journal = journal
        self._clock = clock
        self._keep = keep
        self.pairs: list[PairRow] = []
        self.looks: list[LookRow] = []
        self.is_dirty = False
        """Whether the evidence changed since it was written."""
        self._relabelled: dict[str, RolloutRow] = {}

    @property
    def has_unsaved(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.is_dirty or self.pairs or self.looks)

    def label_ended(self, rollout: str, place: Place, truth: Verdict) -> Place:
        """The evidence of one that is over follows its labels: another try may go on with it."""
        row = self._relabelled.get(rollout) or self._journal.rollouts.find(rollout)
        if row is None or row.ended_utc is None:
            return replace(place, truth=truth)
        try:
            self._relabelled[rollout], place = relabelled(row, place, truth)
        except ValueError as error:
            _log.warning("rollout_evidence_unreadable", rollout=rollout, error=str(error))
            return replace(place, truth=truth)
        return place

    def commit(self, row: RolloutRow | None) -> None:
        """Write all of it. A disk that is full loses nothing: the rows wait for the next turn."""
        since_utc = self._clock.now().utc - self._keep.days * 86_400.0
        pairs, looks = tuple(self.pairs), tuple(self.looks)
        over = tuple(self._relabelled.values())
        entry = RolloutsEntry(row, pairs, (), self._keep.most, since_utc, looks, over)
        try:
            self._journal.commit(Entry(rollouts=entry))
        except StateError as error:
            _log.error("rollout_not_saved", error=error.message)
            return
        self.pairs.clear()
        self.looks.clear()
        self._relabelled.clear()
        self.is_dirty = False
