"""The API document: AsyncAPI 3, made from the types that the messages are made from.

`document` is the whole of it: for one device with its topics or, with the root left open, for all,
with the topics that a fleet shares.
`schema` is one message as JSON Schema (draft 7). The device publishes its own, compact and
retained, at `<root>/info/api`; the digest in `info` tells a reader whether it has that one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec

from edge_daemon.config import OrderSource
from edge_daemon.core.verbs import Verb, about
from edge_daemon.messaging import (
    api_examples,
    api_fleet,
    fleet_payloads,
    part_payloads,
    payloads,
    rollout_payloads,
)
from edge_daemon.messaging.api_examples import Ask, Order
from edge_daemon.messaging.api_nodes import (
    CHANNELS,
    PARAMETERS,
    SCHEMAS,
    Json,
    channel,
    first_sentence,
    operation,
    ref,
)
from edge_daemon.messaging.asks import REQUESTS
from edge_daemon.messaging.orders import compile_source
from edge_daemon.messaging.result_payloads import ResultMessage
from edge_daemon.messaging.topics import Topics

VERSION = "1.0.0"
"""Of the interface, not of the program: the first number changes when a sender must change."""
ROOT = "{root}"


@dataclass(frozen=True)
class _Topic:
    """A topic that the daemon publishes to."""

    key: str
    topic: str
    message: type[msgspec.Struct] | None
    summary: str
    qos: int = 1
    retain: bool = True


def _told(topics: Topics) -> tuple[_Topic, ...]:
    """Every one but the responses; None stands for what is no JSON of ours."""
    return (
        _Topic("status", topics.status, payloads.StatusMessage, "Is it there; the last will."),
        _Topic("info", topics.info, payloads.Info, "What it is."),
        _Topic("api", topics.info_api, None, "This document."),
        _Topic("health", topics.health, payloads.Health, "How it is, every ten seconds."),
        _Topic("cameraStatus", topics.camera_status, payloads.CameraStatus, "The camera."),
        _Topic("modelState", topics.model_state, payloads.ModelState, "Which model judges."),
        _Topic("modelAvailable", topics.model_available, payloads.ModelAvailable, "The store."),
        _Topic(
            "modelEvent",
            topics.model_event,
            payloads.Event,
            "What happened, in order; from a durable outbox, so one may come twice.",
            retain=False,
        ),
        _Topic(
            "result",
            topics.result,
            ResultMessage,
            "One for each captured frame, in order.",
            qos=0,
            retain=False,
        ),
        _Topic(
            "part",
            topics.part,
            part_payloads.PartMessage,
            "One for each part, in order, where `parts` is set; one may come twice.",
            retain=False,
        ),
        _Topic(
            "counts",
            topics.counts,
            part_payloads.CountsMessage,
            "Parts of this order and this shift, where `parts` is set.",
        ),
        _Topic(
            "rolloutState",
            topics.rollout_state,
            rollout_payloads.RolloutState,
            "How a candidate stands against the active model.",
        ),
        *_of_fleet(topics),
        _Topic("snapshot", topics.snapshot, None, "A picture that was asked for.", retain=False),
    )


def _of_fleet(topics: Topics) -> tuple[_Topic, ...]:
    """What it says as one station of many."""
    return (
        _Topic(
            "fleetReport",
            topics.fleet,
            fleet_payloads.FleetReport,
            "What it has and judges by, for whoever looks at many stations; where `fleet` is set.",
        ),
        _Topic("shownReceipt", topics.receipt, fleet_payloads.ShownReceipt, "What proves that."),
    )


_ANSWERS = (payloads.Accepted, payloads.Progress, payloads.Outcome)
_OF_TRIGGER = (part_payloads.TriggerAnswer, payloads.Outcome)
_KINDS = dict.fromkeys((*_ANSWERS, *_OF_TRIGGER))


def _answers(verb: Verb) -> list[str]:
    """What a verb is answered, by the keys of the messages."""
    return [_key(kind) for kind in (_OF_TRIGGER if verb is Verb.TRIGGER else _ANSWERS)]


def document(root: str = ROOT, orders: Sequence[OrderSource] | None = None) -> Json:
    """The AsyncAPI document.

    Args:
        root: below which the topics lie; as it is, it stays a parameter of the document.
        orders: the sources of work orders; None: every preset, at an address left open.
    """
    topics = Topics("root")
    presets = _presets(orders)
    channels = {
        **_request_channels(topics),
        **{told.key: channel(told.topic, [told.key], told.summary) for told in _told(topics)},
        **{key: _order_channel(*found) for key, found in presets.items()},
    }
    for found in channels.values():
        if str(found["address"]).startswith("root/"):
            found["address"] = root + found["address"][len("root") :]
            if root == ROOT:
                found["parameters"] = {"root": ref(PARAMETERS, "root")}
    made = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "edge-daemon",
            "version": VERSION,
            "description": "A vision station: every frame judged by exactly one checked model, "
            "which changes without losing a frame. The examples hold for one station. "
            + api_examples.STATION
            + " What it answers is listed under `x-answers` (any number of `progress` may come "
            "between), what `model/state` says afterwards under `x-state`; `x-users` may ask it "
            "by the access list that is shipped for the broker.",
            "license": {"name": "AGPL-3.0-only"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": _operations(topics, presets),
        "components": {"messages": _messages(topics, presets), "schemas": _schemas()},
    }
    return _of_all(made) if root == ROOT else made


def _of_all(made: Json) -> Json:
    """The document with what is not one device's: the open root, and what a fleet shares."""
    description = "Below it lie the topics of one device; `mqtt.root` in its settings."
    components = made["components"]
    components["schemas"] = _schemas(*api_fleet.KINDS)
    components["parameters"] = {"root": {"default": "edge/cam1", "description": description}}
    api_fleet.add_to(made)
    return made


def compact(api: Json) -> bytes:
    """As few bytes as it can be, always the same ones: what is published, and digested."""
    return json.dumps(api, ensure_ascii=False, separators=(",", ":")).encode()


def digest(compacted: bytes) -> str:
    """SHA-256 of what `compact` made, as `info` tells it."""
    return hashlib.sha256(compacted).hexdigest()


def schema(name: str) -> Json | None:
    """One type of the document as a JSON Schema of its own; None for an unknown name."""
    schemas = _schemas(*api_fleet.KINDS)
    if name not in schemas:
        return None
    needed = _reachable(name, schemas)
    text = json.dumps(
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "$ref": SCHEMAS + name,
            "definitions": {key: schemas[key] for key in schemas if key in needed},
        }
    )
    made: Json = json.loads(text.replace(SCHEMAS, "#/definitions/"))
    return made


def names() -> tuple[str, ...]:
    """What `schema` knows."""
    return tuple(_schemas(*api_fleet.KINDS))


# --------------------------------------------------------------------------- channels


def _request_channels(topics: Topics) -> Json:
    return {
        **{
            f"request-{verb.value}": channel(
                topics.request(verb.value), [_key(kind)], first_sentence(kind)
            )
            for verb, kind in REQUESTS.items()
        },
        **{
            f"response-{verb.value}": channel(
                topics.response(verb.value), _answers(verb), f"What became of a {verb.value}."
            )
            for verb in REQUESTS
        },
    }


def _order_channel(address: str | None, preset: str) -> Json:
    summary = f"Work orders of a MES, preset {preset}; the topic is set by the station's settings."
    return channel(address, [f"order-{preset}"], summary)


def _presets(orders: Sequence[OrderSource] | None) -> dict[str, tuple[str | None, str]]:
    """(address, preset) of each channel for orders, by its key."""
    if orders is None:
        return {f"orders-{name}": (None, name) for name in api_examples.ORDERS}
    known = [source for source in orders if source.preset]
    return {
        f"orders-{place}": (_address(source.topic), str(source.preset))
        for place, source in enumerate(known)
    }


def _address(topic_filter: str) -> str | None:
    """A topic is an address; a filter with wildcards is none."""
    return None if set(topic_filter) & {"+", "#"} else topic_filter


# --------------------------------------------------------------------------- operations


def _operations(topics: Topics, presets: Mapping[str, tuple[str | None, str]]) -> Json:
    """`receive` is what the daemon hears, `send` what it says."""
    heard = {
        verb.value: {
            **operation("receive", f"request-{verb.value}", [_key(kind)], qos=1, retain=False),
            "reply": {
                "channel": ref(CHANNELS, f"response-{verb.value}"),
                "messages": [
                    ref(f"{CHANNELS}response-{verb.value}/messages/", key) for key in _answers(verb)
                ],
            },
        }
        for verb, kind in REQUESTS.items()
    }
    ordered = {
        key: operation("receive", key, [f"order-{preset}"], qos=1, retain=False)
        for key, (_, preset) in presets.items()
    }
    said = {
        f"publish-{told.key}": operation(
            "send", told.key, [told.key], qos=told.qos, retain=told.retain
        )
        for told in _told(topics)
    }
    return {**heard, **ordered, **said}


# --------------------------------------------------------------------------- messages


def _messages(topics: Topics, presets: Mapping[str, tuple[str | None, str]]) -> Json:
    asked = {_key(kind): _request(verb, kind) for verb, kind in REQUESTS.items()}
    answered = {
        _key(kind): {
            "summary": first_sentence(kind),
            "payload": ref(SCHEMAS, kind.__name__),
            "correlationId": {"location": "$message.payload#/id"},
        }
        for kind in _KINDS
    }
    told: Json = {}
    for one in _told(topics):
        told[one.key] = {"summary": one.summary}
        if one.message is not None:
            told[one.key]["payload"] = ref(SCHEMAS, one.message.__name__)
    told["snapshot"]["contentType"] = "image/jpeg"
    told["api"]["payload"] = {"type": "object", "required": ["asyncapi"]}
    used = dict.fromkeys(preset for _, preset in presets.values())
    ordered = {f"order-{name}": _order(name) for name in used}
    return {**asked, **answered, **told, **ordered}


def _request(verb: Verb, kind: type[Any]) -> Json:
    asks = api_examples.ASKS[verb]
    return {
        "summary": first_sentence(kind),
        "payload": ref(SCHEMAS, kind.__name__),
        "correlationId": {
            "location": "$message.payload#/id",
            "description": "Answers carry it, on `response/<verb>` and, where MQTT 5 names one, at "
            "the Response Topic with its Correlation Data.",
        },
        "examples": [_example(ask) for ask in asks],
        "x-users": list(about(verb).users),
        "x-answers": {ask.name: list(ask.answers) for ask in asks},
    }


def _order(preset: str) -> Json:
    orders = api_examples.ORDERS[preset]
    reader = compile_source(OrderSource(topic="orders", preset=preset))  # type: ignore[arg-type]
    words: dict[str, list[str]] = {}
    for word, state in reader.words.items():
        words.setdefault(state.value, []).append(word)
    shape = " ".join(f"{part.capitalize()}: {where}." for part, where in reader.wanted.items())
    return {
        "summary": f"A work order, preset {preset}.",
        "description": f"Where it is looked for. {shape} Case of words is ignored.",
        "payload": {"type": ["object", "array", "string", "number"]},
        "examples": [_example(order) for order in orders],
        "x-words": words,
        "x-state": {order.name: order.state for order in orders},
    }


def _example(one: Ask | Order) -> Json:
    return {"name": one.name, "summary": one.summary, "payload": one.payload}


def _key(kind: type[Any]) -> str:
    return kind.__name__[0].lower() + kind.__name__[1:]


# --------------------------------------------------------------------------- schemas


@cache
def _schemas(*more: type[msgspec.Struct]) -> Json:
    """Of every payload; nobody changes what is returned."""
    told = [one.message for one in _told(Topics("root")) if one.message is not None]
    kinds = [*REQUESTS.values(), *_KINDS, *told, *more]
    _, found = msgspec.json.schema_components(kinds, ref_template=SCHEMAS + "{name}")
    return {name: _plain(found[name]) for name in sorted(found)}


def _plain(node: Any) -> Any:
    """The same in the draft that AsyncAPI speaks: a pair is a list with a length, no titles."""
    if isinstance(node, list):
        return [_plain(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    kept = {
        key: _plain(value)
        for key, value in node.items()
        if key != "title" or not isinstance(value, str)
    }
    if "prefixItems" in kept:
        kept["items"] = kept.pop("prefixItems")[0]
    return kept


def _reachable(name: str, schemas: Json) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        key = waiting.pop()
        if key not in found:
            found.add(key)
            text = json.dumps(schemas[key])
            waiting += [other for other in schemas if f'"{SCHEMAS}{other}"' in text]
    return found
