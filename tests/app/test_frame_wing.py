"""The data's wing, in a whole daemon."""

from __future__ import annotations

import json
import sys

from edge_daemon.control.arrivals import OrderArrived
from edge_daemon.control.messages import Incoming
from edge_daemon.demo.conveyor_camera import ConveyorCamera
from edge_daemon.frames.capture import Capture
from edge_daemon.host.clock import SystemClock
from tests.sim.device import Device, wait_until

BOTTLE, CAN = "bottle@1.0.0", "can@1.0.0"


def scene(capture: Capture) -> str:
    """What the drawn camera shows, once it is open."""
    camera = capture._reader.camera if capture._reader else None
    return camera.shown(sys.maxsize) if isinstance(camera, ConveyorCamera) else ""


def test_a_simulated_camera_follows_the_orders_by_what_its_frames_are_stamped_with() -> None:
    """Nobody tells it: it asks the ring, as nothing else in the daemon knows of drawn cameras."""
    with Device(BOTTLE, CAN) as device:
        device.await_active(BOTTLE)
        daemon = device.daemon
        assert daemon is not None
        assert daemon.frames.making() is None
        body = json.dumps({"workOrder": "1", "productCode": "CAN", "status": "running"}).encode()
        daemon.control.driver.post(
            OrderArrived(0, Incoming("mes/orders", body, SystemClock().now()))
        )
        wait_until(lambda: daemon.frames.making() == "can", "the order")
        capture = daemon.frames._capture
        assert capture is not None
        wait_until(lambda: scene(capture) == "can", "cans on the belt")
