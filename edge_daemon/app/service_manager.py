"""What systemd is told: that the daemon is ready, a status line, and that inference is alive."""

from __future__ import annotations

from edge_daemon.app.problems import problems
from edge_daemon.app.status import Status
from edge_daemon.host.health import BROKER_AWAY, NO_MODEL
from edge_daemon.host.systemd import Notifier


class ServiceManager:
    """Called with each second's status."""

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._is_ready = False

    def hear(self, status: Status) -> None:
        """Ready once frames are judged; only completed inferences feed the watchdog."""
        line = status.line
        away = not line.camera_online
        if not self._is_ready and (line.totals.counts.inspected or away or status.frames.is_open):
            self._is_ready = self._notifier.ready(in_brief(status))
        else:
            news = [each for each in problems(status) if each not in (NO_MODEL, BROKER_AWAY)]
            self._notifier.status("; ".join((in_brief(status), *news[:1])))
        if status.healthy.good:  # the same answer as that of `/healthz`
            self._notifier.watchdog()


def in_brief(status: Status) -> str:
    """The line that `systemctl status` shows."""
    line = status.line
    active, camera = line.state.active_bundle, line.camera
    return (
        f"{active.ref if active else 'no model'}, {camera.fps or 0:.0f} fps, camera "
        f"{camera.state}, broker {'online' if line.broker_online else 'away'}"
    )
