"""The data's wing: camera -> ring -> lane -> verdict, with the pictures and the books."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from edge_daemon.app.foundation import Foundation
from edge_daemon.core.values import Judged
from edge_daemon.frames.camera import Camera, open_camera
from edge_daemon.frames.capture import CameraListener, CameraState, Capture, Patience
from edge_daemon.frames.captured import Captured
from edge_daemon.frames.collector import Collector
from edge_daemon.frames.conveyor_camera import ConveyorCamera
from edge_daemon.frames.images import Pictures
from edge_daemon.frames.lane import Lane
from edge_daemon.frames.ledger import Ledger
from edge_daemon.frames.live import LiveLine, Outlets
from edge_daemon.frames.publisher import Publisher
from edge_daemon.frames.rejected import RejectedFolder
from edge_daemon.frames.ring import Ring
from edge_daemon.parts.line import PartLine, PartOutlets
from edge_daemon.slots.crossing import Crossed, Crossing
from edge_daemon.slots.slot import Slot

_log = structlog.get_logger(__name__)

DRAIN_S = 3.0
"""How long the lane may take for the frames that are left at a stop."""


@dataclass(frozen=True)
class FrameNews:
    """Who hears what the frames bring about; nobody called on the lane's thread may wait."""

    judged: Callable[[Judged], None]
    crossed: Callable[[Crossed], None]
    lost: Callable[[int, str], None]


class FrameWing:
    """Every part that a frame passes, built in the order in which it passes them."""

    def __init__(self, ground: Foundation, slots: Mapping[str, Slot], news: FrameNews) -> None:
        settings = ground.settings
        self._camera_settings = settings.camera
        self._clock = ground.clock
        self._parts_settings = settings.parts
        latest = settings.camera.policy == "latest"
        self.ring = Ring(settings.camera.buffer_frames, latest=latest, opened=False)
        self.crossing = Crossing(slots, self.ring.wake)
        self.ledger = Ledger()
        ground.metrics.follow(self.ledger.totals)
        ng = settings.results.ng_images
        self.rejected = RejectedFolder(ng.folder, ng.quota_mb << 20) if ng else None
        room = max(1, settings.camera.buffer_frames // 4)
        self.collector = Collector(self.ring, self.rejected, room=room) if self.rejected else None
        self.pictures = Pictures(self.ring, view_width=settings.http.view_width)
        self._publisher = Publisher(news.judged)
        self.parts: PartLine | None = None
        outlets = Outlets(self._tell, self._offer, news.crossed, news.lost)
        self.line = LiveLine(self.ring, self.ledger, ground.clock, outlets)
        self._lane = Lane(self.ring, self.crossing, self.line, ground.clock.now)
        self.line.attach(self._lane)
        self._lane_thread = threading.Thread(target=self._run_lane, name="lane", daemon=True)
        self._capture: Capture | None = None
        self._conveyor: ConveyorCamera | None = None
        self._scene: str | None = None
        self.failure: BaseException | None = None
        """What ended the lane; without a lane there is no daemon."""

    def watch_camera(self, listener: CameraListener) -> None:
        """Who hears of the camera; before it is started."""
        settings = self._camera_settings
        self._capture = Capture(
            self._open_camera,
            self.ring,
            self._clock.now,
            listener,
            Patience.of(settings),
            settings.picture.limits,
        )

    @property
    def camera(self) -> CameraState:
        """The camera as it is now."""
        assert self._capture is not None
        return self._capture.state

    def show(self, product: str | None) -> None:
        """The drawn conveyor brings what the order asks for; any other camera sees for itself."""
        self._scene = product
        if self._conveyor is not None and product in ("bottle", "can"):
            self._conveyor.show(product)

    def _offer(self, judged: Judged, captured: Captured) -> None:
        if self.collector is not None:
            self.collector.offer(judged, captured)
        self.pictures.offer(judged, captured)

    def count_parts(self, outlets: PartOutlets) -> None:
        """Where results of parts go; before anything is started."""
        settings = self._parts_settings
        if settings is None:
            return
        self.parts = PartLine(
            settings.rules,
            outlets,
            self._clock.now,
            zone=settings.polygon,
            zone_name=settings.zone_name,
        )
        self.ring.on_capture = self.parts.captured

    def _tell(self, judged: Judged) -> None:
        if self.parts is not None:
            self.parts.judged(judged)
        self._publisher.put(judged)

    def _open_camera(self) -> Camera:
        camera = open_camera(self._camera_settings)
        if isinstance(camera, ConveyorCamera):
            self._conveyor = camera
            self.show(self._scene)
        return camera

    # ------------------------------------------------------------------ running

    def start_lane(self) -> None:
        """Verdicts from here on, for frames that come."""
        self.pictures.start()
        if self.collector is not None:
            self.collector.start()
        self._publisher.start()
        if self.parts is not None:
            self.parts.start()
        self._lane_thread.start()

    def start_camera(self) -> None:
        """Frames from here on."""
        assert self._capture is not None
        self._capture.start()

    def stop_camera(self) -> None:
        """No more frames."""
        if self._capture is not None:
            self._capture.stop()
        self.ring.close()

    def stop_lane(self) -> None:
        """Judge what was captured; what cannot be judged soon is `uninspected (stopped)`."""
        self.ring.close()
        if self._lane_thread.is_alive():
            self._lane_thread.join(DRAIN_S)
        if self._lane_thread.is_alive():
            self._lane.give_up()
            self._lane_thread.join(DRAIN_S)
        if self.parts is not None:
            self.parts.stop()
        self._publisher.stop(5.0)

    def close(self) -> None:
        """After the last verdict is told."""
        self.pictures.stop()
        if self.collector is not None:
            self.collector.stop()

    def _run_lane(self) -> None:
        try:
            self._lane.run()
        except BaseException as error:  # the thread's end
            _log.critical("lane_failed", error=repr(error), exc_info=error)
            self.failure = error
