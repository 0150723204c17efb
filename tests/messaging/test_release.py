"""A connection that is over holds no socket, though the garbage collector never comes."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from edge_daemon.config import MqttSettings
from edge_daemon.host.clock import SystemClock
from edge_daemon.messaging.ceiling import Ceiling
from edge_daemon.messaging.client import Client
from edge_daemon.messaging.connection import Connection, SessionMemory, SessionSpec
from edge_daemon.messaging.link import Link
from edge_daemon.messaging.topics import Topics
from tests.sim.brokers import Crew, wait_for
from tests.sim.mosquitto import Mosquitto

pytestmark = pytest.mark.broker
TOPICS = Topics("acme/cam1")


@pytest.fixture(autouse=True)
def _nobody_collects() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def sockets() -> int:
    """Those that this process has open."""
    links = []
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the folder itself, while it is listed
            links.append(os.readlink(each))
    return sum(link.startswith("socket:") for link in links)


def test_one_who_asks_again_and_again_has_one_connection_at_a_time(broker: Mosquitto) -> None:
    """As a page or a script does for hours: after 1,023 files no answer would be heard."""
    before = sockets()
    for _ in range(5):
        with Client(MqttSettings(host=broker.host, port=broker.port), TOPICS) as client:
            client.retained([TOPICS.status])
        del client
    assert sockets() == before


def test_a_station_whose_broker_comes_and_goes_keeps_no_connection(broker: Mosquitto) -> None:
    """Each is thrown away with what it had open."""
    clock = SystemClock()
    spec = SessionSpec(MqttSettings(host=broker.host, port=broker.port), TOPICS, "cam1")
    past = SessionMemory(Ceiling(clock, frozenset()), Link(spec.client_id, clock))
    crew = Crew()
    before = sockets()
    for _ in range(3):
        connection = Connection(spec, crew.handlers(), clock, past)
        life = threading.Thread(target=connection.live, args=(threading.Event(),))
        life.start()
        wait_for(lambda: crew.births, "the broker's welcome")
        crew.births = 0
        with Client(spec.settings, TOPICS) as client:
            client.publish(TOPICS.request("hold"), b"{}")
        wait_for(lambda: crew.requests, "the request")
        crew.requests.clear()
        connection.part(5.0)
        life.join()
        del client, connection, life
    wait_for(lambda: sockets() == before, "the end of the last socket")
