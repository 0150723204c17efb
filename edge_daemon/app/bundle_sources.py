"""Connects the sources of bundles to the station: events, health and metrics."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping

from edge_daemon.app.resources import Resources
from edge_daemon.control.arrivals import Noticed
from edge_daemon.control.lineage import LineageBook, origin_of, row_of
from edge_daemon.control.rollout_reports import rollout_report
from edge_daemon.control.rollout_rows import word_of
from edge_daemon.core.event_names import EventName
from edge_daemon.host.journal import Entry
from edge_daemon.host.journal_lineage import LineageEntry
from edge_daemon.sources.fetch import PullTarget
from edge_daemon.sources.kinds import make_source, make_writer
from edge_daemon.sources.pins import PINS_FILE, Pins
from edge_daemon.sources.watch import SourceEvent, SourceWatch
from edge_daemon.sources.write_back import Outcome, Records, WriteBack

MOST_ROLLOUTS = 200
"""The newest ones, whose sources are told."""


class BundleSources:
    """Nothing where no source is configured; never makes a model active."""

    def __init__(
        self, resources: Resources, put: Callable[[Noticed], None], book: LineageBook
    ) -> None:
        self._put, self._book = put, book
        self._watch: SourceWatch | None = None
        self._journal, self._clock = resources.journal, resources.clock
        settings = resources.settings
        writers = (
            ((each.kind, each.where), make_writer(each, settings.device))
            for each in settings.sources
        )
        self.write_back = WriteBack(
            {key: writer for key, writer in writers if writer is not None},
            Records(self._outcomes, self._note, self._report),
        )
        if settings.sources:
            pins = Pins(settings.state_folder / PINS_FILE)
            self._watch = SourceWatch(
                tuple((each, make_source(each)) for each in settings.sources),
                PullTarget(resources.store, resources.trust, pins),
                self._told,
            )

    def start(self) -> None:
        if self._watch is not None:
            self._watch.start()
        self.write_back.start()

    def stop(self) -> None:
        self.write_back.stop()
        if self._watch is not None:
            self._watch.stop()

    def problems(self) -> tuple[str, ...]:
        """A sentence each; any thread."""
        if self._watch is None:
            return ()
        return (*self._watch.problems(), *self.write_back.problems())

    def up(self) -> Mapping[str, bool]:
        """Address of each source that was asked -> whether it could be; any thread."""
        return self._watch.up() if self._watch is not None else {}

    def _told(self, happening: SourceEvent) -> None:
        manifest, origin = happening.came, happening.origin
        if manifest is None or origin is None:
            self._put(Noticed(EventName.SOURCE_REFUSED, happening.message))
            return
        self._book.came(row_of(manifest, origin.seen, origin))
        self._put(Noticed(EventName.SOURCE_PULLED, happening.message, model=manifest.ref))

    # ------------------------------------------------------------------ what became of them

    def _outcomes(self) -> Iterator[Outcome]:
        """Rollouts of bundles that came from a source, the oldest first."""
        origins = {row.model: origin_of(row) for row in self._journal.lineage.bundles()}
        told = self._journal.lineage.told()
        for row in reversed(self._journal.rollouts.newest(MOST_ROLLOUTS)):
            origin = origins.get(row.candidate)
            if origin is not None:
                is_over, had = row.ended_utc is not None, told.get(row.id)
                yield Outcome(row.id, row.candidate, word_of(row), is_over, origin, had)

    def _note(self, rollout: str, word: str) -> None:
        now = self._clock.now().utc
        self._journal.commit(Entry(lineage=LineageEntry(utc=now, told={rollout: word})))

    def _report(self, rollout: str) -> bytes:
        return json.dumps(rollout_report(self._journal, rollout)).encode()
