"""This station's report to the fleet: said when something in it changes, and again in time.

Figures alone are no news of a second: they move with each part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from edge_daemon import __version__
from edge_daemon.core.fleet.report import (
    CampaignStatus,
    Chain,
    Measures,
    Phase,
    Report,
    ReportedBundle,
)
from edge_daemon.core.values import Instant, StoredBundle
from edge_daemon.host.audit import Anchor
from edge_daemon.messaging import fleet_payloads
from edge_daemon.messaging.payloads import ModelState

FIGURES_S = 5.0
"""Figures that moved are said again after so long."""


@dataclass(frozen=True)
class StationSnapshot:
    """The station in one second, as far as its report goes."""

    now: Instant
    model: ModelState
    stored: tuple[StoredBundle, ...] = ()
    audit: Anchor = Anchor()
    proof: Chain | None = None
    is_healthy: bool = True


@dataclass(frozen=True)
class StationIdentity:
    """What of a report stays as it is while the daemon runs."""

    device: str
    boot: str
    site: str | None = None
    group: str | None = None
    every_s: int = 60


class StationReport:
    """Makes the station's reports; `say` publishes one, retained.

    `status` tells how the station stands in a campaign; None: in none. `fresh_until` tells until
    when it begins campaigns, in POSIX seconds; None: nothing limits it. Called from one thread.
    """

    def __init__(
        self,
        place: StationIdentity,
        say: Callable[[bytes], None],
        status: Callable[[], CampaignStatus | None],
        fresh_until: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._place = place
        self._say = say
        self._campaign_status, self._fresh_until = status, fresh_until
        self._said: Report | None = None
        self._said_at = 0.0

    def hear(self, seen: StationSnapshot) -> None:
        """Say it if it is news, or if the last one is `every_s` old."""
        report = self._report(seen)
        last = self._said
        if last is not None:
            age_s = seen.now.at - self._said_at
            moved = _figures(report) != _figures(last)
            is_due = age_s >= self._place.every_s or (moved and age_s >= FIGURES_S)
            if _content(report) == _content(last) and not is_due:
                return
            report = replace(report, seq=last.seq + 1)
        self._said, self._said_at = report, seen.now.at
        self._say(fleet_payloads.report(report))

    def _report(self, seen: StationSnapshot) -> Report:
        place, model, status = self._place, seen.model, self._campaign_status()
        active = model.active
        judging = active.model if active else None
        # The one that judges comes first, so that it is never what is left out.
        stored = sorted(seen.stored, key=lambda each: str(each.ref) != judging)
        named = stored[: fleet_payloads.MOST_STORED]
        return Report(
            device=place.device,
            boot=place.boot,
            seq=0,
            said_utc=seen.now.utc,
            every_s=place.every_s,
            version=__version__,
            site=place.site,
            group=place.group,
            phase=status.phase if status is not None else _phase(model),
            model=judging,
            sha256=active.sha256 if active else None,
            stored=tuple(ReportedBundle(str(each.ref), each.sha256) for each in named),
            stored_more=len(stored) - len(named),
            held=model.held,
            receipt=model.swap_id,
            chain=Chain(seen.audit.seq, seen.audit.hash) if seen.audit.seq else None,
            proof=seen.proof,
            campaign_status=status,
            is_healthy=seen.is_healthy,
            fresh_until=self._fresh_until(),
        )


def _content(report: Report) -> Report:
    """What is news when it changes: the audit trail and a bundle grow all the time.

    Freshness is renewed each hour, which is no news either.
    """
    status = report.campaign_status and replace(
        report.campaign_status, bytes={}, measures=Measures()
    )
    return replace(
        report, seq=0, said_utc=0.0, chain=None, fresh_until=None, campaign_status=status
    )


def _figures(report: Report) -> Measures:
    """What was measured; that frames come is told in time."""
    return (
        replace(report.campaign_status.measures, frames=0) if report.campaign_status else Measures()
    )


def _phase(model: ModelState) -> Phase | None:
    if model.active is None:
        return None
    return Phase.TRIAL if model.active.trial else Phase.CONFIRMED
