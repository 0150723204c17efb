"""`orders test` tells what a payload would do, and does nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from edge_daemon.cli.main import app
from tests.sim.device import Device

TOPIC = "mes/orders"
BTL = {"workOrder": "WO-1", "productCode": "BTL", "status": "running"}


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
    return result.exit_code, result.output


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


def test_the_running_daemon_says_which_version_is_used() -> None:
    """The selected version counts, not the newest; what is active already stays."""
    with Device("bottle@1.0.0", "bottle@1.1.0", "can@1.0.0") as device:
        device.await_active("bottle@1.0.0")
        code, output = tried(device, BTL)
        assert (code, "bottle@1.0.0 stays" in output) == (0, True)
        code, output = tried(device, {**BTL, "productCode": "CAN"})
        assert (code, "swap to can@1.0.0" in output) == (0, True)
        assert device.active == "bottle@1.0.0"
