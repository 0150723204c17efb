"""Parts on a real broker: triggers are answered, and every part has exactly one result."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import paho.mqtt.client as paho
import pytest

from tests.sim.device import Device, wait_until
from tests.sim.mosquitto import Mosquitto, new_mosquitto

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
        topics = (("part", 1), ("response/+", 1), ("result", 0))
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
def station(parts: dict[str, Any]) -> Iterator[tuple[Device, Plc]]:
    with new_mosquitto() as broker:
        plc = Plc(broker)
        with Device(OLD, NEW, broker=broker, settings={"parts": parts}) as device:
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
        assert each["model"] in models or each["reason"] == "changeover"
        assert (each["model"] is None) is (each["reason"] is not None)
        assert each["reason"] in (None, "changeover")
        assert not each["late"]
    assert {each["model"] for each in parts} >= {OLD, NEW}


def test_by_frame_each_captured_frame_is_told_as_a_part() -> None:
    """Also those that were captured before a stop: without gap, and with the recipe that judged."""
    with station({"by": "frame"}) as (device, plc):
        wait_until(lambda: len(plc.told("part")) > 50, "fifty parts")
        daemon = device.daemon
        assert daemon is not None
        metrics = daemon._resources.metrics.render().decode()
    assert 'edge_parts_total{reason="",verdict="ok"}' in metrics
    parts = plc.told("part")
    assert [each["part"] for each in parts] == list(range(len(parts)))
    assert [each["frames"] for each in parts] == [[n] for n in range(len(parts))]
    assert len({each["recipe"] for each in parts}) == 1
    assert {each["boot"] for each in parts} == {parts[0]["boot"]}
