"""A broker that lets us in and is of no use: somebody has our id, or nothing is acknowledged."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from structlog.testing import capture_logs

from edge_daemon.config import MqttSettings
from edge_daemon.host.clock import Clock, SystemClock
from edge_daemon.messaging.ceiling import Ceiling
from edge_daemon.messaging.connection import Connection, SessionMemory, SessionSpec
from edge_daemon.messaging.link import MOST_LOSSES, Link
from edge_daemon.messaging.mqtt import SILENT_S, Session
from tests.sim.brokers import PATIENCE_S, TOPICS, Crew, wait_for
from tests.sim.clock import SimClock
from tests.sim.hostile import CONNACK, CONNACK_5, SUBACK, TAKEN_OVER_5, HostileBroker
from tests.sim.mosquitto import Mosquitto, new_mosquitto

pytestmark = pytest.mark.broker

ID = "edge-daemon-cam1"


def spec_for(host: str, port: int, protocol: int = 5) -> SessionSpec:
    return SessionSpec(MqttSettings(host=host, port=port, protocol=protocol), TOPICS, "cam1")


class Impatient(random.Random):
    """It never waits before it tries again."""

    def uniform(self, a: float, b: float) -> float:
        return 0.0


@contextmanager
def session_by(spec: SessionSpec, crew: Crew, clock: Clock) -> Iterator[Session]:
    session = Session(spec, clock, Impatient())
    session.start(crew.handlers())
    try:
        yield session
    finally:
        session.stop()


def steal_id(broker: Mosquitto, protocol: int) -> None:
    """Another client with our id comes, and goes when the broker has let it in."""
    let_in = threading.Event()
    version = paho.MQTTv5 if protocol == 5 else paho.MQTTv311
    thief = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=ID, protocol=version)
    thief.on_connect = lambda *_: let_in.set()
    thief.connect(broker.host, broker.port)
    thief.loop_start()
    assert let_in.wait(PATIENCE_S)
    thief.disconnect()
    thief.loop_stop()


def steal_order(broker: Mosquitto, protocol: int, topic: str) -> list[bytes]:
    """Another client with our id comes and is given the order that is published then."""
    took: list[bytes] = []
    let_in = threading.Event()
    is_v5 = protocol == 5
    thief = paho.Client(
        paho.CallbackAPIVersion.VERSION2,
        client_id=ID,
        protocol=paho.MQTTv5 if is_v5 else paho.MQTTv311,
        clean_session=None if is_v5 else False,
    )
    thief.on_connect = lambda *_: let_in.set()
    thief.on_message = lambda _, __, message: took.append(message.payload)
    lasting = Properties(PacketTypes.CONNECT)
    lasting.SessionExpiryInterval = 60
    if is_v5:
        thief.connect(broker.host, broker.port, clean_start=False, properties=lasting)
    else:
        thief.connect(broker.host, broker.port)
    thief.loop_start()
    assert let_in.wait(PATIENCE_S)
    mes = paho.Client(paho.CallbackAPIVersion.VERSION2)
    mes.connect(broker.host, broker.port)
    mes.loop_start()
    mes.publish(topic, b"running", 1, retain=True).wait_for_publish(PATIENCE_S)
    wait_for(lambda: took, "the order at the thief")
    for client in (mes, thief):
        client.disconnect()
        client.loop_stop()
    return took


@pytest.mark.parametrize("protocol", [5, 4])
def test_another_client_with_our_id_is_a_problem_that_names_it(protocol: int) -> None:
    """And one line of the log, however often it takes our place."""
    crew = Crew()
    with (
        new_mosquitto() as broker,
        capture_logs() as lines,
        session_by(spec_for(broker.host, broker.port, protocol), crew, SystemClock()) as session,
    ):
        for number in range(1, MOST_LOSSES + 3):
            wait_for(lambda number=number: crew.births == number, "the next birth")
            steal_id(broker, protocol)
        wait_for(lambda: crew.births == MOST_LOSSES + 3, "the last birth")
        (problem,) = session.problems()
        assert ID in problem
    told: list[Any] = [line["event"] for line in lines if line["log_level"] != "info"]
    assert told.count("broker_link_keeps_falling") == 1
    assert told.count("broker_lost") == MOST_LOSSES - 1
    assert "mqtt_thread_died" not in told


@pytest.mark.parametrize("protocol", [5, 4])
def test_an_order_that_went_to_another_client_with_our_id_is_asked_for(protocol: int) -> None:
    """It has our session and acknowledges what comes. Only the broker still knows the order."""
    topic = "mes/line3/orders"
    with new_mosquitto() as broker:
        spec = replace(spec_for(broker.host, broker.port, protocol), order_filters=(topic,))
        with session_by(spec, Crew(), SystemClock()) as session:
            wait_for(lambda: session.online, "the session")
        assert steal_order(broker, protocol, topic) == [b"running"]
        crew = Crew()
        with session_by(spec, crew, SystemClock()):
            wait_for(lambda: crew.orders, "the order")
    assert [(i.payload, i.stored) for _, i in crew.orders] == [(b"running", True)]


def test_the_broker_that_says_session_taken_over_is_quoted() -> None:
    """MQTT 5 brokers may say why they end a connection."""
    crew = Crew()
    with (
        HostileBroker(CONNACK_5, TAKEN_OVER_5) as broker,
        session_by(spec_for(broker.host, broker.port), crew, SystemClock()) as session,
    ):
        wait_for(session.problems, "the problem")
        assert f"another client took over the id {ID}" in session.problems()[0]


def test_a_broker_that_acknowledges_nothing_is_a_problem() -> None:
    """It looks online, and nothing that must be told comes through."""
    crew, clock = Crew(), SimClock()
    with (
        HostileBroker(CONNACK, SUBACK) as broker,
        session_by(spec_for(broker.host, broker.port, 4), crew, clock) as session,
    ):
        wait_for(lambda: crew.births == 1, "the birth")
        session.publish(TOPICS.model_event, b"1", qos=1)
        assert session.problems() == ()
        clock.advance(SILENT_S + 1)
        (problem,) = session.problems()
        assert "acknowledged nothing for 31 s" in problem


def test_a_connection_that_ended_in_order_is_not_called_dead() -> None:
    """On a busy box the look at the network thread comes when it has ended, in order."""

    class Overslept(threading.Event):
        """Says once that it was not set, long after it was."""

        has_overslept = False

        def wait(self, timeout: float | None = None) -> bool:
            assert super().wait(PATIENCE_S)
            assert connection._network is not None
            connection._network.join(PATIENCE_S)
            is_first, self.has_overslept = not self.has_overslept, True
            return not is_first

    with HostileBroker(CONNACK, SUBACK) as broker, capture_logs() as lines:
        spec = spec_for(broker.host, broker.port, 4)
        clock = SystemClock()
        past = SessionMemory(Ceiling(clock), Link(ID, clock))
        connection = Connection(spec, Crew().handlers(), clock, past)
        connection._ended = Overslept()
        life = threading.Thread(target=connection.live, args=(threading.Event(),))
        life.start()
        wait_for(lambda: connection.joined_at is not None, "the welcome")
        wait_for(lambda: broker.connections, "the connection")
        broker.connections[0].close()
        life.join(PATIENCE_S)
    assert "mqtt_thread_died" not in [line["event"] for line in lines]
