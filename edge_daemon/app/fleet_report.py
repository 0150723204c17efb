"""What each second's status says of this station to its fleet: the topic `fleet`."""

from __future__ import annotations

from edge_daemon.app.campaigns import Campaigns
from edge_daemon.app.problems import problems
from edge_daemon.app.status import Status
from edge_daemon.config import Settings
from edge_daemon.control.reporter import Reporter
from edge_daemon.fleet.report import Place, Seen, StationReport


class FleetReports:
    """Told each second's status; says what is news, where `fleet` is set."""

    def __init__(self, report: StationReport) -> None:
        self._report = report

    @classmethod
    def of(cls, settings: Settings, boot: str, to: Reporter, campaigns: Campaigns) -> FleetReports:
        """For the station of these settings; `fleet` is set."""
        fleet = settings.fleet
        assert fleet is not None
        place = Place(settings.device, boot, fleet.site, fleet.group, fleet.report_every_s)
        return cls(StationReport(place, to.fleet, campaigns.stand, campaigns.fresh_until))

    def hear(self, status: Status) -> None:
        """The next second."""
        line = status.line
        self._report.hear(
            Seen(
                line.now,
                status.model,
                line.state.available,
                status.journal.audit,
                not problems(status),
            )
        )
