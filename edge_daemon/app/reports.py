"""What the broker is told of the station's status: the topics `health` and `camera/status`."""

from __future__ import annotations

from edge_daemon.app.problems import problems
from edge_daemon.app.status import Status
from edge_daemon.control.reporter import Reporter, Vitals
from edge_daemon.core.values import Instant
from edge_daemon.frames.camera_state import CameraState
from edge_daemon.messaging import payloads
from edge_daemon.messaging.times import iso_utc


class Reports:
    """Told each second's status; the reporter publishes what is new."""

    def __init__(self, reporter: Reporter, boot: str, started: Instant) -> None:
        self._reporter = reporter
        self._boot = boot
        self._started = started

    def hear(self, status: Status) -> None:
        line, journal = status.line, status.journal
        self._reporter.camera(camera_status(line.camera, status.frames.previewed))
        vitals = Vitals(
            line.totals.counts,
            status.frames.latency,
            problems(status),
            status.results_lost,
            journal.waiting,
            journal.audit,
        )
        self._reporter.health(vitals, self._boot, line.now.at - self._started.at, line.now)


def camera_status(camera: CameraState, previewed: int) -> payloads.CameraStatus:
    """The camera as the wire names it."""
    return payloads.CameraStatus(
        state=str(camera.state),
        since=iso_utc(camera.since.utc),
        source=camera.source,
        width=camera.width,
        height=camera.height,
        fps=round(camera.fps) if camera.fps else None,
        error=camera.error,
        previewed=previewed,
    )
