"""The client of a station, on real brokers: its questions are answered, silence has a name."""

from __future__ import annotations

import json
import math
import threading
import time
from typing import Any

import pytest

from edge_daemon.config import MqttSettings
from edge_daemon.errors import BrokerError
from edge_daemon.messaging import client as room
from edge_daemon.messaging.client import Client, UnansweredError, UnfinishedError
from edge_daemon.messaging.topics import Topics
from tests.sim.brokers import wait_for
from tests.sim.mosquitto import Mosquitto, free_port, new_mosquitto, strict_broker

TOPICS = Topics("acme/cam1")


def client(broker: Mosquitto, protocol: int = 5) -> Client:
    settings = MqttSettings(host=broker.host, port=broker.port, protocol=protocol)
    return Client(settings, TOPICS)


class Device:
    """Answers each request with the given statuses."""

    def __init__(self, hears: Client, *statuses: str) -> None:
        self._client = hears
        self.heard: list[dict[str, Any]] = []
        self.statuses = statuses
        hears.listen(TOPICS.requests, self._take)

    def _take(self, topic: str, payload: bytes) -> None:
        request = json.loads(payload)
        self.heard.append(request)
        threading.Thread(target=self._answer, args=(topic.rpartition("/")[2], request)).start()

    def _answer(self, verb: str, request: dict[str, Any]) -> None:
        for status in self.statuses:
            body = json.dumps({"id": request["id"], "status": status}).encode()
            self._client.publish(TOPICS.response(verb), b"not json")
            self._client.publish(TOPICS.response(verb), b'{"id":"of another","status":"failed"}')
            self._client.publish(TOPICS.response(verb), body)


@pytest.mark.broker
@pytest.mark.parametrize("protocol", [5, 4])
def test_a_request_yields_its_own_answers_up_to_the_outcome(
    broker: Mosquitto, protocol: int
) -> None:
    """Answers to others and garbage on the same topic are passed over."""
    with client(broker, protocol) as device, client(broker, protocol) as asking:
        heard = Device(device, "accepted", "progress", "succeeded").heard
        answers = list(asking.request("swap", {"model": "a@1"}, timeout_s=20))
    assert [answer["status"] for answer in answers] == ["accepted", "progress", "succeeded"]
    assert heard[0]["model"] == "a@1"


@pytest.mark.broker
def test_nobody_listening_is_known_at_once(broker: Mosquitto) -> None:
    """An MQTT 5 broker says that no daemon hears us; nothing is waited for."""
    with client(broker) as asking, pytest.raises(UnansweredError, match="No daemon listens"):
        list(asking.request("hold", {}))


@pytest.mark.broker
def test_silence_after_the_request_is_unanswered(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the broker cannot tell, a short silence does."""
    monkeypatch.setattr(room, "FIRST_ANSWER_S", 0.2)
    with client(broker, 4) as asking, pytest.raises(UnansweredError, match="No daemon answers"):
        list(asking.request("hold", {}))


@pytest.mark.broker
def test_an_outcome_that_takes_longer_than_one_waits_is_unfinished(broker: Mosquitto) -> None:
    """Accepted, but not done: the sentence says that it goes on."""
    with client(broker) as device, client(broker) as asking:
        Device(device, "accepted")
        with pytest.raises(UnfinishedError, match="continues"):
            list(asking.request("swap", {"model": "a@1"}, timeout_s=1.0))


@pytest.mark.broker
def test_a_busy_broker_is_not_taken_for_one_that_refuses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody changes an access list because of a broker that has too much to do."""
    with new_mosquitto() as busy, client(busy) as asking, monkeypatch.context() as impatient:
        impatient.setattr(room, "ACKNOWLEDGE_S", 0.2)
        impatient.setattr(room, "WELCOME_S", 0.2)
        with busy.held():
            with pytest.raises(BrokerError, match="gave no answer within") as unheard:
                client(busy).__enter__()
            with pytest.raises(BrokerError) as silence:
                asking.listen("acme/cam1/status", lambda *_: None)
        assert unheard.value.hint.startswith("If it is busy, try again")
        assert "cannot be read at the broker: no acknowledgement" in silence.value.message
        assert silence.value.hint.endswith("try again.")
    with strict_broker("topic read acme/#") as closed, client(closed) as asking:
        with pytest.raises(BrokerError) as refusal:
            list(asking.request("swap", {"model": "bottle@1.4.0"}))
        assert "access list" in refusal.value.hint


@pytest.mark.broker
def test_retained_topics_are_read_as_they_stand(broker: Mosquitto) -> None:
    """What is retained is found, and what is not is left out."""
    with client(broker) as device, client(broker) as asking:
        device.publish(TOPICS.status, b'{"state":"online"}', retain=True)
        found = asking.retained([TOPICS.status, TOPICS.info])
        device.publish(TOPICS.status, b"", retain=True)
    assert found == {TOPICS.status: b'{"state":"online"}'}


def test_no_broker_is_one_clear_sentence() -> None:
    """Who is not there, and what to do instead."""
    settings = MqttSettings(host="127.0.0.1", port=free_port())
    with (
        pytest.raises(BrokerError, match="No broker answers at"),
        Client(settings, TOPICS),
    ):
        pass


@pytest.mark.broker
def test_it_is_known_since_when_the_connection_stands(broker: Mosquitto) -> None:
    """Whoever counts silence must know when nobody could be heard."""
    with new_mosquitto() as own, client(own) as asking:
        first = asking.connected_since
        own.stop()
        wait_for(lambda: math.isinf(asking.connected_since), "it is told")
        down_at = time.monotonic()
        own.start()
        wait_for(lambda: not math.isinf(asking.connected_since), "it is back")
        assert first < down_at < asking.connected_since <= time.monotonic()


@pytest.mark.broker
def test_a_torn_connection_asks_again_under_the_same_id(broker: Mosquitto) -> None:
    """The broker restarts between request and outcome: the outcome is still heard."""
    with new_mosquitto() as own, client(own) as device, client(own) as asking:
        deaf = Device(device, "accepted")
        answers = asking.request("swap", {"model": "a@1"}, timeout_s=30)
        assert next(answers)["status"] == "accepted"
        own.stop()
        deaf.statuses = ("accepted", "succeeded")
        own.start()
        assert [answer["status"] for answer in answers][-1] == "succeeded"
        assert len({request["id"] for request in deaf.heard}) == 1
