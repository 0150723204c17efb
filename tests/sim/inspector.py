"""Who hears all of one station in order, and labels each of its parts by the pixels' own truth."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho

from tests.sim.line import ROOT
from tests.sim.mosquitto import Mosquitto
from tests.sim.paced import Heard
from tests.sim.rollout_line import BAD
from tests.sim.rollout_reckoning import Reckoner

PATIENT_S = 120.0
FRAMES_OF_PART = 4


class Inspector:
    """Says what it heard, which paces the camera; `triggers`: every fourth frame begins a part."""

    def __init__(
        self, broker: Mosquitto, reckoner: Reckoner, heard: Heard, *, triggers: bool
    ) -> None:
        self.reckoner, self._heard, self._triggers = reckoner, heard, triggers
        self.changed = threading.Condition()
        self.boot = ""
        self.active: str | None = None
        self.state: dict[str, Any] = {}
        self.quarantined: set[str] = set()
        self.heard_at = 0.0
        self.failure: Exception | None = None
        self._codes: dict[int, int] = {}
        self._unsent: list[dict[str, Any]] = []
        self._subscribed = threading.Event()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="inspector")
        self._client.on_message = self._on_message
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.connect(broker.host, broker.port)
        topics = ("result", "part", "model/event", "model/state", "rollout/state")
        self._client.subscribe([(f"{ROOT}/{topic}", 1) for topic in topics])
        self._client.loop_start()
        assert self._subscribed.wait(PATIENT_S)

    def ask(self, verb: str, **body: Any) -> None:
        document = {"id": uuid.uuid4().hex, "by": "rig", **body}
        self._client.publish(f"{ROOT}/request/{verb}", json.dumps(document), 1)

    def order(self, number: int, product: str) -> None:
        body = {"workOrder": f"WO-{number}", "productCode": product, "status": "running"}
        self._client.publish("mes/orders", json.dumps(body), 1)

    def until(self, condition: Callable[[], bool], within_s: float = PATIENT_S) -> bool:
        with self.changed:
            return self.changed.wait_for(condition, within_s)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        try:
            self._hear(message)
        except Exception as error:  # the boundary of the client's thread
            self.failure = error
            raise

    def _hear(self, message: paho.MQTTMessage) -> None:
        body = json.loads(message.payload) if message.payload else {}
        topic = message.topic.removeprefix(f"{ROOT}/")
        with self.changed:
            self.heard_at = time.monotonic()
            if topic == "result":
                self._result(body)
            elif topic == "part":
                self.reckoner.part(body, self.heard_at)
                self._label(body)
            elif topic == "model/event":
                self.reckoner.event(body)
                if body["type"] == "quarantined":
                    self.quarantined.add(body["model"])
            elif topic == "model/state":
                self.active = body["active"]["model"] if body.get("active") else None
            else:
                self.state = body
            self.changed.notify_all()

    def _result(self, body: dict[str, Any]) -> None:
        self.reckoner.result(body)
        boot, frame = body["boot"], body["frame"]
        if boot != self.boot:
            self.boot, self._codes = boot, {}
        self._heard.frames = frame + 1
        if body["detections"]:
            self._codes[frame] = int(body["detections"][0]["box"][0])
        self._codes.pop(frame - 1000, None)
        if self._triggers and frame % FRAMES_OF_PART == 0:
            self.ask("trigger", id=f"T-{boot}-{frame}")

    def _label(self, part: dict[str, Any]) -> None:
        """What its frames show; nothing where they were not heard of."""
        codes = [self._codes.get(frame) for frame in part["frames"]]
        if part["boot"] != self.boot or "rollout" not in part or not codes or None in codes:
            return
        bad = not BAD.isdisjoint(codes)
        word = {"part": part["part"], "boot": part["boot"], "verdict": "ng" if bad else "ok"}
        self._unsent.append(word)
        if len(self._unsent) >= 16:
            items, self._unsent = self._unsent, []
            self.ask("feedback", items=items, source="downstream")
