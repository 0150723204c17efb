"""What the API document shows: sent to a running daemon, it is answered as documented."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft7Validator
from jsonschema.exceptions import best_match

from edge_daemon.messaging import api
from edge_daemon.messaging.client import Client
from tests.sim.device import Device, wait_until
from tests.sim.mosquitto import Mosquitto

pytestmark = pytest.mark.broker

DOCUMENT = api.document()
MESSAGES = DOCUMENT["components"]["messages"]
VERBS = [key.removeprefix("request-") for key in DOCUMENT["channels"] if key.startswith("request-")]
BEFORE, ACTIVE = "bottle@1.3.0", "bottle@1.4.0"
SETTINGS = {
    "links": {"BTL-500": "bottle", "CAN-330": "can"},
    "orders": [
        {"topic": f"mes/{key.removeprefix('orders-')}", "preset": key.removeprefix("orders-")}
        for key in DOCUMENT["channels"]
        if key.startswith("orders-")
    ],
    "parts": {"by": "frame"},
    "fleet": {"site": "plant"},
    "trial": {"frames": 1_000_000, "seconds": 600.0, "latency_ratio": 100.0},
}


def _asked() -> Iterator[tuple[str, str]]:
    for verb in VERBS:
        for example in _request(verb)["examples"]:
            yield verb, example["name"]


def _ordered() -> Iterator[tuple[str, str]]:
    for key, message in MESSAGES.items():
        if key.startswith("order-"):
            for example in message["examples"]:
                yield key.removeprefix("order-"), example["name"]


def _request(verb: str) -> Any:
    return MESSAGES[f"{verb}Request"]


class Ear:
    """Every message below the root, checked against the document as it comes."""

    def __init__(self, client: Client) -> None:
        self.faults: list[str] = []
        self.topics: set[str] = set()
        self.state: dict[str, Any] = {}
        self._root = client.topics.root + "/"
        self._schemas = {
            channel["address"].removeprefix("{root}/"): _schema(channel)
            for channel in DOCUMENT["channels"].values()
            if channel["address"]
        }
        client.listen(client.topics.root + "/#", self._take)

    def _take(self, topic: str, payload: bytes) -> None:
        name = topic.removeprefix(self._root)
        self.topics.add(name)
        if name not in self._schemas:
            self.faults.append(f"{name} is not in the document")
            return
        schema = self._schemas[name]
        if schema is None or not payload or name.startswith("request/"):
            return
        message = json.loads(payload)
        if name == "model/state":
            self.state = message
        fault = best_match(schema.iter_errors(message))
        if fault is not None:
            self.faults.append(f"{name}: {fault.json_path}: {fault.message}")


def _schema(channel: Any) -> Draft7Validator | None:
    kinds = [MESSAGES[key].get("payload") for key in channel["messages"]]
    if None in kinds:
        return None
    return Draft7Validator({"anyOf": kinds, "components": DOCUMENT["components"]})


@pytest.fixture
def station(broker: Mosquitto) -> Iterator[tuple[Device, Client, Ear]]:
    """The station that the document's examples speak of."""
    refs = (BEFORE, ACTIVE, "bottle@1.5.0", "can@1.0.0")
    with Device(*refs, broker=broker, settings=SETTINGS) as device:
        device.await_active(BEFORE, online=True)
        with Client.of(device.config) as client, Client.of(device.config) as listener:
            ear = Ear(listener)
            outcome = list(client.request("swap", {"model": ACTIVE}))[-1]
            assert outcome["status"] == "succeeded", outcome
            yield device, client, ear
            assert ear.faults == []


@pytest.mark.parametrize(("verb", "name"), list(_asked()))
def test_a_request_is_answered_as_documented(
    station: tuple[Device, Client, Ear], verb: str, name: str
) -> None:
    """The words that the document lists, in their order; `progress` may come between."""
    _, client, ear = station
    message = _request(verb)
    example = next(one for one in message["examples"] if one["name"] == name)
    wanted = message["x-answers"][name]
    heard: list[str] = []
    for answer in client.request(verb, example["payload"]):
        if answer["status"] != "progress":
            code = answer.get("error", {}).get("code")
            heard.append(answer["status"] + (f":{code}" if code else ""))
        if heard == wanted == ["accepted"]:
            break
    assert heard == wanted
    if verb == "snapshot":
        wait_until(lambda: "snapshot" in ear.topics, "the picture")


@pytest.mark.parametrize(("preset", "name"), list(_ordered()))
def test_an_order_does_what_is_documented(
    station: tuple[Device, Client, Ear], preset: str, name: str
) -> None:
    """The state that the document shows is the state that comes."""
    _, client, ear = station
    message = MESSAGES[f"order-{preset}"]
    example = next(one for one in message["examples"] if one["name"] == name)
    client.publish(f"mes/{preset}", json.dumps(example["payload"]).encode())
    wanted = message["x-state"][name]
    wait_until(lambda: _holds(wanted, ear.state), f"{wanted}")


def _holds(wanted: Any, found: Any) -> bool:
    """Whether everything that is wanted is there."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(
            key in found and _holds(value, found[key]) for key, value in wanted.items()
        )
    return bool(wanted == found)


def test_everything_said_is_in_the_document(station: tuple[Device, Client, Ear]) -> None:
    """Every topic was heard at least once, and the retained document is the device's own."""
    _, client, ear = station
    client.publish("mes/flat", json.dumps({"workOrder": "1", "status": "running"}).encode())
    assert list(client.request("snapshot", {}))[-1]["status"] == "succeeded"
    said = {
        told["address"].removeprefix("{root}/")
        for key, told in DOCUMENT["channels"].items()
        if str(told["address"]).startswith("{root}/")
        and not key.startswith(("request-", "response-", "orders-"))
    }
    wait_until(lambda: said <= ear.topics, f"one of {sorted(said)}")
    info = json.loads(client.retained([client.topics.info])[client.topics.info])
    published = client.retained([client.topics.info_api])[client.topics.info_api]
    assert json.loads(published)["channels"]["result"]["address"] == f"{client.topics.root}/result"
    assert info["api"] == api.digest(published)
