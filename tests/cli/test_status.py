"""`status` says how a station is, whichever way still leads to it, and 69 when none does."""

from __future__ import annotations

import io
import json
import sys
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from rich.console import Console

from edge_daemon.cli.station import RetainedStatus
from edge_daemon.cli.status_view import summary
from edge_daemon.cli.status_watch import SWAPS_SHOWN, Minute, News
from edge_daemon.core.judged import Judged
from edge_daemon.core.values import UNASSIGNED, Verdict
from edge_daemon.messaging import result_payloads
from edge_daemon.messaging.result_payloads import ResultMessage
from tests.sim.command import command
from tests.sim.device import Device, wait_until
from tests.sim.mosquitto import Mosquitto, new_mosquitto

B1 = "bottle@1.0.0"


@pytest.fixture(scope="module")
def device(broker: Mosquitto) -> Iterator[Device]:
    with Device(B1, broker=broker) as device:
        device.await_active(B1, online=True)
        yield device


def retained(device: Device) -> dict[str, object]:
    return json.loads(command("status", "--json", "--config", str(device.config))[1])


@pytest.mark.broker
def test_status_reads_what_is_retained(device: Device) -> None:
    """One look through the broker: what is active, the camera, the frames."""
    wait_until(lambda: retained(device)["health"], "the first health message")
    code, output = command("status", "--config", str(device.config))
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
    code, output = command("status", "--local", "--json", "--config", str(device.config))
    seen = json.loads(output)
    assert code == 0
    assert seen["via"] == "socket"
    assert seen["model"]["active"]["model"] == B1


def test_status_falls_back_to_the_socket() -> None:
    """No broker at the configured port: the station itself is asked."""
    with Device(B1) as device:
        device.await_active(B1)
        code, output = command("status", "--json", "--config", str(device.config))
        assert (code, json.loads(output)["via"]) == (0, "socket")


def test_status_is_69_when_nobody_answers() -> None:
    """Neither broker nor daemon: one sentence with the next step, and the exit code says so."""
    device = Device(B1)
    code, output = command("status", "--config", str(device.config))
    assert code == 69
    assert output.startswith("No broker answers")
    assert "On the station itself" in output
    code, output = command("status", "--local", "--config", str(device.config))
    assert code == 69
    assert "systemctl start" in output


@pytest.mark.broker
def test_a_stopped_daemon_is_shown_with_its_last_words_and_69() -> None:
    """Retained words outlive the daemon; they are not taken for life."""
    with new_mosquitto() as broker:
        device = Device(B1, broker=broker).start()
        device.await_active(B1, online=True)
        device.stop()
        code, output = command("status", "--config", str(device.config))
    assert code == 69
    assert "stopped" in output


@pytest.mark.broker
def test_watch_keeps_showing(device: Device) -> None:
    """The view goes on with rate, latency and what is active."""
    code, output = command("status", "--watch", "--seconds", "2.2", "--config", str(device.config))
    assert code == 0
    assert "frames a second" in output
    assert B1 in output


def shown(parts: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=200)
    with console.capture() as captured:
        console.print(summary("cam1", RetainedStatus("mqtt", parts)))
    return captured.get()


SINCE = "2026-11-22T10:00:00.000Z"
PARTS: dict[str, Any] = {
    "status": {"state": "online", "since": SINCE},
    "model/state": {
        "active": {"model": B1, "sha256": "9f", "slot": "A", "since": SINCE, "trial": True},
        "previous": {"model": "bottle@0.9.0", "sha256": "8e", "slot": None},
        "held": True,
    },
    "model/available": {"models": [{"model": B1, "sha256": "9f", "quarantined": "blurred"}]},
    "health": {"state": "good", "time": SINCE, "boot": "b", "uptime_s": 90.0, "problems": ["Dark"]},
    "camera/status": {"state": "online", "since": SINCE, "source": "rtsp://cam", "width": 640},
}


def test_a_station_of_an_older_or_newer_version_is_read() -> None:
    """What it does not say yet is left out, and what it says beyond is not looked at."""
    told = shown(PARTS)
    newer = {topic: {**part, "mood": {"deep": 1}} for topic, part in PARTS.items()}
    assert shown(newer) == told
    words = (B1, "slot A", "on trial", "bottle@0.9.0", "not resident", "held", "rtsp://cam")
    assert all(word in told for word in (*words, "blurred", "1 min", "Dark"))


def test_what_no_daemon_says_is_not_shown() -> None:
    """Somebody else's words on our topics end nothing."""
    told = shown({topic: ["?"] for topic in PARTS})
    assert "unknown" in told
    assert "Dark" not in told


def test_events_are_watched_and_unknown_ones_passed_over() -> None:
    """A newer station may tell of what this command has no word for."""
    news = News("edge/cam1")
    for kind in ("swapped", "teleported"):
        event = {"type": kind, "time": SINCE, "boot": "b", "model": B1, "frame": 40}
        news.hear("edge/cam1/model/event", json.dumps(event).encode())
    (row,) = [str(content) for _, content in news.rows()]
    assert f"swapped  {B1}  frame 40" in row


def test_events_come_while_the_watch_is_drawn() -> None:
    """The client's thread adds them, and the drawing never meets a list that changes under it."""
    news = News("edge/cam1")
    event = {"type": "swapped", "time": SINCE, "boot": "b", "model": B1, "frame": 40}
    body = json.dumps(event).encode()

    def hear() -> None:
        for _ in range(3000):
            news.hear("edge/cam1/model/event", body)

    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=hear)
    thread.start()
    try:
        while thread.is_alive():
            assert len(news.rows()) <= SWAPS_SHOWN
    finally:
        sys.setswitchinterval(usual)
        thread.join()


def test_a_minute_tells_rate_and_latency() -> None:
    """Ten results a second are ten frames a second, whatever second it is now."""
    minute = Minute()
    judged = Judged(1, 0.0, 0.0, UNASSIGNED, Verdict.OK, queue_ms=1.0, inference_ms=9.0)
    result = msgspec.json.decode(result_payloads.result("boot", judged), type=ResultMessage)
    for second in range(100, 110):
        for _ in range(10):
            minute.take(result, second + 0.5)
    rows = [str(content) for _, content in minute.rows(110.2)]
    assert rows[0].startswith("10.0 frames a second")
    assert "p99 10 ms" in rows[1]
