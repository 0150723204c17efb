"""One bench, many brokers: the simulator and the real ones behind the same few verbs."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_daemon.config import MqttSettings
from edge_daemon.host.clock import SystemClock
from edge_daemon.messaging.messages import Handlers, Incoming
from edge_daemon.messaging.mqtt import Session, SessionSpec
from edge_daemon.messaging.topics import Topics
from tests.sim.broker import Packet, SimBroker, SimSession
from tests.sim.relay import Relay

ROOT = "acme/hall2/cam1"
TOPICS = Topics(ROOT)
ORDERS = ("mes/+/orders", "erp/#")
PATIENCE_S = 60.0


def wait_for(condition: Callable[[], Any], what: str) -> None:
    """Return as soon as the condition holds; fail with a sentence after a generous time."""
    deadline = time.monotonic() + PATIENCE_S
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {PATIENCE_S:.0f} s")
        pause.wait(0.005)


@dataclass
class Crew:
    """Handlers that write down what they are told; `raises` makes the next request fail."""

    requests: list[tuple[str, Incoming]] = field(default_factory=list)
    orders: list[tuple[int, Incoming]] = field(default_factory=list)
    births: int = 0
    acknowledges: bool = True
    raises: list[BaseException] = field(default_factory=list)
    on_birth: Callable[[], None] = lambda: None

    def handlers(self) -> Handlers:
        return Handlers(self._request, self._order, self._online)

    def _request(self, verb: str, incoming: Incoming) -> None:
        if self.raises:
            raise self.raises.pop(0)
        if self.acknowledges:
            incoming.done()
        self.requests.append((verb, incoming))

    def _order(self, source: int, incoming: Incoming) -> None:
        incoming.done()
        self.orders.append((source, incoming))

    def _online(self) -> None:
        self.births += 1
        self.on_birth()

    def payloads(self) -> list[bytes]:
        return [incoming.payload for _, incoming in self.requests]

    def orders_told(self) -> list[tuple[bytes, bool]]:
        """What each order said, and whether the broker had it in keeping."""
        return [(incoming.payload, incoming.stored) for _, incoming in self.orders]


class AnySession(Protocol):
    """What `Session` and `SimSession` have in common."""

    @property
    def online(self) -> bool: ...
    @property
    def lost(self) -> int: ...
    def start(self) -> None: ...
    def stop(self, timeout_s: float = ...) -> None: ...
    def alive(self) -> bool: ...

    publish: Callable[..., Any]
    respond: Callable[..., None]


class Harness(Protocol):
    """A broker, one device on it and one stranger."""

    is_v5: bool
    knows_retained: bool

    def session(self) -> AnySession: ...
    def publish(self, packet: Packet) -> None: ...
    def watch(self, topic_filter: str) -> list[Packet]: ...
    def cut(self) -> None: ...
    def restart(self) -> None: ...
    def close(self) -> None: ...


class SimBench:
    is_v5 = True
    knows_retained = True

    def __init__(self) -> None:
        self._broker = SimBroker()
        self._sessions: list[SimSession] = []

    def session(self) -> SimSession:
        spec = SessionSpec(MqttSettings(), TOPICS, "cam1", ORDERS)
        session = SimSession(self._broker, spec, SystemClock())
        self._sessions.append(session)
        return session

    def publish(self, packet: Packet) -> None:
        self._broker.publish(packet)

    def watch(self, topic_filter: str) -> list[Packet]:
        return self._broker.watch(topic_filter)

    def cut(self) -> None:
        for session in self._sessions:
            session.cut()
        for session in self._sessions:
            session.resume()

    def restart(self) -> None:
        self.cut()

    def close(self) -> None:
        pass


class BrokerProcess(Protocol):
    host: str
    port: int

    def start(self) -> Any: ...
    def stop(self) -> None: ...


class RealBench:
    """A real broker, the device behind a relay, the stranger beside it."""

    def __init__(self, broker: BrokerProcess, protocol: int, **abilities: bool) -> None:
        self.is_v5 = protocol == 5
        self.knows_retained = abilities.get("knows_retained", self.is_v5)
        self._broker = broker
        self._protocol = protocol
        broker.start()
        self._relay = Relay(broker.host, broker.port)
        self._sessions: list[Session] = []
        self._strangers: list[paho.Client] = []
        self._speaker = self._stranger()

    def session(self) -> Session:
        settings = MqttSettings(
            host=self._relay.host, port=self._relay.port, protocol=self._protocol
        )
        spec = SessionSpec(settings, TOPICS, "cam1", ORDERS)
        session = Session(spec, SystemClock(), random.Random(1))
        self._sessions.append(session)
        return session

    def publish(self, packet: Packet) -> None:
        properties = None
        if self.is_v5:
            properties = Properties(PacketTypes.PUBLISH)
            if packet.response_topic is not None:
                properties.ResponseTopic = packet.response_topic
            if packet.correlation is not None:
                properties.CorrelationData = packet.correlation
            if packet.message_expiry_s is not None:
                properties.MessageExpiryInterval = packet.message_expiry_s
        self._speaker.publish(
            packet.topic, packet.payload, packet.qos, packet.retain, properties
        ).wait_for_publish(PATIENCE_S)

    def watch(self, topic_filter: str) -> list[Packet]:
        seen: list[Packet] = []

        def on_message(_: Any, __: Any, message: paho.MQTTMessage) -> None:
            properties = message.properties
            seen.append(
                Packet(
                    message.topic,
                    message.payload,
                    message.qos,
                    bool(message.retain),
                    getattr(properties, "ResponseTopic", None),
                    getattr(properties, "CorrelationData", None),
                )
            )

        stranger = self._stranger()
        subscribed = threading.Event()
        stranger.on_message = on_message
        stranger.on_subscribe = lambda *_: subscribed.set()
        stranger.subscribe(topic_filter, 1)
        assert subscribed.wait(PATIENCE_S), "the broker did not answer SUBSCRIBE"
        return seen

    def cut(self) -> None:
        self._relay.cut()

    def restart(self) -> None:
        self._broker.stop()
        self._relay.cut()
        self._broker.start()
        self._speaker = self._stranger()

    def close(self) -> None:
        for session in self._sessions:
            session.stop()
        for stranger in self._strangers:
            stranger.disconnect()
            stranger.loop_stop()
        self._relay.close()
        self._broker.stop()

    def _stranger(self) -> paho.Client:
        stranger = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            protocol=paho.MQTTv5 if self.is_v5 else paho.MQTTv311,
        )
        stranger.reconnect_delay_set(1, 1)
        joined = threading.Event()
        stranger.on_connect = lambda *_: joined.set()
        stranger.connect(self._broker.host, self._broker.port)
        stranger.loop_start()
        assert joined.wait(PATIENCE_S), "the broker did not answer CONNECT"
        self._strangers.append(stranger)
        return stranger
