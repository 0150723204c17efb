"""A broker in this process, and a session on it with the interface of the real one.

`SimBroker` keeps what a broker keeps: retained messages, persistent sessions with their queues,
last wills. Everything happens at once in the caller's thread, so a story has one order. `cut`
ends a session's connection as a torn cable does; `stop` and `start` are a broker's restart.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from edge_daemon.host.clock import Clock
from edge_daemon.messaging import payloads
from edge_daemon.messaging.messages import Delivery, Handlers, Incoming, ReplyTo, Sent
from edge_daemon.messaging.mqtt import SessionSpec, response_addresses
from edge_daemon.messaging.topics import is_match


@dataclass(frozen=True)
class Packet:
    """One message at the broker."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    response_topic: str | None = None
    correlation: bytes | None = None
    message_expiry_s: int | None = None

    def json(self) -> object:
        return json.loads(self.payload)


@dataclass
class _Subscriber:
    filters: tuple[str, ...]
    take: Callable[[Packet], None]
    is_there: bool = True
    is_persistent: bool = False
    queue: list[Packet] = field(default_factory=list)


class SimBroker:
    """Topics, retained messages and the queues of those who are away."""

    def __init__(self) -> None:
        self.running = True
        self.retained: dict[str, Packet] = {}
        self._subscribers: dict[str, _Subscriber] = {}

    def publish(self, packet: Packet) -> None:
        if packet.retain:
            self.retained.pop(packet.topic, None)
            if packet.payload:
                self.retained[packet.topic] = packet
        for subscriber in tuple(self._subscribers.values()):
            if any(is_match(one, packet.topic) for one in subscriber.filters):
                if subscriber.is_there:
                    subscriber.take(packet)
                elif subscriber.is_persistent and packet.qos:
                    subscriber.queue.append(packet)

    def subscribe(
        self, name: str, filters: tuple[str, ...], take: Callable[[Packet], None]
    ) -> None:
        """A session under this name comes (back). Its queue is emptied."""
        known = self._subscribers.get(name)
        subscriber = _Subscriber(filters, take, is_persistent=True)
        self._subscribers[name] = subscriber
        for packet in known.queue if known else ():
            take(packet)

    def leave(self, name: str, undelivered: list[Packet]) -> None:
        """The connection is gone; what was not acknowledged comes first with the next one."""
        subscriber = self._subscribers[name]
        subscriber.is_there = False
        subscriber.queue = undelivered + subscriber.queue

    def watch(self, topic_filter: str) -> list[Packet]:
        """A list that grows with every message that matches, the retained ones first."""
        seen: list[Packet] = []
        for topic, packet in self.retained.items():
            if is_match(topic_filter, topic):
                seen.append(packet)
        self._subscribers[f"watch-{len(self._subscribers)}"] = _Subscriber(
            (topic_filter,), lambda packet: seen.append(replace(packet, retain=False))
        )
        return seen

    def steal_session(self, name: str) -> None:
        """While its owner is away, another client with this name takes what waits, and goes."""
        self._subscribers[name].queue.clear()

    def forget_session(self, name: str) -> None:
        """As when it expired while its owner was away."""
        del self._subscribers[name]

    def forget(self) -> None:
        """What a restart without persistence loses."""
        self.retained.clear()
        for name in [one for one, who in self._subscribers.items() if who.is_persistent]:
            del self._subscribers[name]


@dataclass
class _Unacknowledged:
    packet: Packet
    is_done: bool = False


class _Known:
    """`Sent` whose fate is known at once."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery

    def wait(self, timeout_s: float) -> Delivery | None:
        return self._delivery


class SimSession:
    """A `Carrier` on a `SimBroker`; the same interface and the same order of things as `Session`.

    `has_room` False makes QoS 0 messages be dropped and counted, as a stalled socket does.
    """

    def __init__(self, broker: SimBroker, spec: SessionSpec, clock: Clock) -> None:
        self._broker = broker
        self._spec = spec
        self._clock = clock
        self.unacknowledged: list[_Unacknowledged] = []
        self._failed: set[int] = set()
        self.online = False
        self.has_room = True
        self.lost = 0
        self.failures: list[Exception] = []

    def start(self, handlers: Handlers) -> None:
        self.handlers = handlers
        self.resume()

    def alive(self) -> bool:
        return True

    def resume(self) -> None:
        """Connect; what the real session does by itself after a pause."""
        if self.online or not self._broker.running:
            return
        topics = self._spec.topics
        self.online = True
        filters = (topics.requests, *self._spec.order_filters)
        self.unacknowledged = []
        self._broker.subscribe(self._spec.client_id, filters, self._take_live)
        for packet in tuple(self._broker.retained.values()):
            if self._source(packet.topic) is not None:
                self._take(packet, stored=True)
        birth = payloads.status("online", self._clock.now().utc)
        self.publish(topics.status, birth, qos=1, retain=True)
        try:
            self.handlers.on_online()
        except Exception as error:
            self.failures.append(error)

    def cut(self) -> None:
        """The connection ends without a word: the broker publishes the last will."""
        if self.online:
            self._leave()
            will = payloads.status("offline", None)
            self._broker.publish(Packet(self._spec.topics.status, will, 1, retain=True))

    def stop(self, timeout_s: float = 2.0) -> None:
        if self.online:
            farewell = payloads.status("stopped", self._clock.now().utc)
            self.publish(self._spec.topics.status, farewell, qos=1, retain=True)
            self._leave()

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        correlation: bytes | None = None,
    ) -> Sent | None:
        if not self.online or (qos == 0 and not self.has_room):
            self.lost += 1
            return None
        self._broker.publish(Packet(topic, payload, qos, retain, None, correlation))
        return _Known(Delivery.DELIVERED)

    def respond(self, verb: str, payload: bytes, reply_to: ReplyTo) -> None:
        for topic, correlation in response_addresses(self._spec.topics, verb, reply_to):
            self.publish(topic, payload, qos=1, correlation=correlation)

    def _leave(self) -> None:
        self.online = False
        kept = [entry.packet for entry in self.unacknowledged if entry.packet.qos]
        self._broker.leave(self._spec.client_id, kept)

    def _source(self, topic: str) -> int | None:
        if self._spec.topics.is_own(topic):
            return None
        for place, order_filter in enumerate(self._spec.order_filters):
            if is_match(order_filter, topic):
                return place
        return None

    @property
    def _is_v5(self) -> bool:
        return self._spec.settings.protocol == 5

    def _take_live(self, packet: Packet) -> None:
        """With MQTT 3.1.1 the flag of a live message is taken off."""
        self._take(packet if self._is_v5 else replace(packet, retain=False))

    def _take(self, packet: Packet, *, stored: bool = False) -> None:
        entry = _Unacknowledged(packet)
        connection = self.unacknowledged
        connection.append(entry)

        def done() -> None:
            # In the order of arrival, as MQTT wants it: an earlier one holds the later ones.
            entry.is_done = True
            while connection and connection[0].is_done:
                connection.pop(0)

        incoming = Incoming(
            packet.topic,
            packet.payload,
            self._clock.now(),
            packet.retain,
            packet.response_topic,
            packet.correlation,
            packet.message_expiry_s,
            done,
            stored,
        )
        try:
            self._dispatch(incoming)
        except Exception as error:
            self.failures.append(error)
            if packet.qos and id(packet) not in self._failed:
                self._failed.add(id(packet))
                self._leave()
                self.resume()
            else:
                done()

    def _dispatch(self, incoming: Incoming) -> None:
        verb = self._spec.topics.verb_of(incoming.topic)
        source = self._source(incoming.topic)
        if verb is not None:
            self.handlers.on_request(verb, incoming)
        elif source is not None:
            self.handlers.on_order(source, incoming)
        else:
            incoming.done()
