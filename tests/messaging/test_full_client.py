"""A flood is left in the connection: what is not acknowledged yet stays within its bound."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_daemon.config import MqttSettings
from edge_daemon.messaging.paho_client import (
    RECEIVE_MAXIMUM,
    new_station_client,
)
from tests.sim.mosquitto import new_mosquitto

FLOOD = 1500


def test_a_broker_that_sends_more_than_it_may_is_not_read_for_a_while() -> None:
    """As mosquitto 2.0.11 does while acknowledgements and new messages cross; nothing is lost."""
    waiting: deque[int] = deque()
    depths: list[int] = []
    numbers: list[int] = []
    all_in, subscribed = threading.Event(), threading.Event()

    def take(_client: paho.Client, _: Any, message: paho.MQTTMessage) -> None:
        waiting.append(message.mid)
        depths.append(len(waiting))
        numbers.append(int(message.payload))
        if len(numbers) == FLOOD:
            all_in.set()

    with new_mosquitto("max_queued_messages 0") as broker:
        client = new_station_client(MqttSettings(port=broker.port), "station")
        client.is_full = lambda: len(waiting) >= RECEIVE_MAXIMUM
        client.on_message = take
        client.on_subscribe = lambda *_: subscribed.set()
        properties = Properties(PacketTypes.CONNECT)
        properties.ReceiveMaximum = RECEIVE_MAXIMUM
        client.connect("127.0.0.1", broker.port, properties=properties)
        client.loop_start()
        client.subscribe("orders", 1)
        assert subscribed.wait(60.0)
        mes = paho.Client(CallbackAPIVersion.VERSION2, "mes")
        mes.max_inflight_messages_set(FLOOD)
        mes.connect("127.0.0.1", broker.port)
        mes.loop_start()
        for number in range(FLOOD):
            mes.publish("orders", str(number), 1)
        pace = threading.Event()
        while not (all_in.is_set() and not waiting):  # a slow reader: one in a millisecond
            if waiting:
                client.ack(waiting.popleft(), 1)
            pace.wait(0.001)
        for each in (client, mes):
            each.disconnect()
            each.loop_stop()
    assert numbers == list(range(FLOOD))
    # One is read now and then although there is no room, so that a ping gets its answer.
    assert max(depths) < 2 * RECEIVE_MAXIMUM
