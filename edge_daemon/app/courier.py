"""Connects the courier to the station: campaigns, neighbours, hold, the line's pace and health."""

from __future__ import annotations

import queue
from collections.abc import Callable

import structlog

from edge_daemon.app.status import Status
from edge_daemon.config import FleetSettings, Settings
from edge_daemon.config.fleet import FleetTrust, ShareSettings
from edge_daemon.core.fleet.campaign import Campaign
from edge_daemon.courier import peers, wire
from edge_daemon.courier.child import CourierProcess
from edge_daemon.courier.latency_guard import LatencyGuard
from edge_daemon.courier.staging import Wanted
from edge_daemon.errors import SenderError
from edge_daemon.fleet.follower import FetchProgress
from edge_daemon.fleet.freshness.monitor import Refreshing
from edge_daemon.host.clock import Clock
from edge_daemon.messaging.messages import Incoming

_log = structlog.get_logger(__name__)


class CourierWatch:
    """Starts nothing where the settings name no source.

    Args:
        publish: says something retained; None: it was not taken.
        looked: hears how each look at the fleet's metadata ended.

    `want` and `brought` are the follower's thread's, `came` the network's, `hear` the monitor's.
    """

    def __init__(
        self,
        settings: Settings,
        fleet: FleetSettings,
        clock: Clock,
        publish: Callable[[str, bytes], object],
        looked: Callable[[wire.RefreshResult], None] = lambda _: None,
    ) -> None:
        self._publish, self._clock = publish, clock
        self._site = fleet.site if fleet.share != "none" else None
        self._topic = peers.peer_topic(self._site, settings.device) if self._site else ""
        self._fetches = bool(fleet.sources)
        self._process: CourierProcess | None = None
        if fleet.sources or fleet.trust.root is not None:
            self._process = CourierProcess(_setup(settings, fleet), looked=looked)
        self._peers, self._latency = peers.Peers(), LatencyGuard()
        self._news: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
        self._said: tuple[float, wire.Progress] | None = None
        self._moved = 0

    @property
    def refreshing(self) -> Refreshing | None:
        """Who looks at the fleet's metadata; None: no root is pinned here, and no source named."""
        return self._process

    def start(self) -> None:
        if self._process is not None:
            self._process.start()

    def stop(self) -> None:
        if self._process is None:
            return
        if self._said is not None:
            self._publish(self._topic, b"")
        self._process.stop()

    # ------------------------------------------------------------------ campaigns

    def want(self, campaign: Campaign | None) -> None:
        if self._process is not None and self._fetches:
            self._process.want(None if campaign is None else _wanted(campaign))

    def brought(self, campaign: Campaign) -> FetchProgress:
        if self._process is None or not self._fetches:
            return FetchProgress()
        progress = self._process.progress()
        if progress.phase == "broken":
            return FetchProgress(why=progress.why)
        if progress.sha256 != campaign.sha256:
            return FetchProgress()
        is_refused = progress.phase == "refused"
        came = {"origin": progress.origin, "peers": progress.peers}
        return FetchProgress(
            "" if is_refused else progress.why,
            progress.why if is_refused else "",
            came if any(came.values()) else {},
        )

    # ------------------------------------------------------------------ the site

    def came(self, incoming: Incoming) -> None:
        """A neighbour's word."""
        self._news.put((incoming.topic, incoming.payload))
        incoming.done()

    def online(self) -> None:
        """A broker accepted our connection: it may have forgotten this station's word."""
        if self._said is not None:
            self._said = (float("-inf"), self._said[1])

    def hear(self, status: Status) -> None:
        """The next second: pass on what neighbours said, rest where the line needs it, speak."""
        if self._process is None:
            return
        now, progress = status.line.now, self._process.progress()
        while not self._news.empty():
            topic, payload = self._news.get()
            try:
                self._peers.hear(topic, payload)
            except SenderError as error:
                _log.warning("neighbour_refused", topic=topic[:200], error=error.message)
        self._process.know(self._peers.there(now.utc))
        moved = progress.origin + progress.peers + progress.given
        judged = status.line.totals.counts.inspected
        is_slow = self._latency.must_pause(
            status.frames.latency, judged, now.at, is_moving=moved != self._moved
        )
        self._moved = moved
        self._process.rest(is_on=status.model.held or is_slow)
        self._speak(progress)

    def problem(self) -> tuple[str, ...]:
        """A sentence where the courier cannot work at all; any thread."""
        progress = self._process.progress() if self._process is not None else wire.Progress()
        return (f"the courier cannot work: {progress.why}",) if progress.phase == "broken" else ()

    def _speak(self, progress: wire.Progress) -> None:
        if not self._topic or not progress.port:
            return
        now = self._clock.now()
        if self._said is not None:
            at, said = self._said
            same = (said.infohash, said.port, said.at) == (
                progress.infohash, progress.port, progress.at,
            )  # fmt: skip
            grown = abs(progress.have - said.have)
            is_news = grown >= peers.STEP or (grown > 0.0 and progress.have == 1.0)
            if same and not is_news and now.at - at < peers.AGAIN_S:
                return
        body = peers.peer(progress, now.utc)
        if self._publish(self._topic, body) is not None:
            self._said = (now.at, progress)


def _wanted(campaign: Campaign) -> Wanted:
    return Wanted(
        campaign.model,
        campaign.sha256,
        campaign.infohash or "",
        campaign.size,
        campaign.manifest_sha256,
    )


def _setup(settings: Settings, fleet: FleetSettings) -> wire.Setup:
    models, share = settings.models, fleet.share
    return wire.Setup(
        settings.device,
        str(models.store),
        tuple(str(key) for key in models.trust.public_keys),
        models.trust.required,
        tuple(
            wire.SourceSpec(
                "http" if each.http else "oci",
                str(each.http or each.oci).rstrip("/"),
                None if each.ca is None else str(each.ca),
                each.metered,
            )
            for each in fleet.sources
        ),
        tuple(models.revoked),
        _share(share) if isinstance(share, ShareSettings) else None,
        share.down_mbit if isinstance(share, ShareSettings) else 80.0,
        _fresh(settings, fleet.trust),
    )


def _fresh(settings: Settings, trust: FleetTrust) -> wire.FreshnessSpec | None:
    if trust.root is None:
        return None
    return wire.FreshnessSpec(
        str(settings.state_folder),
        str(trust.root),
        trust.metadata,
        None if trust.metadata_ca is None else str(trust.metadata_ca),
        trust.expires_grace_s,
    )


def _share(share: ShareSettings) -> wire.Share:
    return wire.Share(
        share.interface,
        str(share.certificate),
        str(share.key),
        str(share.ca),
        share.port,
        share.up_mbit,
        share.down_mbit,
        share.peers == "site",
    )
