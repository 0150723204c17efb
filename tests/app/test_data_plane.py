"""The data plane: from a camera to verdicts in order, and the lane's word into the mailbox."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge_daemon.app import data_plane
from edge_daemon.app.data_plane import DataPlane
from edge_daemon.control.arrivals import OrderArrived
from edge_daemon.core.events import SlotLost as Lost
from edge_daemon.core.judged import Judged
from edge_daemon.core.picture import Flaw, Spell
from edge_daemon.core.values import BundleRef, Reason, StoredBundle
from edge_daemon.demo.conveyor_camera import ConveyorCamera
from edge_daemon.errors import CameraError, SlotLost
from edge_daemon.frames.camera import Camera
from edge_daemon.frames.camera_state import CameraPhase
from edge_daemon.frames.sources import open_camera
from edge_daemon.host.clock import SystemClock
from edge_daemon.host.memory import FrameShape
from edge_daemon.messaging.messages import Incoming
from edge_daemon.slots.active import Crossed, Cutover, Pointer
from edge_daemon.slots.slot import LoadOrder
from tests.sim.device import Device, wait_until
from tests.sim.resources import resources
from tests.sim.slot import Script, SimSlot

REF = BundleRef("bottle", "1.0.0")


class Plane:
    """A data plane with one loaded slot; what it tells is written down."""

    def __init__(self, folder: Path) -> None:
        self.put: list[Crossed | Lost] = []
        self.judged: list[Judged] = []
        self.news: list[str] = []
        self.script = Script()
        self.slot = SimSlot("A", script=self.script)
        self.slot.load(LoadOrder(REF, "ab", folder, folder, "detect", ("bottle",), 32, 0.2), 1.0)

    def camera_up(self, shape: FrameShape, fps: float | None) -> None:
        self.news.append("up")

    def camera_lost(self, error: CameraError) -> None:
        self.news.append("lost")

    def camera_ended(self) -> None:
        self.news.append("ended")

    def picture_bad(self, flaw: Flaw) -> None:
        self.news.append("bad")

    def picture_good(self, spell: Spell) -> None:
        self.news.append("good")


def test_every_frame_has_its_verdict_in_order_and_the_lane_tells_the_mailbox(
    tmp_path: Path,
) -> None:
    """A cutover, then a worker that is lost: each is one word, and no frame is missing."""
    plane = Plane(tmp_path)
    with resources(tmp_path, camera={"source": "conveyor:", "fps": 200}) as laid:
        frames = DataPlane(laid, {"A": plane.slot}, plane.put.append, plane.judged.append)
        assert frames.camera.state is CameraPhase.CONNECTING
        frames.start_lane()
        frames.start_camera(plane)
        frames.active_slot.ready("A", 7)
        frames.active_slot.ask(Cutover(3, Pointer(plane.slot, StoredBundle(REF, "ab")), "s-1"))
        frames.line.open()
        wait_until(lambda: len(plane.judged) > 20, "verdicts")
        (crossed,) = plane.put
        assert isinstance(crossed, Crossed)
        assert crossed.token == 3
        plane.script.fail_infer(REF, SlotLost("It was killed."))
        wait_until(lambda: len(plane.put) == 2, "the loss")
        assert plane.put[1] == Lost(7, "It was killed.")
        frames.stop_camera()
        frames.stop_lane()
        frames.close()
        assert plane.news == ["up"]
        assert [each.frame for each in plane.judged] == list(range(len(plane.judged)))
        assert {each.reason for each in plane.judged} <= {None, Reason.STOPPED, Reason.WORKER_LOST}
        assert frames.ledger.counts().balanced
        assert frames.failure is None
        assert b'edge_slot_restarts_total{reason="lost"} 1.0' in laid.metrics.render()


def test_a_wing_that_was_never_started_can_be_stopped(tmp_path: Path) -> None:
    """A start that failed elsewhere ends what there is."""
    plane = Plane(tmp_path)
    with resources(tmp_path) as laid:
        frames = DataPlane(laid, {"A": plane.slot}, plane.put.append, plane.judged.append)
        frames.stop_camera()
        frames.close()
        assert (plane.news, plane.judged) == ([], [])
        assert frames.ledger.counts().captured == 0


BOTTLE, CAN = "bottle@1.0.0", "can@1.0.0"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Camera]:
    """The cameras that were opened, the newest last."""
    cameras: list[Camera] = []

    def noted(*arguments: Any, **named: Any) -> Camera:
        cameras.append(open_camera(*arguments, **named))
        return cameras[-1]

    monkeypatch.setattr(data_plane, "open_camera", noted)
    return cameras


def scene(opened: list[Camera]) -> str:
    """What the drawn camera shows, once it is open."""
    camera = opened[-1] if opened else None
    return camera.scene if isinstance(camera, ConveyorCamera) else ""


def test_a_simulated_camera_follows_the_orders_by_what_its_frames_are_stamped_with(
    opened: list[Camera],
) -> None:
    """Nobody tells it: it asks the ring, as nothing else in the daemon knows of drawn cameras."""
    with Device(BOTTLE, CAN) as device:
        device.await_active(BOTTLE)
        daemon = device.daemon
        assert daemon is not None
        assert daemon.frames.making() is None
        body = json.dumps({"workOrder": "1", "productCode": "CAN", "status": "running"}).encode()
        daemon.control.mailbox.put(
            OrderArrived(0, Incoming("mes/orders", body, SystemClock().now()))
        )
        wait_until(lambda: daemon.frames.making() == "can", "the order")
        wait_until(lambda: scene(opened) == "can", "cans on the belt")
