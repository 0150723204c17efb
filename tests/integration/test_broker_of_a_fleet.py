"""The broker that is shipped, with the retained messages of 2,000 stations."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from tests.sim.brokers import wait_for
from tests.sim.mosquitto import Mosquitto, new_mosquitto

pytestmark = pytest.mark.broker

SHIPPED = (Path(__file__).parents[2] / "configs/mosquitto/mosquitto.conf").read_text()
STATIONS = 2000
LIMITS = ("max_queued_messages", "max_queued_bytes", "max_packet_size", "autosave_interval")


def shipped(*names: str) -> list[str]:
    """These lines of the file that is shipped."""
    return re.findall(rf"^(?:{'|'.join(names)}) .*$", SHIPPED, re.MULTILINE)


@pytest.fixture
def broker() -> Iterator[Mosquitto]:
    with new_mosquitto(*shipped(*LIMITS)) as made:
        yield made


def client_of(broker: Mosquitto, protocol: int = paho.MQTTv5) -> paho.Client:
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=protocol)
    client.max_inflight_messages_set(STATIONS)
    client.connect(broker.host, broker.port)
    client.loop_start()
    return client


def leave(client: paho.Client) -> None:
    client.disconnect()
    client.loop_stop()


def say(broker: Mosquitto, word: str) -> None:
    """Every station says this; returns when the broker has taken it from all."""
    client = client_of(broker)
    sent = [client.publish(f"edge/s{n}/fleet", word, 1, True) for n in range(STATIONS)]
    for each in sent:
        each.wait_for_publish(20.0)
    leave(client)


def heard(broker: Mosquitto, protocol: int = paho.MQTTv5) -> dict[str, str]:
    """What one new subscriber gets, until nothing has come for a second."""
    got: dict[str, str] = {}
    more = threading.Event()
    client = client_of(broker, protocol)

    def take(_client: object, _data: object, message: paho.MQTTMessage) -> None:
        got[message.topic] = message.payload.decode()
        more.set()

    client.on_message = take
    client.subscribe("edge/+/fleet", 1)
    while len(got) < STATIONS and more.wait(1.0):
        more.clear()
    leave(client)
    return got


@pytest.mark.parametrize("protocol", [paho.MQTTv5, paho.MQTTv311])
def test_one_subscriber_gets_the_reports_of_2000_stations(broker: Mosquitto, protocol: int) -> None:
    """A client that asks for no Receive Maximum is sent 20 at once; all others wait for it."""
    say(broker, "here")
    assert len(heard(broker, protocol)) == STATIONS


def test_with_a_short_queue_the_rest_is_lost_without_a_word() -> None:
    """Why the shipped file says more than 1000."""
    with new_mosquitto("max_queued_messages 1000") as short:
        say(short, "here")
        assert len(heard(short)) == 1020


def test_a_killed_broker_comes_back_as_it_last_wrote_itself(broker: Mosquitto) -> None:
    """No station is missing then; what was said since is said again by whoever lives."""
    say(broker, "first")
    written = broker.folder / "mosquitto.db"
    broker.save()
    wait_for(written.exists, "the first save")
    say(broker, "second")
    broker.kill()
    broker.start()
    after = heard(broker)
    assert len(after) == STATIONS
    assert set(after.values()) <= {"first", "second"}
    say(broker, "second")
    assert set(heard(broker).values()) == {"second"}


def test_little_is_lost_when_the_shipped_broker_is_killed() -> None:
    """Its clock is the only bound on what it forgets."""
    (line,) = shipped("autosave_interval")
    assert 1 <= int(line.split()[1]) <= 5
    assert "autosave_on_changes" not in re.sub(r"#.*", "", SHIPPED)
