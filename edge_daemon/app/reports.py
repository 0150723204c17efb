"""What the broker is told: the topics `health` and `camera/status`, and events of the camera."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from edge_daemon.app.data_plane import DataPlane
from edge_daemon.app.problems import problems
from edge_daemon.app.status import Status
from edge_daemon.control.arrivals import Noticed
from edge_daemon.control.reporter import Reporter, Vitals
from edge_daemon.core.event_names import EventName
from edge_daemon.core.picture import Flaw, Spell
from edge_daemon.core.values import Instant
from edge_daemon.errors import CameraError
from edge_daemon.frames.camera_state import CameraState
from edge_daemon.host.memory import FrameShape
from edge_daemon.messaging import payloads
from edge_daemon.messaging.times import iso_utc

_log = structlog.get_logger(__name__)


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


class CameraNews:
    """Implements `CameraListener`: publishes the camera's status at once, and records events about
    its pictures durably. Called on the camera's thread."""

    def __init__(
        self, frames: DataPlane, reporter: Reporter, put: Callable[[Noticed], None]
    ) -> None:
        self._frames, self._reporter, self._put = frames, reporter, put

    def camera_up(self, shape: FrameShape, fps: float | None) -> None:
        if remarks := self._frames.camera.remarks:
            _log.warning("camera_settings_not_taken", remarks=remarks)
        self._report()

    def camera_lost(self, error: CameraError) -> None:
        self._report()

    def camera_ended(self) -> None:
        self._report()

    def picture_bad(self, flaw: Flaw) -> None:
        message = f"The camera's picture {flaw.words}."
        self._put(Noticed(EventName.PICTURE_BAD, message, flaw.reason.value))

    def picture_good(self, spell: Spell) -> None:
        ended = f"The camera's picture is good again; {spell.frames} frames in "
        ended += f"{spell.lasted_s:.1f} s were no evidence: it {spell.flaw.words}."
        self._put(Noticed(EventName.PICTURE_GOOD, ended, spell.flaw.reason.value))

    def _report(self) -> None:
        ring = self._frames.ring
        previewed = ring.previewed if ring.is_open else 0
        self._reporter.camera(camera_status(self._frames.camera, previewed))


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
