"""What one connection sends, and what becomes of each message.

paho queues QoS 0 without end and forgets what was under way; here there is a bound, and a fate that
can be waited for.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_daemon.host.clock import Clock
from edge_daemon.messaging.ceiling import Ceiling, InFlight, Weight
from edge_daemon.messaging.in_flight import Outgoing, SendResult
from edge_daemon.messaging.messages import Delivery, Sent

BACKLOG_MESSAGES = 512  # QoS 0 messages that wait for the socket
BACKLOG_BYTES = 16 * 1024 * 1024


class Sending:
    """Any thread publishes; the network thread says what was acknowledged."""

    def __init__(self, client: paho.Client, ceiling: Ceiling, clock: Clock, *, is_v5: bool) -> None:
        self._client = client
        self._ceiling = ceiling
        self._clock = clock
        self._is_v5 = is_v5
        self._lock = threading.Lock()
        self._backlog: deque[tuple[SendResult, int]] = deque()
        self._backlog_bytes = 0
        self._fates: dict[int, SendResult] = {}
        self._early: dict[int, Delivery] = {}
        self._is_closed = False
        self.in_flight = InFlight()
        client.on_publish = self._on_publish

    @property
    def silent_since(self) -> float | None:
        """When the first of the messages that wait for an acknowledgement was handed over."""
        waiting = (fate.since for fate in tuple(self._fates.values()) if fate.place)
        return next(waiting, None)

    def close(self) -> None:
        """The connection has ended: what has no fate yet is lost."""
        self._is_closed = True
        for mid in tuple(self._fates):
            self._decide(mid, Delivery.LOST)

    def publish(self, message: Outgoing) -> Sent | None:
        """Hand over without waiting; None where there is no room."""
        fitting = self._ceiling.fit(message)
        if fitting is None:
            return SendResult(Delivery.REFUSED)
        message = fitting
        properties = None
        if message.correlation is not None and self._is_v5:
            properties = Properties(PacketTypes.PUBLISH)
            properties.CorrelationData = message.correlation
        with self._lock:
            if message.qos == 0 and not self._has_room(message.size_bytes):
                return None
            info = self._client.publish(
                message.topic, message.payload, message.qos, message.retain, properties
            )
            if info.rc != paho.MQTT_ERR_SUCCESS:
                return None
            fate = self._await(info.mid, message)
            if message.qos == 0:
                self._backlog.append((fate, message.size_bytes))
                self._backlog_bytes += message.size_bytes
        return fate

    def _has_room(self, size_bytes: int) -> bool:
        """Whether the socket keeps up; paho itself would queue QoS 0 without end."""
        while self._backlog and self._backlog[0][0].is_decided:
            self._backlog_bytes -= self._backlog.popleft()[1]
        return (
            len(self._backlog) < BACKLOG_MESSAGES
            and self._backlog_bytes + size_bytes <= BACKLOG_BYTES
        )

    def _await(self, mid: int, message: Outgoing) -> SendResult:
        size_bytes = message.size_bytes
        place = self.in_flight.sent(Weight(message.topic, size_bytes))
        # The acknowledgement may come before we get here: the second one finds the first.
        fate = self._fates[mid] = SendResult(
            place=place if message.qos else 0, size_bytes=size_bytes, since=self._clock.now().at
        )
        early = self._early.pop(mid, None)
        if early is not None:
            self._decide(mid, early)
        elif self._is_closed:
            self._decide(mid, Delivery.LOST)
        return fate

    def _decide(self, mid: int, delivery: Delivery) -> None:
        fate = self._fates.pop(mid, None)
        if fate is not None:
            if fate.place and delivery is not Delivery.LOST:
                self.in_flight.acknowledged(fate.place, fate.size_bytes)
            fate.decide(delivery)

    def _on_publish(
        self, _client: paho.Client, _: Any, mid: int, reason: ReasonCode, __: Properties | None
    ) -> None:
        # paho holds its locks here: take none under which we call it, and publish nothing.
        delivery = Delivery.REFUSED if reason.is_failure else Delivery.DELIVERED
        self._early[mid] = delivery
        if mid in self._fates:
            self._early.pop(mid, None)
            self._decide(mid, delivery)
