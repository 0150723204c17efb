"""Publishes the camera's status at once, and records events about its pictures durably."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from edge_daemon.app.data_plane import DataPlane
from edge_daemon.app.reports import camera_status
from edge_daemon.control.arrivals import Noticed
from edge_daemon.control.reporter import Reporter
from edge_daemon.core.event_names import EventName
from edge_daemon.core.picture import Flaw, Spell
from edge_daemon.errors import CameraError
from edge_daemon.host.memory import FrameShape

_log = structlog.get_logger(__name__)


class CameraNews:
    """Implements `CameraListener`; called on the camera's thread."""

    def __init__(
        self,
        frames: DataPlane,
        reporter: Reporter,
        put: Callable[[Noticed], None],
    ) -> None:
        self._frames = frames
        self._reporter = reporter
        self._put = put

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
