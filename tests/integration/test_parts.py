"""Parts on a real broker: triggers are answered, and every part has exactly one result."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from typing import Any

import paho.mqtt.client as paho
import pytest
from typer.testing import CliRunner

from edge_daemon.cli.main import app
from tests.sim.device import Device, wait_until
from tests.sim.mosquitto import Mosquitto, free_port, new_mosquitto
from tests.sim.relay import FAIR, Relay, Weather

pytestmark = pytest.mark.broker

ROOT = "edge/cam1"
OLD, NEW = "bottle@1.0.0", "bottle@1.1.0"


class Plc:
    """Triggers and hears, by its own client."""

    def __init__(self, broker: Mosquitto) -> None:
        self.heard: dict[str, list[dict[str, Any]]] = {}
        self._lock = threading.Lock()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self.client.on_message = self._hear
        self.client.on_subscribe = lambda *_: self.ready.set()
        self.ready = threading.Event()
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()
        topics = (("part", 1), ("response/+", 1), ("counts", 1), ("result", 0))
        self.client.subscribe([(f"{ROOT}/{topic}", qos) for topic, qos in topics])
        assert self.ready.wait(30.0)

    def _hear(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        with self._lock:
            topic = message.topic[len(ROOT) + 1 :]
            self.heard.setdefault(topic, []).append(json.loads(message.payload))

    def told(self, topic: str) -> list[dict[str, Any]]:
        with self._lock:
            return list(self.heard.get(topic, ()))

    def ask(self, verb: str, **document: Any) -> None:
        self.client.publish(f"{ROOT}/request/{verb}", json.dumps(document), 1)


@contextmanager
def station(parts: dict[str, Any], **more: Any) -> Iterator[tuple[Device, Plc]]:
    with new_mosquitto() as broker:
        plc = Plc(broker)
        with Device(OLD, NEW, broker=broker, settings={"parts": parts, **more}) as device:
            device.await_active(OLD, online=True)
            yield device, plc
        plc.client.disconnect()
        plc.client.loop_stop()


def test_a_trigger_gets_a_number_and_its_part_one_result() -> None:
    """Its frames are those of its window; a swap in between is honest."""
    with station({"by": "trigger", "window_ms": [0, 100], "deadline_ms": 5000}) as (_, plc):
        for number in range(20):
            plc.ask("trigger", id=f"SN-{number}", serial=f"S{number}")
            plc.ask("trigger", id=f"SN-{number}")
            if number == 9:
                plc.ask("swap", id="w", model=NEW)
            wait_until(lambda n=number: len(plc.told("part")) > n, f"part {number}")
        wait_until(lambda: len(plc.told("response/trigger")) == 40, "every answer")
    answers = plc.told("response/trigger")
    assert [each["part"] for each in answers] == [n for n in range(20) for _ in range(2)]
    parts = plc.told("part")
    assert [each["part"] for each in parts] == list(range(20))
    assert [(each["id"], each["serial"]) for each in parts] == [
        (f"SN-{n}", f"S{n}") for n in range(20)
    ]
    frames = [frame for each in parts for frame in each["frames"]]
    assert frames == sorted(set(frames))
    by = {each["frame"]: each["model"] for each in plc.told("result")}
    for each in parts:
        models = {by[frame] for frame in each["frames"] if frame in by}
        assert each["model"] in models or each["reason"] in ("changeover", "no_frame")
        assert (each["model"] is None) is (each["reason"] is not None)
        assert each["reason"] in (None, "changeover", "no_frame")
        assert (each["reason"] == "no_frame") is (each["frames"] == []), "a busy machine skips some"
        assert not each["late"]
    assert {each["model"] for each in parts} >= {OLD, NEW}


def command(device: Device, *arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments, "--config", str(device.config)])
    assert result.exit_code == 0, result.output
    return result.output


def post(port: int, verb: str, **document: Any) -> int:
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/request/{verb}",
        json.dumps(document).encode(),
        {"x-edge-daemon": "1", "content-type": "application/json"},
    )
    with urllib.request.urlopen(asked, timeout=30) as reply:
        return int(reply.status)


def test_parts_are_counted_and_found_over_a_restart() -> None:
    """Triggered by MQTT, by command and by HTTP; counted for the order, and on after a restart."""
    port = free_port()
    parts = {"by": "trigger", "window_ms": [0, 100], "shifts": ["00:00"]}
    http = {"listen": f"127.0.0.1:{port}", "commands": True}
    orders = [{"topic": "mes/orders", "preset": "flat"}]
    more = {"http": http, "orders": orders, "links": {"BTL": "bottle"}}
    with station(parts, **more) as (device, plc):
        order = {"workOrder": "WO-1", "productCode": "BTL", "status": "running"}
        plc.client.publish("mes/orders", json.dumps(order), 1)
        wait_until(lambda: _counted(plc)["job_order"] == "WO-1", "the order")
        plc.ask("trigger", id="SN-0", serial="A0")
        wait_until(lambda: bool(plc.told("response/trigger")), "its answer")  # by another way
        assert "It is part 1." in command(device, "trigger", "--id", "SN-1", "--serial", "A1")
        assert post(port, "trigger", id="SN-2") in (200, 202)
        wait_until(lambda: _counted(plc)["parts"] == 3, "three parts")
        found = json.loads(command(device, "parts", "find", "A1", "--json"))
        assert [(each["part"], each["id"], each["picture"]) for each in found] == [
            (1, "SN-1", None)
        ]
        listed = command(device, "parts", "list", "--csv").splitlines()
        assert len(listed) == 4
        shown = {number for each in plc.told("result") for number in each.get("parts", ())}
        assert shown <= {0, 1, 2}
        assert shown
        device.stop()
        assert "SN-2" in command(device, "parts", "list")
        device.start()
        device.await_active(OLD, online=True)
        plc.ask("trigger", id="SN-0")
        wait_until(lambda: _counted(plc)["parts"] == 4, "the fourth part")
        wait_until(lambda: len(plc.told("part")) == 4, "its result")
        counts = json.loads(command(device, "parts", "counts", "--json"))
        assert (counts["order"]["job_order"], counts["order"]["parts"]) == ("WO-1", 4)
        assert counts["shift"]["parts"] >= 1
    assert [each["part"] for each in plc.told("part")] == [0, 1, 2, 0]
    assert {each["status"] for each in plc.told("response/trigger")} == {"succeeded"}


def _counted(plc: Plc) -> dict[str, Any]:
    told = plc.told("counts")
    return dict(told[-1]["order"]) if told else {"job_order": None, "parts": -1}


def test_a_part_without_a_frame_is_of_the_order_that_runs() -> None:
    """Also where no frame has come since the order."""
    camera = {"source": "conveyor:", "fps": 0.1}
    with station({"by": "trigger", "window_ms": [0, 50]}, camera=camera) as (_, plc):
        for name in ("WO-1", "WO-2"):
            order = {"workOrder": name, "productCode": "BTL", "status": "running"}
            plc.client.publish("mes/orders", json.dumps(order), 1)
            wait_until(lambda n=name: _counted(plc)["job_order"] == n, "the order")
        plc.ask("trigger", id="SN-0")
        wait_until(lambda: _counted(plc)["parts"] == 1, "the count")
        wait_until(lambda: len(plc.told("part")) == 1, "the part")
    (part,) = plc.told("part")
    assert (part["verdict"], part["reason"], part["frames"]) == ("uninspected", "no_frame", [])
    assert (part["job_order"], part["product"]) == ("WO-2", "BTL")


def test_a_sender_with_a_clock_of_its_own_loses_no_part() -> None:
    """Its time is told as it was said; what is kept, counted and found goes by this station's."""
    with station({"by": "trigger", "window_ms": [0, 50]}) as (device, plc):
        times = {"SN-0": "1970-01-02T00:00:00Z", "SN-1": "2035-01-01T00:00:00Z", "SN-2": None}
        began = time.time()
        for count, (name, at) in enumerate(times.items(), 1):
            plc.ask("trigger", id=name, at=at)
            wait_until(lambda n=count: len(plc.told("part")) == n, name)
        found = json.loads(command(device, "parts", "list", "--json"))
        assert device.daemon is not None
        rows = device.daemon.resources.journal.parts(10)
        assert all(began - 5 <= row.utc <= time.time() for row in rows)
    assert [each["id"] for each in found] == ["SN-2", "SN-1", "SN-0"]
    told = [each["triggered_at"] for each in plc.told("part")]
    assert [each[:4] for each in told[:2]] == ["1970", "2035"]


@pytest.mark.parametrize("protocol", [5, 4])
def test_a_trigger_that_waited_at_the_broker_gets_no_frame_of_now(protocol: int) -> None:
    """It may be of a part that is long gone; one that brings its time gets the frames of then."""
    with new_mosquitto() as broker, closing(Relay(broker.host, broker.port)) as cable:
        plc = Plc(broker)
        mqtt = {"host": cable.host, "port": cable.port, "protocol": protocol}
        settings = {"parts": {"by": "trigger", "window_ms": [0, 1000]}, "mqtt": mqtt}
        with Device(OLD, broker=broker, settings=settings) as device:
            device.await_active(OLD, online=True)
            daemon = device.daemon
            assert daemon is not None
            cable.set(Weather(refuses=True))
            cable.cut(abruptly=True)
            wait_until(lambda: not daemon.control.session.online, "the end of the connection")
            plc.ask("trigger", id="SN-0")
            past = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
            plc.ask("trigger", id="SN-1", at=past)
            cable.set(FAIR)
            wait_until(lambda: len(plc.told("part")) == 2, "both parts")
            plc.ask("trigger", id="SN-2")
            wait_until(lambda: len(plc.told("part")) == 3, "the third part")
        plc.client.disconnect()
        plc.client.loop_stop()
    first, second, third = plc.told("part")
    assert (first["id"], first["frames"], first["reason"]) == ("SN-0", [], "no_frame")
    for part in (second, third):
        assert part["captured_at"] >= part["triggered_at"]
        assert (part["verdict"], part["reason"]) == ("ok", None)


def test_a_trigger_where_none_opens_a_part() -> None:
    """Refused in a sentence, with the next step."""
    with station({"by": "frame"}) as (_, plc):
        plc.ask("trigger", id="SN-0")
        wait_until(lambda: bool(plc.told("response/trigger")), "the answer")
    error = plc.told("response/trigger")[0]["error"]
    assert error["code"] == "precondition_failed"
    assert "parts.by: trigger" in error["hint"]


def test_by_frame_each_captured_frame_is_told_as_a_part() -> None:
    """Also those that were captured before a stop: without gap, and with the recipe that judged."""
    with station({"by": "frame"}) as (device, plc):
        wait_until(lambda: len(plc.told("part")) > 50, "fifty parts")
        daemon = device.daemon
        assert daemon is not None
        metrics = daemon.resources.metrics.render().decode()
    assert 'edge_parts_total{reason="",verdict="ok"}' in metrics
    parts = plc.told("part")
    assert [each["part"] for each in parts] == list(range(len(parts)))
    assert [each["frames"] for each in parts] == [[n] for n in range(len(parts))]
    assert len({each["recipe"] for each in parts}) == 1
    assert {each["boot"] for each in parts} == {parts[0]["boot"]}
