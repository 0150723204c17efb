"""An MQTT client that comes back by itself, and hears everything at least once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from typing import Any

import paho.mqtt.client as paho

from tests.sim.mosquitto import Mosquitto

PATIENT_S = 60.0


class SteadyClient:
    """One session below `root`; `hear` is given each topic without it, on the client's thread.

    `topics`: below the root, each with its quality of service.
    """

    def __init__(
        self,
        broker: Mosquitto,
        name: str,
        root: str,
        topics: Sequence[tuple[str, int]],
        hear: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self._root, self._hear = f"{root}/", hear
        self._topics = [(self._root + topic, qos) for topic, qos in topics]
        self._subscribed = threading.Event()
        self.client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id=name, clean_session=False
        )
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = lambda client, *_: client.subscribe(self._topics)
        self.client.on_subscribe = lambda *_: self._subscribed.set()
        self.client.on_message = self._on_message
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()
        self.until_subscribed()

    def until_subscribed(self) -> None:
        assert self._subscribed.wait(PATIENT_S)

    def about_to_lose(self) -> None:
        """The broker goes: wait for the next subscription."""
        self._subscribed.clear()

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        self._hear(message.topic.removeprefix(self._root), json.loads(message.payload))
