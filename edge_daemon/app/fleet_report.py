"""What each second's status says of this station to its fleet: the topic `fleet`."""

from __future__ import annotations

from edge_daemon.app.campaigns import Campaigns
from edge_daemon.app.problems import problems
from edge_daemon.app.resources import Resources
from edge_daemon.app.status import Status
from edge_daemon.control.reporter import Reporter
from edge_daemon.fleet.report import Place, Seen, StationReport
from edge_daemon.host.metrics import Metrics


class FleetReports:
    """Told each second's status; says what is news, where `fleet` is set."""

    def __init__(self, report: StationReport, campaigns: Campaigns, metrics: Metrics) -> None:
        self._report = report
        self._campaigns = campaigns
        self._metrics = metrics

    @classmethod
    def of(cls, resources: Resources, to: Reporter, campaigns: Campaigns) -> FleetReports:
        """For the station of these settings; `fleet` is set."""
        settings, boot = resources.settings, resources.boot
        fleet = settings.fleet
        assert fleet is not None
        place = Place(settings.device, boot, fleet.site, fleet.group, fleet.report_every_s)
        report = StationReport(place, to.fleet, campaigns.stand, campaigns.fresh_until)
        return cls(report, campaigns, resources.metrics)

    def hear(self, status: Status) -> None:
        """The next second."""
        line = status.line
        self._measure(line.now.utc)
        self._report.hear(
            Seen(
                line.now,
                status.model,
                line.state.available,
                status.journal.audit,
                not problems(status),
            )
        )

    def _measure(self, utc: float) -> None:
        stand, until = self._campaigns.stand(), self._campaigns.fresh_until()
        self._metrics.fleet(
            stand.campaign if stand else None,
            stand.phase.value if stand else "",
            None if until is None else until - utc,
        )
        if stand is not None and stand.bytes:
            self._metrics.fleet_bytes(stand.bytes)
