"""`orders test` tells what a payload would do, and does nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from edge_daemon.cli.main import app
from edge_daemon.messaging.client import Client
from tests.sim.device import Device, wait_until
from tests.sim.mosquitto import new_mosquitto

TOPIC = "mes/orders"
BTL = {"workOrder": "WO-1", "productCode": "BTL", "status": "running"}
CAN = {"workOrder": "WO-7", "productCode": "CAN", "status": "running"}


@pytest.fixture(scope="module")
def still() -> Iterator[Device]:
    device = Device("bottle@1.0.0", "bottle@1.1.0")
    yield device
    shutil.rmtree(device.folder)


def tried(device: Device, payload: Any, *more: str, topic: str = TOPIC) -> tuple[int, str]:
    content = payload if isinstance(payload, str) else json.dumps(payload)
    arguments = ["orders", "test", "--topic", topic, "-", *more, "--config", str(device.config)]
    result = CliRunner().invoke(app, arguments, input=content)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, " ".join(result.output.split())


@pytest.mark.parametrize(
    ("order", "code", "said"),
    [
        (BTL, 0, "swap to bottle@1.1.0, exactly at the first frame"),
        ({**BTL, "status": "Dispatched"}, 0, "prepare bottle@1.1.0"),
        ({**BTL, "status": "completed"}, 0, "nothing changes"),
        ({**BTL, "status": "paused"}, 0, "has no meaning here"),
        ({**BTL, "productCode": "JAR"}, 1, "unknown_product"),
        ({**BTL, "productCode": "CAN"}, 1, "unknown_model"),
        ({"status": "running"}, 1, "no product"),
        ({"workOrder": "WO-9", "status": "running"}, 1, "none came before"),
        ({"workOrder": "WO-9", "status": "running"}, 1, "on the running station only"),
        ({"workOrder": "WO-9", "status": "completed"}, 0, "nothing changes"),
        ([{"workOrder": "M-1", "status": "running"}, BTL], 1, "order_refused"),
        ([{"workOrder": "M-1", "status": "running"}, BTL], 1, "swap to bottle@1.1.0"),
        ("{", 1, "is not JSON"),
        ("", 0, "nothing would happen"),
    ],
)
def test_each_payload_is_told_what_it_would_do(
    still: Device, order: Any, code: int, said: str
) -> None:
    """Understood or not, prepare or swap or nothing: a sentence and an exit code."""
    got, output = tried(still, order)
    assert got == code
    assert said in output


def test_a_topic_that_nobody_reads_is_named_with_those_that_are(still: Device) -> None:
    """A wrong topic is the usual mistake: what the settings read is told."""
    code, output = tried(still, BTL, topic="mes/other")
    assert code == 1
    assert TOPIC in output


def test_as_json_for_machines(still: Device) -> None:
    """Order, product, state, model, effect."""
    _, output = tried(still, BTL, "--json")
    order = json.loads(output)["orders"][0]
    assert (order["order"], order["state"], order["version"]) == ("WO-1", "running", "1.1.0")


def test_an_order_that_names_its_id_alone_is_read_with_what_the_station_was_told() -> None:
    """From the running daemon, and from the state that it left behind."""
    with new_mosquitto() as broker, Device("bottle@1.0.0", "can@1.0.0", broker=broker) as device:
        device.await_active("bottle@1.0.0", online=True)
        with Client.of(device.config) as mes:
            mes.publish(TOPIC, json.dumps({**CAN, "status": "dispatched"}).encode())
        by_id = {"workOrder": "WO-7", "status": "running"}
        told = "from the order received at"
        wait_until(lambda: told in tried(device, by_id)[1], "the order on record")
        code, output = tried(device, by_id)
        assert (code, "swap to can@1.0.0" in output) == (0, True)
        code, output = tried(device, {**by_id, "workOrder": "WO-8"})
        assert (code, "running station only" in output) == (1, False)
        assert device.daemon is not None
        assert not any(TOPIC in problem for problem in device.daemon.monitor.problems())
        with Client.of(device.config) as mes:
            mes.publish(TOPIC, b"{")
        monitor = device.daemon.monitor
        wait_until(lambda: any(TOPIC in it for it in monitor.problems()), "the problem in health")
        device.stop()
        code, output = tried(device, by_id, "--json")
        order = json.loads(output)["orders"][0]
        assert (code, order["product"], order["version"]) == (0, "CAN", "1.0.0")
        assert order["told"]


def test_the_running_daemon_says_which_version_is_used() -> None:
    """The selected version counts, not the newest; what is active already stays."""
    with Device("bottle@1.0.0", "bottle@1.1.0", "can@1.0.0") as device:
        device.await_active("bottle@1.0.0")
        code, output = tried(device, BTL)
        assert (code, "bottle@1.0.0 stays" in output) == (0, True)
        code, output = tried(device, {**BTL, "productCode": "CAN"})
        assert (code, "swap to can@1.0.0" in output) == (0, True)
        assert device.active == "bottle@1.0.0"
