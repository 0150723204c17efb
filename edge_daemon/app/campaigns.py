"""Connects the campaigns of many stations to the control room of this one."""

from __future__ import annotations

from edge_daemon.app.control_plane import ControlPlane
from edge_daemon.app.resources import Resources
from edge_daemon.config import Settings
from edge_daemon.core.fleet.report import Stand
from edge_daemon.fleet.follower import Context, Follower
from edge_daemon.fleet.measured import Measured
from edge_daemon.fleet.messages import FILTERS
from edge_daemon.messaging.messages import Incoming
from edge_daemon.slots.frame_control import FrameControl


def filters_of(settings: Settings) -> tuple[str, ...]:
    """The topics of campaigns, where somebody's campaigns are trusted here."""
    fleet = settings.fleet
    return FILTERS if fleet is not None and fleet.trust.keys else ()


class Campaigns:
    """What campaigns ask of this station; nothing if no key is trusted."""

    def __init__(self, resources: Resources, control: ControlPlane, line: FrameControl) -> None:
        self._control = control
        self._follower: Follower | None = None
        settings = resources.settings
        if settings.fleet is not None and filters_of(settings):
            context = Context(
                settings.device,
                settings.state_folder,
                resources.clock,
                lambda: control.driver.state,
                resources.journal.find_request,
                control.mailbox.put_request,
                Measured(resources.journal, line).of,
            )
            self._follower = Follower(settings.fleet, context)
        control.hear = self.came

    def came(self, incoming: Incoming) -> None:
        """A message of a campaign."""
        if self._follower is None:
            incoming.done()
        else:
            self._follower.came(incoming)

    def start(self) -> None:
        """Follow campaigns, from the planner's first step on."""
        if self._follower is not None:
            self._follower.start()
            self._control.mailbox.call(self._follower.begin)

    def stop(self) -> None:
        if self._follower is not None:
            self._follower.stop()

    def stand(self) -> Stand | None:
        """How this station stands in a campaign; None: in none."""
        return self._follower.stand() if self._follower is not None else None
