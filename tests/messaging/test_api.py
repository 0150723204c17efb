"""The API document: valid AsyncAPI 3, made from the types, no different from the shipped one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from edge_daemon.config import OrderSource
from edge_daemon.core.event_names import EventName
from edge_daemon.core.values import Instant
from edge_daemon.core.verbs import Verb, about
from edge_daemon.messaging import api, payloads
from edge_daemon.messaging.asks import REQUESTS
from edge_daemon.messaging.inbox import RefusedRequest, read_request
from edge_daemon.messaging.messages import Incoming

SHIPPED = Path(__file__).parents[2] / "configs/asyncapi.json"
SPECIFICATION = Path(__file__).parent / "asyncapi/schema-3.0.0.json"
"""The schema of AsyncAPI 3.0.0 as its authors publish it (@asyncapi/specs 6.11.1, Apache-2.0)."""
LARGEST = 96 * 1024  # AWS IoT Core takes 128 KiB
NOW = Instant(1.0, 1_795_341_600.0)


@pytest.fixture(scope="module")
def specification() -> Draft7Validator:
    return Draft7Validator(json.loads(SPECIFICATION.read_text()))


ORDERS = [
    OrderSource(topic="mes/line3/work_orders", preset="b2mml"),
    OrderSource(topic="acme/+/orders", preset="flat"),
]


@pytest.mark.parametrize(
    "document",
    [api.document(), api.document("acme/line3/cam1", ORDERS), api.document("edge/cam1", [])],
    ids=["every device", "one device", "no orders"],
)
def test_the_document_is_asyncapi(specification: Draft7Validator, document: api.Json) -> None:
    """It stands before the schema of AsyncAPI 3, and every reference leads somewhere."""
    assert [error.message for error in specification.iter_errors(document)] == []
    for ref in _refs(document):
        found: Any = document
        for part in ref.removeprefix("#/").split("/"):
            found = found[part.replace("~1", "/")]


def test_the_specification_is_looked_at(specification: Draft7Validator) -> None:
    """A wrong document is found out: the check itself is one."""
    wrong = api.document()
    wrong["operations"]["swap"]["action"] = "answer"
    assert not specification.is_valid(wrong)


def test_every_event_is_listed() -> None:
    """Who listens to `model/event` reads there what may come."""
    schemas = api.document()["components"]["schemas"]
    assert schemas["Event"]["properties"]["type"] == {"$ref": "#/components/schemas/EventName"}
    assert schemas["EventName"]["enum"] == sorted(name.value for name in EventName)


def test_the_shipped_document_is_this_one() -> None:
    """configs/asyncapi.json is what the code says now."""
    assert json.loads(SHIPPED.read_text()) == json.loads(json.dumps(api.document())), (
        "The interface changed: edge-daemon api > configs/asyncapi.json"
    )


def test_the_published_document_is_small() -> None:
    """It fits brokers that take little, and two starts publish the same bytes."""
    body = api.compact(api.document("edge/cam1", ORDERS))
    assert len(body) < LARGEST
    assert body == api.compact(api.document("edge/cam1", ORDERS))


def test_topics_are_those_of_the_device() -> None:
    """A reader of one device's document finds its topics, and its orders where they have one."""
    channels = api.document("acme/line3/cam1", ORDERS)["channels"]
    assert channels["request-swap"]["address"] == "acme/line3/cam1/request/swap"
    assert channels["orders-0"]["address"] == "mes/line3/work_orders"
    assert channels["orders-1"]["address"] is None
    assert "parameters" not in channels["result"]
    assert "campaign" not in channels  # no device's own, and its document stays small


def test_every_schema_stands_alone() -> None:
    """`--schema NAME` is a whole JSON Schema: what its type encodes is valid, a fault is not."""
    for name in api.names():
        Draft7Validator.check_schema(api.schema(name))
    state = Draft7Validator(api.schema("ModelState"))
    active = payloads.ActiveModel("a@1", "0" * 64, "A", "2026-11-22T10:00:00.000Z", trial=True)
    said = json.loads(payloads.encode(payloads.ModelState(active=active)))
    assert state.is_valid(said)
    said["active"]["sha256"] = "short"
    assert not state.is_valid(said)
    assert api.schema("Nobody") is None


@pytest.mark.parametrize("verb", list(Verb))
def test_every_documented_key_is_read(verb: Verb) -> None:
    """A key of the document is one that the door knows: a wrong kind under it is refused."""
    schema = api.schema(REQUESTS[verb].__name__)
    assert schema is not None
    keys = schema["definitions"][REQUESTS[verb].__name__]["properties"]
    good = {"model": "bottle@1.4.0"} if "model" in keys else {}
    for key in keys:
        with pytest.raises(RefusedRequest, match=f"`{key}[`[]"):
            _read(verb, {**good, key: [1]})


def test_examples_follow_their_schema() -> None:
    """Every example of a request that is not meant to be malformed is valid."""
    messages = api.document()["components"]["messages"]
    for kind in REQUESTS.values():
        message = messages[kind.__name__[0].lower() + kind.__name__[1:]]
        schema = Draft7Validator(api.schema(kind.__name__))
        for example in message["examples"]:
            malformed = message["x-answers"][example["name"]] == ["rejected:malformed"]
            assert schema.is_valid(example["payload"]) is not malformed, example


def test_examples_of_campaigns_follow_their_schema() -> None:
    """What the evaluator, ops and a button say is shown as they say it."""
    messages = api.document()["components"]["messages"]
    shown = {
        key: message["examples"]
        for key, message in messages.items()
        if key.startswith("campaign") and "examples" in message
    }
    assert set(shown) == {"campaignOpen", "campaignPause", "campaignStop"}
    for key, examples in shown.items():
        schema = Draft7Validator(api.schema(messages[key]["payload"]["$ref"].rpartition("/")[2]))
        assert all(schema.is_valid(each["payload"]) for each in examples)


ACCESS = Path(__file__).parents[2] / "configs/mosquitto/acl"


def test_the_access_list_says_who_may_ask() -> None:
    """Whom the document names for a verb, and nobody else, may write its topic."""
    user, may = "", {verb: set[str]() for verb in Verb}
    for line in ACCESS.read_text().splitlines():
        words = line.split()
        if words[:1] == ["user"]:
            user = words[1]
        elif words[:2] == ["topic", "write"]:
            for verb in Verb:
                if words[2] in {f"edge/+/request/{each}" for each in ("+", verb.value)}:
                    may[verb].add(user)
    assert may == {verb: set(about(verb).users) for verb in Verb}
    asked = api.document()["components"]["messages"]["swapRequest"]
    assert asked["x-users"] == ["ops"]


def _is_within(topic_filter: str, address: str) -> bool:
    """Whether a filter of the access list covers a topic whose `{levels}` are open."""
    wanted = topic_filter.split("/")
    is_all = wanted[-1] == "#"
    levels = address.split("/")[: len(wanted) - 1] if is_all else address.split("/")
    wanted = wanted[:-1] if is_all else wanted
    return len(levels) == len(wanted) and all(
        one in ("+", other) or other.startswith("{")
        for one, other in zip(wanted, levels, strict=True)
    )


def test_the_access_list_says_who_may_speak_to_a_fleet() -> None:
    """Of each topic that stations share, the document names those who may write it."""
    document = api.document()
    shared = {
        key: channel["address"]
        for key, channel in document["channels"].items()
        if str(channel["address"]).startswith("fleet/")
    }
    assert "fleet/{campaign}/stop/{who}" in shared.values()
    user, may = "", {key: set[str]() for key in shared}
    for line in ACCESS.read_text().splitlines():
        words = line.split()
        if words[:1] == ["user"]:
            user = words[1]
        elif words[:1] == ["topic"] and words[1] in ("write", "readwrite"):
            for key, address in shared.items():
                may[key] |= {user} if _is_within(words[2], address) else set()
    told = document["components"]["messages"]
    assert may == {key: set(told[key]["x-users"]) for key in shared}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"at": {"frame": "now"}}, "`at.frame` is 'now'."),
        ({"at": {"farme": 3}}, "`at` has no `frame`."),
        ({"accept": ["blind", 7], "reason": "r"}, "`accept[1]` is 7."),
        ({"dry_run": "yes"}, "`dry_run` is 'yes'."),
        ({"reason": "x" * 1025}, "`reason` has 1025 characters; at most 1024 are allowed."),
    ],
)
def test_a_fault_is_told_with_its_place(document: api.Json, said: str) -> None:
    """The key, where within it, and what stands there; the hint says what may."""
    with pytest.raises(RefusedRequest) as refused:
        _read(Verb.SWAP, {"model": "bottle@1.4.0", **document})
    assert refused.value.message == said
    assert refused.value.hint


def _read(verb: Verb, document: api.Json) -> object:
    incoming = Incoming(f"edge/cam1/request/{verb.value}", json.dumps(document).encode(), NOW)
    return read_request(verb.value, incoming, "fresh")


def _refs(node: Any) -> list[str]:
    if isinstance(node, list):
        return [ref for entry in node for ref in _refs(entry)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
    return own + [ref for value in node.values() for ref in _refs(value)]
