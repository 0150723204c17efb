"""`status` says how a station is, whichever way still leads to it, and 69 when none does."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from edge_daemon.cli.main import app
from edge_daemon.cli.status_watch import Minute
from tests.sim.device import Device, wait_until
from tests.sim.mosquitto import Mosquitto, new_mosquitto

B1 = "bottle@1.0.0"


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with new_mosquitto() as served:
        yield served


@pytest.fixture(scope="module")
def device(broker: Mosquitto) -> Iterator[Device]:
    with Device(B1, broker=broker) as device:
        device.await_active(B1, online=True)
        yield device


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def retained(device: Device) -> dict[str, object]:
    return json.loads(run("status", "--json", "--config", str(device.config))[1])


@pytest.mark.broker
def test_status_reads_what_is_retained(device: Device) -> None:
    """One look through the broker: what is active, the camera, the frames."""
    wait_until(lambda: retained(device)["health"], "the first health message")
    code, output = run("status", "--config", str(device.config))
    assert code == 0
    assert B1 in output
    assert "online" in output
    assert "inspected of" in output


@pytest.mark.broker
def test_status_as_json_holds_every_part(device: Device) -> None:
    """For machines: the parts under short names, as the topics carry them."""
    seen = retained(device)
    assert seen["via"] == "mqtt"
    assert seen["online"] is True
    assert seen["model"]["active"]["model"] == B1  # type: ignore[index]
    assert seen["info"]["device"] == "cam1"  # type: ignore[index]


@pytest.mark.broker
def test_status_local_asks_the_control_socket(device: Device) -> None:
    """The same parts without a broker's help."""
    code, output = run("status", "--local", "--json", "--config", str(device.config))
    seen = json.loads(output)
    assert code == 0
    assert seen["via"] == "socket"
    assert seen["model"]["active"]["model"] == B1


def test_status_falls_back_to_the_socket() -> None:
    """No broker at the configured port: the station itself is asked."""
    with Device(B1) as device:
        device.await_active(B1)
        code, output = run("status", "--json", "--config", str(device.config))
        assert (code, json.loads(output)["via"]) == (0, "socket")


def test_status_is_69_when_nobody_answers() -> None:
    """Neither broker nor daemon: one sentence with the next step, and the exit code says so."""
    device = Device(B1)
    code, output = run("status", "--config", str(device.config))
    assert code == 69
    assert output.startswith("No broker answers")
    assert "--local" in output
    code, output = run("status", "--local", "--config", str(device.config))
    assert code == 69
    assert "systemctl start" in output


@pytest.mark.broker
def test_a_stopped_daemon_is_shown_with_its_last_words_and_69() -> None:
    """Retained words outlive the daemon; they are not taken for life."""
    with new_mosquitto() as broker:
        device = Device(B1, broker=broker).start()
        device.await_active(B1, online=True)
        device.stop()
        code, output = run("status", "--config", str(device.config))
    assert code == 69
    assert "stopped" in output


@pytest.mark.broker
def test_watch_keeps_showing(device: Device) -> None:
    """The view goes on with rate, latency and what is active."""
    code, output = run("status", "--watch", "--seconds", "2.2", "--config", str(device.config))
    assert code == 0
    assert "frames a second" in output
    assert B1 in output


def test_a_minute_tells_rate_and_latency() -> None:
    """Ten results a second are ten frames a second, whatever second it is now."""
    minute = Minute()
    for second in range(100, 110):
        for _ in range(10):
            minute.take({"frame": 1, "latency_ms": {"queue": 1.0, "inference": 9.0}}, second + 0.5)
    rows = [str(content) for _, content in minute.rows(110.2)]
    assert rows[0].startswith("10.0 frames a second")
    assert "p99 10 ms" in rows[1]
