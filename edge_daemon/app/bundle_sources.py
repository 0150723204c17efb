"""Connects the sources of bundles to the station: events, health and metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edge_daemon.app.resources import Resources
from edge_daemon.control.arrivals import Noticed
from edge_daemon.control.lineage import LineageBook, row_of
from edge_daemon.core.event_names import EventName
from edge_daemon.sources.fetch import Door
from edge_daemon.sources.kinds import make_source
from edge_daemon.sources.pins import PINS_FILE, Pins
from edge_daemon.sources.watch import Happening, SourceWatch


class BundleSources:
    """Nothing where no source is configured; never makes a model active."""

    def __init__(
        self, resources: Resources, put: Callable[[Noticed], None], book: LineageBook
    ) -> None:
        self._put, self._book = put, book
        self._watch: SourceWatch | None = None
        settings = resources.settings
        if settings.sources:
            pins = Pins(settings.state_folder / PINS_FILE)
            self._watch = SourceWatch(
                tuple((each, make_source(each)) for each in settings.sources),
                Door(resources.store, resources.trust, pins),
                self._told,
            )

    def start(self) -> None:
        if self._watch is not None:
            self._watch.start()

    def stop(self) -> None:
        if self._watch is not None:
            self._watch.stop()

    def problems(self) -> tuple[str, ...]:
        """A sentence each; any thread."""
        return self._watch.problems() if self._watch is not None else ()

    def up(self) -> Mapping[str, bool]:
        """Address of each source that was asked -> whether it could be; any thread."""
        return self._watch.up() if self._watch is not None else {}

    def _told(self, happening: Happening) -> None:
        manifest, origin = happening.came, happening.origin
        if manifest is None or origin is None:
            self._put(Noticed(EventName.SOURCE_REFUSED, happening.message))
            return
        self._book.came(row_of(manifest, origin.seen, origin))
        self._put(Noticed(EventName.SOURCE_PULLED, happening.message, model=manifest.ref))
