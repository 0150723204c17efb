"""What each second's status says of this station to its fleet: the topic `fleet`."""

from __future__ import annotations

from collections.abc import Callable

from edge_daemon.app.problems import problems
from edge_daemon.app.resources import Resources
from edge_daemon.app.status import Status
from edge_daemon.config import FleetSettings
from edge_daemon.control.reporter import Reporter
from edge_daemon.core.fleet.report import Stand
from edge_daemon.fleet.receipts import Receipts, Shown, written
from edge_daemon.fleet.report import Place, Seen, StationReport
from edge_daemon.host.boundary import contained


class FleetReports:
    """Told each second's status; says what is news, where `fleet` is set."""

    def __init__(
        self, report: StationReport, receipts: Receipts, show: Callable[[Shown], None]
    ) -> None:
        self._report = report
        self._receipts = receipts
        self._show = show
        self._shown: Shown | None = None

    @classmethod
    def of(
        cls,
        resources: Resources,
        fleet: FleetSettings,
        to: Reporter,
        stand: Callable[[], Stand | None] = lambda: None,
    ) -> FleetReports:
        """For the station of these settings."""
        device, boot = resources.settings.device, resources.boot
        place = Place(device, boot, fleet.site, fleet.group, fleet.report_every_s)
        return cls(
            StationReport(place, to.fleet, stand),
            Receipts(resources.journal),
            lambda shown: to.receipt(written(device, shown)),
        )

    def hear(self, status: Status) -> None:
        """The next second."""
        line, shown = status.line, None
        with contained() as attempt:
            shown = self._receipts.of(status.model.swap_id)
        if attempt.fault is None and shown is not None and shown != self._shown:
            self._show(shown)
            self._shown = shown
        self._report.hear(
            Seen(
                line.now,
                status.model,
                line.state.available,
                status.journal.audit,
                shown.chain if shown is not None else None,
                not problems(status),
            )
        )
