"""One connection to an MQTT broker, from its first packet to its last; the only room with paho.

What paho does not do is done here: a bound for QoS 0 messages, TCP_NODELAY, callbacks that cannot
end the network thread, acknowledgement only when a handler says so, and the fate of each message.
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge_daemon.config import MqttSettings
from edge_daemon.control import payloads
from edge_daemon.control.messages import Delivery, Handlers, Incoming, Sent
from edge_daemon.control.stored_orders import StoredOrders
from edge_daemon.control.topics import Topics, is_match
from edge_daemon.control.underway import Fate, Outgoing, Unacknowledged
from edge_daemon.host.clock import Clock

MAX_PACKET_BYTES = 1024 * 1024  # above the 256 KiB of a request, so that more can be answered
RECEIVE_MAXIMUM = 100  # requests and orders under way at once, not yet acknowledged
QUEUE_MESSAGES = 1000  # QoS 1 messages that wait for the broker's acknowledgement
BACKLOG_MESSAGES = 512  # QoS 0 messages that wait for the socket
BACKLOG_BYTES = 16 * 1024 * 1024
WELCOME_S = 10.0
WATCH_S = 1.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class SessionSpec:
    """Whom to connect to, and as whom; `order_filters` in the order of the configuration."""

    settings: MqttSettings
    topics: Topics
    device: str
    order_filters: tuple[str, ...] = ()

    @property
    def client_id(self) -> str:
        return f"edge-daemon-{self.device}"


class Connection:
    """One TCP connection with one paho client; ends once and for all."""

    def __init__(
        self, spec: SessionSpec, handlers: Handlers, clock: Clock, failed: set[int]
    ) -> None:
        self._spec = spec
        self._handlers = handlers
        self._clock = clock
        self._failed = failed
        self._unacknowledged = Unacknowledged(self._acknowledge)
        self._is_v5 = spec.settings.protocol == 5
        self._welcomed = threading.Event()
        self._ended = threading.Event()
        self._why = ""
        self._unclaimed, self._unclaimed_told = 0, 1
        self._network: threading.Thread | None = None
        self._max_packet_bytes = MAX_PACKET_BYTES * 64
        self._sending = threading.Lock()
        self._backlog: deque[tuple[Fate, int]] = deque()
        self._backlog_bytes = 0
        self._fates: dict[int, Fate] = {}
        self._early: dict[int, Delivery] = {}
        self._stored_orders = StoredOrders(spec.order_filters, is_v5=self._is_v5)
        self._client = self._make_client()

    @property
    def online(self) -> bool:
        return self._welcomed.is_set() and not self._ended.is_set()

    @property
    def was_welcomed(self) -> bool:
        """Whether the broker let us in, at any time."""
        return self._welcomed.is_set()

    def alive(self) -> bool:
        """False where the connection stands and nobody reads from it."""
        return not self.online or self._network is None or self._network.is_alive()

    def live(self, stopping: threading.Event) -> str:
        """Connect and stay until the connection ends or `stopping` is set; says why it ended."""
        settings = self._spec.settings
        try:
            if self._is_v5:
                properties = _properties(PacketTypes.CONNECT)
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
        while not self._ended.wait(WATCH_S):
            if self._network is not None and not self._network.is_alive():
                self._why = "the network thread died"
                _log.error("mqtt_thread_died", client_id=self._spec.client_id)
                return
            if not self._welcomed.is_set() and self._clock.now().at > deadline:
                self._why = f"no answer to CONNECT within {WELCOME_S:.0f} s"
                return
            if stopping.is_set() and not self._welcomed.is_set():
                return

    def part(self, timeout_s: float) -> None:
        """Leave in order, so that the broker does not publish the last will."""
        self._client.disconnect()
        self._ended.wait(timeout_s)
        self._end()

    def _end(self) -> None:
        self._ended.set()
        # A thread that still reads from this socket wakes up and ends by itself.
        with suppress(OSError, AttributeError):
            self._client.socket().shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]
        for mid in tuple(self._fates):
            self._decide(mid, Delivery.LOST)

    def _make_client(self) -> paho.Client:
        settings = self._spec.settings
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._spec.client_id,
            clean_session=None if self._is_v5 else False,
            protocol=paho.MQTTv5 if self._is_v5 else paho.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.max_queued_messages_set(QUEUE_MESSAGES)
        client.max_inflight_messages_set(RECEIVE_MAXIMUM)
        if settings.username is not None:
            client.username_pw_set(settings.username, settings.read_password())
        if settings.tls is not None:
            client.tls_set(*settings.tls.readable_files())
        client.will_set(self._spec.topics.status, payloads.status("offline", None), 1, retain=True)
        client.on_socket_open = _send_at_once
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        return client

    # ----------------------------------------------------------------------- out

    def publish(self, message: Outgoing) -> Sent | None:
        if message.size_bytes > self._max_packet_bytes:
            _log.error("message_too_large", topic=message.topic, size_bytes=message.size_bytes)
            return Fate(Delivery.REFUSED)
        properties = None
        if message.correlation is not None and self._is_v5:
            properties = _properties(PacketTypes.PUBLISH)
            properties.CorrelationData = message.correlation
        with self._sending:
            if message.qos == 0 and not self._has_room(message.size_bytes):
                return None
            info = self._client.publish(
                message.topic, message.payload, message.qos, message.retain, properties
            )
            if info.rc != paho.MQTT_ERR_SUCCESS:
                return None
            fate = self._await(info.mid)
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

    def _await(self, mid: int) -> Fate:
        # The acknowledgement may come before we get here: whoever comes second finds the other.
        fate = self._fates[mid] = Fate()
        early = self._early.pop(mid, None)
        if early is not None:
            self._decide(mid, early)
        elif self._ended.is_set():
            self._decide(mid, Delivery.LOST)
        return fate

    def _decide(self, mid: int, delivery: Delivery) -> None:
        fate = self._fates.pop(mid, None)
        if fate is not None:
            fate.decide(delivery)

    def _on_publish(
        self, _client: paho.Client, _: Any, mid: int, reason: ReasonCode, __: Properties | None
    ) -> None:
        # paho holds its locks here: take none of ours, and publish nothing.
        delivery = Delivery.REFUSED if reason.is_failure else Delivery.DELIVERED
        self._early[mid] = delivery
        if mid in self._fates:
            self._early.pop(mid, None)
            self._decide(mid, delivery)

    # ----------------------------------------------------------------------- in

    def _on_connect(
        self,
        client: paho.Client,
        _: Any,
        flags: paho.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self._network = threading.current_thread()
        if reason.is_failure:
            self._why = f"the broker refused us: {reason}"
            return
        with _reported("connect"):
            self._max_packet_bytes = getattr(
                properties, "MaximumPacketSize", self._max_packet_bytes
            )
            self._welcomed.set()  # what waited for us comes now, and may be answered
            self._subscribe(client)
            _log.info("broker_joined", session_present=flags.session_present)

    def _subscribe(self, client: paho.Client) -> None:
        """Requests and orders in one packet; on a session that stands it changes nothing."""
        requests, orders = self._spec.topics.requests, self._spec.order_filters
        if not self._is_v5:
            client.subscribe([(name, 1) for name in (requests, *orders)])
            return
        # Requests: what is retained is never sent on subscribing, and known if it slips through.
        # Orders: what is retained is the order that runs, sent once when the session is new.
        for_requests = SubscribeOptions(qos=1, retainAsPublished=True, retainHandling=2)
        for_orders = SubscribeOptions(qos=1, noLocal=True, retainAsPublished=True, retainHandling=1)
        client.subscribe([(requests, for_requests), *((name, for_orders) for name in orders)])

    def _on_subscribe(
        self,
        _client: paho.Client,
        _: Any,
        __: int,
        reasons: list[ReasonCode],
        ___: Properties | None,
    ) -> None:
        with _reported("subscribe"):
            names = (self._spec.topics.requests, *self._spec.order_filters)
            for name, reason in zip(names, reasons, strict=False):
                if reason.is_failure:
                    _log.error("subscription_refused", topic=name, error=str(reason))
            # Only now: who reads `online` may send a request, and it will be heard.
            since = payloads.status("online", self._clock.now().utc)
            self.publish(Outgoing(self._spec.topics.status, since, 1, True, None))
            self._handlers.on_online()

    def _on_disconnect(
        self,
        _client: paho.Client,
        _: Any,
        __: paho.DisconnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        said = getattr(properties, "ReasonString", "")
        self._why = self._why or f"{reason} {said}".strip()
        self._ended.set()

    def _on_message(self, _client: paho.Client, _: Any, message: paho.MQTTMessage) -> None:
        received = self._clock.now()
        done = self._unacknowledged.add(message.mid) if message.qos else _nothing
        try:
            properties = message.properties
            incoming = Incoming(
                topic=message.topic,
                payload=bytes(message.payload),
                received=received,
                retained=bool(message.retain),
                response_topic=getattr(properties, "ResponseTopic", None),
                correlation=getattr(properties, "CorrelationData", None),
                message_expiry_s=getattr(properties, "MessageExpiryInterval", None),
                done=done,
                stored=self._stored_orders.is_stored(message.topic, retain=message.retain),
            )
            self._dispatch(incoming)
        except Exception:
            _log.exception("message_failed", mid=message.mid)
            self._once_more(message, done)

    def _once_more(self, message: paho.MQTTMessage, done: Callable[[], None]) -> None:
        """A handler failed, perhaps on a full disk: let the broker send it again, but not for ever.

        It does so with the next connection only, so this one is left, in order.
        """
        key = hash((message.topic, bytes(message.payload)))
        if message.qos and key not in self._failed:
            self._failed.add(key)
            self._why = "a message could not be handled and is asked for once more"
            self._client.disconnect()
        else:
            self._failed.discard(key)
            done()

    def _acknowledge(self, mid: int) -> None:
        if not self._ended.is_set():
            self._client.ack(mid, 1)

    def _dispatch(self, incoming: Incoming) -> None:
        topics = self._spec.topics
        verb = topics.verb_of(incoming.topic)
        if verb is not None:
            self._handlers.on_request(verb, incoming)
            return
        if not topics.is_own(incoming.topic):
            for place, order_filter in enumerate(self._spec.order_filters):
                if is_match(order_filter, incoming.topic):
                    self._handlers.on_order(place, incoming)
                    return
            self._count_unclaimed(incoming.topic)
        incoming.done()  # our own words, seen by a wide filter, or nobody's

    def _count_unclaimed(self, topic: str) -> None:
        """The broker sent what no filter of ours matches: told at the 1st, 10th, 100th ..."""
        self._unclaimed += 1
        if self._unclaimed == self._unclaimed_told:
            self._unclaimed_told *= 10
            _log.warning("delivery_unclaimed", topic=topic, count=self._unclaimed)


def _nothing() -> None:
    """Nothing to acknowledge: QoS 0."""


@contextmanager
def _reported(what: str) -> Iterator[None]:
    """A callback's boundary: paho's network thread must outlive whatever is raised in it."""
    try:
        yield
    except Exception:
        _log.exception("callback_failed", callback=what)


def _properties(packet: int) -> Properties:
    return Properties(packet)  # type: ignore[no-untyped-call]


def _send_at_once(_client: paho.Client, _: Any, sock: Any) -> None:
    """TCP_NODELAY: without it a round trip through a broker waits for 40 ms timers."""
    with suppress(OSError, AttributeError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
