"""Connects the campaigns of many stations to the control room of this one."""

from __future__ import annotations

from edge_daemon.app.control_plane import ControlPlane
from edge_daemon.app.courier import CourierWatch
from edge_daemon.app.resources import Resources
from edge_daemon.app.status import Status
from edge_daemon.config import Settings
from edge_daemon.core.fleet.report import CampaignStatus
from edge_daemon.courier.peers import is_peer_topic, peers_filter
from edge_daemon.courier.wire import RefreshResult
from edge_daemon.fleet.follower import Context, Follower
from edge_daemon.fleet.freshness.monitor import FreshnessMonitor
from edge_daemon.fleet.freshness.refresher import Refreshed
from edge_daemon.fleet.measured import Measured
from edge_daemon.fleet.messages import FILTERS
from edge_daemon.messaging.messages import Incoming
from edge_daemon.slots.frame_control import FrameControl


def filters_of(settings: Settings) -> tuple[str, ...]:
    """The topics of campaigns and of neighbours, where keys of campaigns are trusted here."""
    fleet = settings.fleet
    if fleet is None or not fleet.trust.is_given:
        return ()
    shares = fleet.site is not None and fleet.share != "none"
    return (*FILTERS, peers_filter(str(fleet.site))) if shares else FILTERS


class Campaigns:
    """What campaigns ask of this station; nothing where no key is trusted."""

    def __init__(self, resources: Resources, control: ControlPlane, line: FrameControl) -> None:
        self._control = control
        self._follower: Follower | None = None
        self._courier: CourierWatch | None = None
        self._freshness: FreshnessMonitor | None = None
        settings = resources.settings
        if settings.fleet is not None and filters_of(settings):
            self._courier = CourierWatch(
                settings,
                settings.fleet,
                resources.clock,
                lambda topic, body: control.session.publish(topic, body, qos=1, retain=True),
                self._looked,
            )
            control.joined = self._courier.online
            trust, folder = settings.fleet.trust, settings.state_folder
            if trust.root is not None and self._courier.refreshing is not None:
                refreshing = self._courier.refreshing
                self._freshness = FreshnessMonitor(trust, folder, resources.clock, refreshing)
            context = Context(
                settings.device,
                settings.state_folder,
                resources.clock,
                lambda: control.driver.state,
                resources.journal.find_request,
                control.mailbox.put_request,
                self._freshness,
                self._courier,
                Measured(resources.journal, line).of,
            )
            self._follower = Follower(settings.fleet, context)
            control.store_upkeep.pinned = self._follower.pinned
        control.hear = self.came

    def _looked(self, word: RefreshResult) -> None:
        """How the courier's look at the fleet's metadata ended; its thread."""
        if self._freshness is not None:
            self._freshness.told(Refreshed(word.why, word.is_refusal, word.where))

    def came(self, incoming: Incoming) -> None:
        if self._follower is None or self._courier is None:
            incoming.done()
        elif is_peer_topic(incoming.topic):
            self._courier.came(incoming)
        else:
            self._follower.came(incoming)

    def start(self) -> None:
        """Follow campaigns, from the planner's first step on."""
        if self._courier is not None:
            self._courier.start()
        if self._freshness is not None:
            self._freshness.start()
        if self._follower is not None:
            self._follower.start()
            self._control.mailbox.call(self._follower.begin)

    def stop(self) -> None:
        if self._follower is not None:
            self._follower.stop()
        if self._courier is not None:
            self._courier.stop()
        if self._freshness is not None:
            self._freshness.stop()

    def hear(self, status: Status) -> None:
        if self._courier is not None:
            self._courier.hear(status)

    def campaign_status(self) -> CampaignStatus | None:
        """How this station stands in a campaign; None: in none."""
        return self._follower.campaign_status() if self._follower is not None else None

    def fresh_until(self) -> float | None:
        """POSIX seconds until which campaigns may be begun; None where no metadata says so."""
        return self._freshness.fresh_until() if self._freshness is not None else None

    def problems(self) -> tuple[str, ...]:
        """What people should know of metadata, courier and campaigns; any thread."""
        found = self._freshness.problems() if self._freshness is not None else ()
        if self._follower is not None and self._courier is not None:
            found += (*self._courier.problem(), *self._follower.problems)
        return found
