"""Connects to the broker as the daemon's user, and tries what the daemon will do there."""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from edge_daemon.cli.checks.finding import Finding, error, ok, skipped, warning
from edge_daemon.cli.station import Station
from edge_daemon.config import MqttSettings, Settings
from edge_daemon.errors import BrokerError, ConfigurationError
from edge_daemon.messaging.client import NOBODY, Client
from edge_daemon.messaging.client import remedy as next_step

_ACL = (
    "Allow this user in the broker's access list to write below {root}, and to read "
    "{root}/request/+ and its orders; configs/mosquitto/acl shows how."
)


def check_broker(settings: Settings) -> list[Finding]:
    """Connection, rights on every topic, round trip, and no other device under our root."""
    return through_broker(
        settings, lambda client: (*_rights(client, settings), *_neighbours(client, settings))
    )


def through_broker(
    settings: Settings, look: Callable[[Client], Iterable[Finding]]
) -> list[Finding]:
    """The connection, and what is found through it."""
    mqtt = settings.mqtt
    where = f"{mqtt.host}:{mqtt.port}"
    try:
        with Client.of(settings) as client:
            version = "5" if mqtt.protocol == 5 else "3.1.1"
            return [ok("connection", f"{where} lets us in, MQTT {version}."), *look(client)]
    except BrokerError as fault:
        return [error("connection", fault.message, _other_version(settings) or fault.hint)]
    except ConfigurationError as fault:
        return [error("connection", fault.message, fault.hint)]


def _rights(client: Client, settings: Settings) -> Iterator[Finding]:
    root = settings.root
    remedy = _ACL.format(root=root)
    filters = [f"{root}/request/+", *settings.heard_filters]
    denied = {one: why for one in filters if (why := client.subscribe(one))}
    for one, why in denied.items():
        told = f"{one} cannot be read at the broker: {why}."
        yield error("subscribe", told, next_step(why, remedy))
    if not denied:
        orders, feedback = len(settings.orders), len(settings.feedback)
        told = f"Requests may be read; topics of orders: {orders}, of feedback: {feedback}."
        yield ok("subscribe", told)
    running = Station(settings, local=True)
    if running.socket() is not None:
        yield from _heard(client, running, remedy)
    elif settings.mqtt.protocol == 5:
        yield from _writable(client, remedy)
    yield from _round_trip(client, settings, remedy)


def _heard(client: Client, running: Station, remedy: str) -> Iterator[Finding]:
    """What the running daemon publishes must be at the broker; nothing is published beside it."""
    said = {f"{client.topics.root}/{part}" for part in running.retained().parts}
    seen = client.retained(sorted(said)).keys()
    if not seen:
        yield skipped("publish", "The daemon runs, and this user may not read what it publishes.")
        return
    for topic in sorted(said - seen):
        yield error("publish", f"What the daemon says on {topic} is not at the broker.", remedy)
    if said <= seen:
        yield ok("publish", f"All {len(said)} retained topics of the running daemon are there.")


def _writable(client: Client, remedy: str) -> Iterator[Finding]:
    """No daemon runs: publish an empty message to each of its topics, which only clears it."""
    topics = client.topics
    places = (
        *(topics.status, topics.info, topics.info_api, topics.health, topics.camera_status),
        *(topics.model_state, topics.model_available, topics.model_event, topics.result),
        *(topics.snapshot, topics.response("check")),
    )
    refused = {place: why for place in places if (why := client.publish(place, b""))}
    denied = {place: why for place, why in refused.items() if why != NOBODY}
    for place, why in denied.items():
        told = f"{place} cannot be written at the broker: {why}."
        yield error("publish", told, next_step(why, remedy))
    if not denied:
        yield ok("publish", f"All {len(places)} topics below {topics.root} may be written.")


def _round_trip(client: Client, settings: Settings, remedy: str) -> Iterator[Finding]:
    topic = client.topics.response("check")
    if settings.mqtt.protocol == 5:
        took_ms: float | None = measure_acknowledgement_ms(client, topic)
    else:
        took_ms = measure_round_trip_ms(client, topic)
    if took_ms is None:  # MQTT 3.1.1 hides a refusal: only what comes back was let through
        yield warning(
            "publish",
            f"What we publish to {topic} does not come back: this user may not write or not read "
            "it, and MQTT 3.1.1 does not say which.",
            f"{remedy} Or use mqtt.protocol: 5.",
        )
    elif took_ms > 30:
        yield warning(
            "round trip",
            f"The broker takes {took_ms:.0f} ms to answer.",
            "mosquitto: set_tcp_nodelay true; or a broker on this machine that bridges.",
        )
    else:
        yield ok("round trip", f"The broker answers within {took_ms:.1f} ms.")


def measure_acknowledgement_ms(client: Client, topic: str) -> float:
    """The quickest of three, from a message to the broker's acknowledgement."""
    times = []
    for _ in range(3):
        began = time.perf_counter()
        client.publish(topic, b"")
        times.append((time.perf_counter() - began) * 1e3)
    return min(times)


def measure_round_trip_ms(client: Client, topic: str) -> float | None:
    """The quickest of three; None if nothing comes back."""
    arrived: queue.SimpleQueue[float] = queue.SimpleQueue()
    try:
        client.listen(topic, lambda _, __: arrived.put(time.perf_counter()))
    except BrokerError:
        return None
    times = []
    for _ in range(3):
        began = time.perf_counter()
        client.publish(topic, b"", qos=0)
        with suppress(queue.Empty):
            times.append((arrived.get(timeout=3.0) - began) * 1e3)
            continue
        return None
    return min(times)


def _neighbours(client: Client, settings: Settings) -> Iterator[Finding]:
    """Two devices below one root would answer each other's requests."""
    payload = client.retained([client.topics.info]).get(client.topics.info)
    with suppress(ValueError, AttributeError, RecursionError):
        other = json.loads(payload or b"{}").get("device")
        if other not in (None, settings.device):
            yield error(
                "root",
                f"Another device, {other}, has its topics below {settings.root}.",
                "Give each device its own mqtt.root; clear what one that is gone has left.",
            )


def _other_version(settings: Settings) -> str:
    """A remedy if the broker speaks the other version of MQTT only."""
    plain = settings.mqtt.model_dump()
    plain["protocol"] = 4 if settings.mqtt.protocol == 5 else 5
    with suppress(BrokerError):
        other = settings.model_copy(update={"mqtt": MqttSettings.model_validate(plain)})
        with Client.of(other):
            return f"It speaks the other version: set mqtt.protocol: {plain['protocol']}."
    return ""
