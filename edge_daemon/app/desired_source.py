"""Connects the desired-state file of this device to the control room."""

from __future__ import annotations

from edge_daemon.app.control_plane import ControlPlane
from edge_daemon.app.resources import Resources
from edge_daemon.control.desired_state import DesiredContext, DesiredState


class DesiredSource:
    """What a fleet's file asks of this station; nothing if no file is configured."""

    def __init__(self, resources: Resources, control: ControlPlane) -> None:
        self._control = control
        settings = resources.settings
        self._followed: DesiredState | None = None
        if settings.desired is not None:
            context = DesiredContext(
                resources.clock,
                lambda: control.driver.state,
                resources.journal.find_request,
                control.mailbox.put_request,
            )
            file, folder = settings.desired.file, settings.state_folder
            self._followed = DesiredState(file, folder, context)

    def start(self) -> None:
        """Follow the file, from the planner's first step on."""
        if self._followed is not None:
            self._followed.start()
            self._control.mailbox.call(self._followed.begin)

    def stop(self) -> None:
        if self._followed is not None:
            self._followed.stop()

    def remarks(self) -> tuple[str, ...]:
        """What differs from the file, a sentence each."""
        return self._followed.remarks() if self._followed is not None else ()
