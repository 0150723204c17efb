"""One connection to an MQTT broker, from its first packet to its last.

It adds what paho lacks: callbacks cannot end the network thread, the death of that thread is
noticed, and a message is acknowledged only when a handler says so. `sending` has what is sent.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import paho.mqtt.client as paho
import structlog
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_daemon.config import MqttSettings
from edge_daemon.host.clock import Clock
from edge_daemon.host.error_boundary import ErrorBoundary
from edge_daemon.messaging import payloads
from edge_daemon.messaging.ceiling import Ceiling
from edge_daemon.messaging.in_flight import Outgoing, Unacknowledged
from edge_daemon.messaging.link import Link
from edge_daemon.messaging.messages import Handlers, Incoming, Sent
from edge_daemon.messaging.paho_client import (
    MAX_PACKET_BYTES,
    RECEIVE_MAXIMUM,
    BoundedClient,
    new_station_client,
    release,
)
from edge_daemon.messaging.sending import Sending
from edge_daemon.messaging.subscription import Subscription
from edge_daemon.messaging.topics import Topics, is_match

WELCOME_S = 10.0
WATCH_S = 1.0
SUBSCRIBE_AGAIN_S = 5.0
"""After a broker refused a subscription without a reason."""
TAKEN_OVER = 0x8E
PACKET_TOO_LARGE = 0x95
_OVER_A_MESSAGE = frozenset({0x80, 0x82, 0x83, PACKET_TOO_LARGE})
"""Reasons, and a connection closed without one, for which a message of ours may be the cause."""

_log = structlog.get_logger(__name__)
_messages = ErrorBoundary(_log, "message_failed")
_callbacks = ErrorBoundary(_log, "callback_failed")
"""Around each other callback: paho's network thread must outlive whatever is raised in it."""


@dataclass(frozen=True)
class SessionSpec:
    """The broker to connect to, and our identity.

    `order_filters`: of orders in the order of the settings, and then of feedback.
    `fleet_filters`: of campaigns; empty where the station follows none.
    """

    settings: MqttSettings
    topics: Topics
    device: str
    order_filters: tuple[str, ...] = ()
    fleet_filters: tuple[str, ...] = ()

    @property
    def client_id(self) -> str:
        return f"edge-daemon-{self.device}"


@dataclass(frozen=True)
class SessionMemory:
    """What a session remembers of its broker from one connection to the next."""

    ceiling: Ceiling
    link: Link
    failed: set[int] = field(default_factory=set)
    """Messages that a handler failed on, once."""


class Connection:
    """One TCP connection with one paho client; ends once and for all."""

    def __init__(
        self, spec: SessionSpec, handlers: Handlers, clock: Clock, memory: SessionMemory
    ) -> None:
        self._spec = spec
        self._handlers = handlers
        self._clock = clock
        self._memory = memory
        self._is_v5 = spec.settings.protocol == 5
        self._welcomed = threading.Event()
        self._ended = threading.Event()
        self._why = ""
        self._unclaimed, self._unclaimed_told = 0, 1
        self._network: threading.Thread | None = None
        self.joined_at: float | None = None
        """When the broker accepted this connection; None before."""
        self._reason = 0
        self.is_taken_over = False
        """Whether the broker ended it because another client came with our id."""
        self._subscription = Subscription(
            spec.topics.requests, spec.order_filters, is_v5=self._is_v5, kept=spec.fleet_filters
        )
        self._client = self._make_client()
        self._unacknowledged = Unacknowledged(_acknowledging(self._client, self._ended))
        self._sending = Sending(self._client, memory.ceiling, clock, is_v5=self._is_v5)

    @property
    def online(self) -> bool:
        return self._welcomed.is_set() and not self._ended.is_set()

    def ended_by_size(self) -> bool:
        """Whether the size of a message explains the end."""
        if self._reason not in _OVER_A_MESSAGE:
            return False
        by_size = self._reason == PACKET_TOO_LARGE
        return self._memory.ceiling.ended(self._sending.in_flight, by_size=by_size)

    @property
    def silent_since(self) -> float | None:
        """When the first of the messages that wait for an acknowledgement was handed over."""
        return self._sending.silent_since

    def alive(self) -> bool:
        """False where the connection stands and its thread does not read from it."""
        return not self.online or self._network is None or self._network.is_alive()

    def live(self, stopping: threading.Event) -> str:
        """Connect and stay until the connection ends or `stopping` is set; says why it ended."""
        settings = self._spec.settings
        try:
            if self._is_v5:
                properties = Properties(PacketTypes.CONNECT)
                properties.SessionExpiryInterval = settings.session_expiry_s
                properties.MaximumPacketSize = MAX_PACKET_BYTES
                properties.ReceiveMaximum = RECEIVE_MAXIMUM
                self._client.connect(
                    settings.host,
                    settings.port,
                    settings.keepalive_s,
                    clean_start=False,
                    properties=properties,
                )
            else:
                self._client.connect(settings.host, settings.port, settings.keepalive_s)
            self._client.loop_start()
            self._watch(stopping)
        finally:
            self._end()
        return self._why or "the broker closed the connection"

    def _watch(self, stopping: threading.Event) -> None:
        deadline = self._clock.now().at + WELCOME_S
        again_at = deadline + SUBSCRIBE_AGAIN_S
        while not self._ended.wait(WATCH_S):
            if self._clock.now().at > again_at:
                self._subscription.make_again(self._client)
                again_at = self._clock.now().at + SUBSCRIBE_AGAIN_S
            if self._has_died():
                self._why = "the network thread died"
                _log.error("mqtt_thread_died", client_id=self._spec.client_id)
                return
            if not self._welcomed.is_set() and self._clock.now().at > deadline:
                self._why = f"no answer to CONNECT within {WELCOME_S:.0f} s"
                return
            if stopping.is_set() and not self._welcomed.is_set():
                return

    def _has_died(self) -> bool:
        """Whether the network thread ended unexpectedly.

        One that ends properly sets `_ended` first, perhaps only after we looked.
        """
        network = self._network
        return network is not None and not network.is_alive() and not self._ended.is_set()

    def part(self, timeout_s: float) -> None:
        """Disconnect properly, so that the broker does not publish the last will."""
        self._client.disconnect()
        self._ended.wait(timeout_s)
        self._end()

    def _end(self) -> None:
        self._ended.set()
        # A thread that still reads from this socket wakes up and ends by itself.
        with suppress(OSError, AttributeError):
            self._client.socket().shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]
        self._sending.close()
        release(self._client)
        self._client.is_full = lambda: False  # what still comes is not left in the connection

    def publish(self, message: Outgoing) -> Sent | None:
        """Hand over without waiting; None if there is no room."""
        return self._sending.publish(message)

    def _make_client(self) -> BoundedClient:
        client = new_station_client(self._spec.settings, self._spec.client_id)
        client.will_set(self._spec.topics.status, payloads.status("offline", None), 1, retain=True)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.is_full = lambda: len(self._unacknowledged) >= RECEIVE_MAXIMUM
        return client

    # ----------------------------------------------------------------------- in

    def _on_connect(
        self, client: paho.Client, _: Any, flags: Any, reason: ReasonCode, properties: Any
    ) -> None:
        self._network = threading.current_thread()
        if reason.is_failure:
            self._why = f"the broker refused us: {reason}"
            return
        with _callbacks.turn(callback="connect"):
            self._memory.ceiling.joined(getattr(properties, "MaximumPacketSize", None))
            self.joined_at = self._clock.now().at
            self._welcomed.set()  # what waited for us comes now, and may be answered
            self._subscription.make(
                client,
                is_numbered=getattr(properties, "SubscriptionIdentifierAvailable", 1) == 1,
                was_taken_over=self._memory.link.was_taken_over,
            )
            log = _log.debug if self._memory.link.keeps_falling else _log.info
            log("broker_joined", session_present=flags.session_present)

    def _on_subscribe(
        self, _client: paho.Client, _: Any, __: int, reasons: list[ReasonCode], *___: object
    ) -> None:
        with _callbacks.turn(callback="subscribe"):
            is_first = not self._subscription.is_confirmed
            for name, error in self._subscription.answered(reasons).items():
                _log.error("subscription_refused", topic=name, error=error)
            if not is_first:
                return
            # Only now: who reads `online` may send a request, and it will be heard.
            since = payloads.status("online", self._clock.now().utc)
            self.publish(Outgoing(self._spec.topics.status, since, 1, True, None))
            self._handlers.on_online()

    def _on_disconnect(
        self, _client: paho.Client, _: Any, __: Any, reason: ReasonCode, properties: Any
    ) -> None:
        self._reason = reason.value
        self.is_taken_over = self._reason == TAKEN_OVER
        said = getattr(properties, "ReasonString", "")
        self._why = self._why or f"{reason} {said}".strip()
        self._ended.set()

    def _on_message(self, _client: paho.Client, _: Any, message: paho.MQTTMessage) -> None:
        received = self._clock.now()
        # QoS 0 needs no acknowledgement.
        done = self._unacknowledged.add(message.mid) if message.qos else lambda: None
        with _messages.turn(mid=message.mid) as attempt:
            properties = message.properties
            numbers = getattr(properties, "SubscriptionIdentifier", ())
            incoming = Incoming(
                topic=message.topic,
                payload=bytes(message.payload),
                received=received,
                retained=bool(message.retain),
                response_topic=self._reply_topic(getattr(properties, "ResponseTopic", None)),
                correlation=getattr(properties, "CorrelationData", None),
                message_expiry_s=getattr(properties, "MessageExpiryInterval", None),
                done=done,
                stored=self._subscription.is_stored(message.topic, numbers, retain=message.retain),
                waited=self._subscription.has_waited(numbers),
            )
            self._dispatch(incoming)
        if attempt.fault is not None:
            self._once_more(message, done)

    def _reply_topic(self, asked: str | None) -> str | None:
        """The sender's own address, if it may have answers; the fixed topic always gets them."""
        if asked is None or self._spec.topics.may_answer_at(asked, self._spec.order_filters):
            return asked
        _log.warning("response_topic_ignored", response_topic=asked[:200])
        return None

    def _once_more(self, message: paho.MQTTMessage, done: Callable[[], None]) -> None:
        """A handler failed, perhaps on a full disk: have the broker send it again, but not for
        ever.

        It does so only on the next connection, so this one is closed.
        """
        key = hash((message.topic, bytes(message.payload)))
        if message.qos and key not in self._memory.failed:
            self._memory.failed.add(key)
            self._why = "a message could not be handled and is asked for once more"
            self._client.disconnect()
        else:
            self._memory.failed.discard(key)
            done()

    def _dispatch(self, incoming: Incoming) -> None:
        topics = self._spec.topics
        verb = topics.verb_of(incoming.topic)
        size_bytes = self._client.packet_bytes
        is_cut = size_bytes > MAX_PACKET_BYTES
        if is_cut:
            _log.error("message_not_read", topic=incoming.topic[:200], size_bytes=size_bytes)
        if verb is not None:  # one that is cut is refused for its size, and answered
            self._handlers.on_request(verb, incoming)
            return
        if not is_cut and not topics.is_own(incoming.topic):
            for place, order_filter in enumerate(self._spec.order_filters):
                if is_match(order_filter, incoming.topic):
                    self._handlers.on_order(place, incoming)
                    return
            if any(is_match(each, incoming.topic) for each in self._spec.fleet_filters):
                self._handlers.on_fleet(incoming)
                return
            self._count_unclaimed(incoming.topic)
        incoming.done()  # our own words, seen by a wide filter, or nobody's

    def _count_unclaimed(self, topic: str) -> None:
        """The broker sent what matches none of our filters: logged at the 1st, 10th, 100th …"""
        self._unclaimed += 1
        if self._unclaimed == self._unclaimed_told:
            self._unclaimed_told *= 10
            _log.warning("delivery_unclaimed", topic=topic, count=self._unclaimed)


def _acknowledging(client: paho.Client, ended: threading.Event) -> Callable[[int], None]:
    """What acknowledges a message; whoever keeps it keeps no connection that is over."""

    def acknowledge(mid: int) -> None:
        if not ended.is_set():
            client.ack(mid, 1)

    return acknowledge
