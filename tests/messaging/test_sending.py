"""What a connection sends: each message has one fate, and nothing waits without a bound."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from edge_daemon.messaging import sending as room
from edge_daemon.messaging.ceiling import Ceiling
from edge_daemon.messaging.in_flight import Outgoing
from edge_daemon.messaging.messages import Delivery, Sent
from edge_daemon.messaging.sending import Sending
from tests.sim.clock import SimClock

TOPIC = "edge/cam1/result"
TAKEN = ReasonCode(PacketTypes.PUBACK, "Success")
FORBIDDEN = ReasonCode(PacketTypes.PUBACK, "Not authorized")


class Wire:
    """paho's client as far as sending needs it: messages get numbers, and wait for their word."""

    def __init__(self) -> None:
        self.on_publish: Any = None
        self.sent: list[tuple[str, bytes, int, bool, Any]] = []
        self.answers_at_once: ReasonCode | None = None
        self.rc = paho.MQTT_ERR_SUCCESS

    def publish(self, topic: str, payload: bytes, qos: int, retain: bool, properties: Any) -> Any:
        self.sent.append((topic, payload, qos, retain, properties))
        mid = len(self.sent)
        if self.answers_at_once is not None:
            self.acknowledge(mid, self.answers_at_once)
        return SimpleNamespace(rc=self.rc, mid=mid)

    def acknowledge(self, mid: int, reason: ReasonCode = TAKEN) -> None:
        self.on_publish(None, None, mid, reason, None)


class FakePage:
    def __init__(self, *, is_v5: bool = True) -> None:
        self.wire, self.clock = Wire(), SimClock()
        self.ceiling = Ceiling(self.clock)
        self.sending = Sending(
            cast("paho.Client", self.wire), self.ceiling, self.clock, is_v5=is_v5
        )

    def send(self, payload: bytes = b"1", qos: int = 1, **more: Any) -> Sent | None:
        retain, correlation = more.get("retain", False), more.get("correlation")
        return self.sending.publish(Outgoing(TOPIC, payload, qos, retain, correlation))


@pytest.fixture
def house() -> FakePage:
    return FakePage()


def fate(sent: Sent | None) -> Delivery | None:
    """As it is known now."""
    assert sent is not None
    return sent.wait(0.0)


def test_a_message_is_delivered_when_the_broker_says_so(house: FakePage) -> None:
    """And not before."""
    sent = house.send()
    assert fate(sent) is None
    house.wire.acknowledge(1)
    assert fate(sent) is Delivery.DELIVERED


def test_an_acknowledgement_that_is_faster_than_we_are_counts(house: FakePage) -> None:
    """The network thread may hear it before `publish` has returned."""
    house.wire.answers_at_once = TAKEN
    assert fate(house.send()) is Delivery.DELIVERED


def test_a_refusal_of_the_broker_is_told_as_one(house: FakePage) -> None:
    """By an access list, say: sending it again would change nothing."""
    sent = house.send()
    house.wire.acknowledge(1, FORBIDDEN)
    assert fate(sent) is Delivery.REFUSED


def test_what_is_under_way_when_the_connection_ends_is_lost(house: FakePage) -> None:
    """Whether it arrived is not known; what was acknowledged stays delivered."""
    first, second = house.send(), house.send()
    house.wire.acknowledge(1)
    house.sending.close()
    assert (fate(first), fate(second)) == (Delivery.DELIVERED, Delivery.LOST)


def test_what_is_sent_after_the_end_is_lost_at_once(house: FakePage) -> None:
    """Nobody waits for a connection that is no more."""
    house.sending.close()
    assert fate(house.send()) is Delivery.LOST


def test_a_fate_is_decided_once(house: FakePage) -> None:
    """A broker that acknowledges twice, or after the end, changes nothing."""
    sent = house.send()
    house.sending.close()
    house.wire.acknowledge(1)
    house.wire.acknowledge(1, FORBIDDEN)
    assert fate(sent) is Delivery.LOST


def test_a_client_that_takes_nothing_gives_no_fate(house: FakePage) -> None:
    """None: it was not handed over."""
    house.wire.rc = paho.MQTT_ERR_NO_CONN
    assert house.send() is None


def test_results_that_the_socket_does_not_take_are_bounded_in_number(
    house: FakePage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one is refused here: paho would queue them until the memory is full."""
    monkeypatch.setattr(room, "BACKLOG_MESSAGES", 3)
    assert [house.send(qos=0) is not None for _ in range(5)] == [True, True, True, False, False]
    house.wire.acknowledge(1)  # it went out: there is room for one
    assert [house.send(qos=0) is not None for _ in range(2)] == [True, False]


def test_results_that_wait_are_bounded_in_bytes(
    house: FakePage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few pictures are as much as many results."""
    monkeypatch.setattr(room, "BACKLOG_BYTES", 1000)
    assert house.send(b"x" * 600, qos=0) is not None
    assert house.send(b"x" * 600, qos=0) is None
    assert house.send(b"x", qos=0) is not None


def test_what_must_arrive_is_not_held_up_by_results(
    house: FakePage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound is for QoS 0; an event waits in the outbox and comes one by one."""
    monkeypatch.setattr(room, "BACKLOG_MESSAGES", 1)
    assert house.send(qos=0) is not None
    assert house.send(qos=0) is None
    assert house.send(qos=1) is not None


def test_a_broker_that_acknowledges_nothing_is_silent_since_the_first(house: FakePage) -> None:
    """Of those that wait; results, which nobody acknowledges, do not count."""
    house.send(qos=0)
    assert house.sending.silent_since is None
    began = house.clock.advance(10.0).at
    house.send()
    later = house.clock.advance(5.0).at
    house.send()
    assert house.sending.silent_since == began
    house.wire.acknowledge(2)
    assert house.sending.silent_since == later
    house.wire.acknowledge(3)
    assert house.sending.silent_since is None


def test_the_largest_message_under_way_is_known_when_a_connection_ends(house: FakePage) -> None:
    """It may be why the broker hung up; what was acknowledged is innocent."""
    house.send(b"x" * 5000)
    house.send(b"x" * 100)
    assert house.sending.in_flight.largest is not None
    assert house.sending.in_flight.largest.packet_bytes > 5000
    house.wire.acknowledge(1)
    largest = house.sending.in_flight.largest
    assert largest is not None
    assert largest.packet_bytes < 200
    assert house.sending.in_flight.taken_bytes > 5000


def test_an_answer_carries_its_correlation_data(house: FakePage) -> None:
    """With MQTT 5; 3.1.1 has no place for it."""
    house.send(correlation=b"abc")
    older = FakePage(is_v5=False)
    older.send(correlation=b"abc")
    assert house.wire.sent[0][4].CorrelationData == b"abc"
    assert older.wire.sent[0][4] is None


def test_what_the_broker_is_known_not_to_take_is_not_sent(house: FakePage) -> None:
    """A message over its announced limit would end the connection, and the next one."""
    house.ceiling.joined(2000)
    sent = house.send(b"x" * 5000)
    assert fate(sent) is Delivery.REFUSED
    assert house.wire.sent == []
