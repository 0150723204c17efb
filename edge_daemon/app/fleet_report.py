"""What each second's status says of this station to its fleet: the topic `fleet`."""

from __future__ import annotations

from edge_daemon.app.campaigns import Campaigns
from edge_daemon.app.problems import problems
from edge_daemon.app.resources import Resources
from edge_daemon.app.status import Status
from edge_daemon.config import FleetSettings
from edge_daemon.control.reporter import Reporter
from edge_daemon.fleet.receipts import ReportedReceipts, ShownProof, written
from edge_daemon.fleet.report import StationIdentity, StationReport, StationSnapshot
from edge_daemon.host.error_boundary import contained


class FleetReports:
    """Told each second's status; says what is news."""

    def __init__(
        self, resources: Resources, fleet: FleetSettings, to: Reporter, campaigns: Campaigns
    ) -> None:
        self._device, self._metrics = resources.settings.device, resources.metrics
        self._receipts = ReportedReceipts(resources.journal)
        self._campaigns, self._to = campaigns, to
        self._shown: ShownProof | None = None
        self._report = StationReport(
            StationIdentity(
                self._device, resources.boot, fleet.site, fleet.group, fleet.report_every_s
            ),
            to.fleet,
            campaigns.campaign_status,
            campaigns.fresh_until,
        )

    def hear(self, status: Status) -> None:
        line, shown = status.line, None
        self._measure(line.now.utc)
        with contained():
            shown = self._receipts.of(status.model.swap_id)
        if shown is not None and shown != self._shown:
            self._to.receipt(written(self._device, shown))
            self._shown = shown
        self._report.hear(
            StationSnapshot(
                line.now,
                status.model,
                line.state.available,
                status.journal.audit,
                shown.chain if shown is not None else None,
                not problems(status),
            )
        )

    def _measure(self, utc: float) -> None:
        status, until = self._campaigns.campaign_status(), self._campaigns.fresh_until()
        self._metrics.fleet(
            status.campaign if status else None,
            status.phase.value if status else "",
            None if until is None else until - utc,
        )
        if status is not None and status.bytes:
            self._metrics.fleet_bytes(status.bytes)
