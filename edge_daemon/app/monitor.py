"""The monitor: looks at the whole station once a second and tells its readers.

Each look makes one `Status`. A scrape and a request of the page each make one of their own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import structlog

from edge_daemon.app.problems import problems
from edge_daemon.app.signs_of_life import second, signs_of_life
from edge_daemon.app.status import LineStatus, Status
from edge_daemon.core.roles import role
from edge_daemon.core.state import State
from edge_daemon.core.values import Instant
from edge_daemon.frames.ledger import Ledger
from edge_daemon.host.error_boundary import ErrorBoundary
from edge_daemon.host.health import Health, Signs, healthy, ready
from edge_daemon.host.metrics import Metrics, ModelRole
from edge_daemon.web.history import History

_log = structlog.get_logger(__name__)

LOOK_S = 1.0


class Sources(Protocol):
    """The sources of a status; any thread may ask, and nothing here waits."""

    def line(self) -> LineStatus:
        """What health depends on, now."""
        ...

    def status(self, line: LineStatus, signs: Signs) -> Status:
        """Everything else, together with these."""
        ...


class Watch(Protocol):
    """Something that is looked at once a second, before the status is made."""

    def look(self, now: Instant) -> None: ...


Reader = Callable[[Status], None]
"""Told each second's status, on the monitor's thread."""


class Monitor:
    """Looks on a thread of its own.

    Args:
        watches: looked at each second, before its status is made.
        readers: told each second's status, in this order.
    """

    def __init__(
        self,
        sources: Sources,
        ledger: Ledger,
        metrics: Metrics,
        watches: Sequence[Watch] = (),
        readers: Sequence[Reader] = (),
    ) -> None:
        self._sources = sources
        self._ledger = ledger
        self._metrics = metrics
        self._watches = watches
        self._readers = readers
        line = sources.line()
        self._last = line, Signs(line.now.at)
        self._scraping = threading.Lock()
        self._stopping = threading.Event()
        self._boundary = ErrorBoundary(_log, "monitor_failed")
        self._thread = threading.Thread(target=self._run, name="monitor", daemon=True)
        self.history = History()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after the current look."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(2 * LOOK_S)

    # ------------------------------------------------------------------ any thread

    def now(self) -> Status:
        return self._sources.status(*self._line_now())

    def problems(self) -> tuple[str, ...]:
        return problems(self.now())

    def health(self) -> Health:
        """For `/healthz`: as `Status.healthy`, in microseconds."""
        line, signs = self._line_now()
        return healthy(signs, line.now.at)

    def ready(self) -> Health:
        """For `/readyz`: as `Status.ready`, in microseconds."""
        line, signs = self._line_now()
        return ready(signs, line.now.at)

    def scrape(self) -> bytes:
        """The text of `/metrics`, all of one moment."""
        with self._scraping:
            status = self.now()
            set_gauges(self._metrics, status)
            return self._metrics.render(status.line.totals)

    def _line_now(self) -> tuple[LineStatus, Signs]:
        before, signs = self._last
        line = self._sources.line()
        return line, signs_of_life(signs, before, line)

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_S):
            self.look()

    def look(self) -> None:
        """One look, each second; one that fails is a gap in a plot."""
        with self._boundary.turn():
            self._look()

    def _look(self) -> None:
        before, _ = self._last
        self._last = line, signs = self._line_now()
        latency = self._ledger.latency_between(before.totals.counts, line.totals.counts)
        self.history.add(second(before, line, latency))
        for watch in self._watches:
            watch.look(line.now)
        status = self._sources.status(line, signs)
        for read in self._readers:
            read(status)


def set_gauges(metrics: Metrics, status: Status) -> None:
    """Set every gauge of `/metrics`; counters are counted where things happen."""
    metrics.camera(status.line.camera_online)
    metrics.mqtt(status.line.broker_online)
    metrics.store(not status.store_trouble)
    metrics.sources(status.sources_up)
    metrics.outbox(status.journal.waiting)
    metrics.models(resident(status.line.state))
    for name, size_bytes in status.box.slot_memory.items():
        metrics.slot_memory(name, "host", size_bytes)
    metrics.certificates(status.box.certificates)
    if status.box.gpu is not None:
        metrics.gpu(status.box.gpu)


def resident(state: State) -> Iterator[ModelRole]:
    """The content and the role of each slot, for the metrics."""
    for slot in state.slots:
        if slot.bundle is not None:
            yield ModelRole(slot.bundle.ref, slot.bundle.sha256, slot.name, role(state, slot))
