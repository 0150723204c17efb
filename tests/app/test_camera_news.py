"""The camera's news, each told to whom it concerns."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from structlog.testing import capture_logs

from edge_daemon.app.reports import CameraNews
from edge_daemon.frames.camera_state import CameraState
from edge_daemon.frames.ring import Ring
from edge_daemon.host.memory import FrameShape
from edge_daemon.messaging.payloads import CameraStatus
from tests.sim.status import ONLINE


@dataclass
class Frames:
    """What the news ask of the data plane."""

    camera: CameraState
    ring: Ring = field(default_factory=lambda: Ring(4))


class Reporter:
    """Keeps what is told of the camera."""

    def __init__(self) -> None:
        self.told: list[CameraStatus] = []

    def camera(self, status: CameraStatus) -> None:
        self.told.append(status)


def test_what_the_camera_did_not_take_is_in_the_log_once_it_is_up() -> None:
    """Nobody should find out from the pictures that the size is another one."""
    remark = "camera.size is 1920x1080, and the device gives 640x480"
    frames, reporter = Frames(replace(ONLINE, remarks=(remark,))), Reporter()
    news = CameraNews(frames, reporter, lambda noticed: None)  # type: ignore[arg-type]
    with capture_logs() as log:
        news.camera_up(FrameShape(480, 640), 30.0)
    assert [(line["event"], line["remarks"]) for line in log] == [
        ("camera_settings_not_taken", (remark,))
    ]
    assert len(reporter.told) == 1
