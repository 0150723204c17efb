"""The client side of the topics: asks a daemon through its broker, and listens to it.

For the command line, the demo and programs that control a station. A request that is under way when
the connection breaks is sent again under its id, which makes it the same request.
"""

from __future__ import annotations

import json
import math
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_daemon.config import MqttSettings, Settings, load
from edge_daemon.errors import BoxError, BrokerError
from edge_daemon.messaging.answer import OUTCOMES
from edge_daemon.messaging.paho_client import new_client, release
from edge_daemon.messaging.topics import Topics, is_match

CONNECT_S = 5.0
WELCOME_S = 10.0
"""From CONNECT to its answer: as long as a station waits, too, on a machine that is busy."""
ACKNOWLEDGE_S = 5.0
UNACKNOWLEDGED = f"no acknowledgement within {ACKNOWLEDGE_S:.0f} s"
FIRST_ANSWER_S = 10.0
"""A daemon that hears a request answers within milliseconds."""
AGAIN_S = 1.0
"""Between two repeats of a request after a torn connection."""
SETTLE_S = 0.5
"""How long after SUBACK a retained message may still be on its way."""
QUIET_S = 1.0
"""So long after the last of many retained messages there is no other."""
RECEIVE_MAXIMUM = 65_535
"""Said aloud: mosquitto else sends 20 at once, and drops what its queue has no room for."""

Take = Callable[[str, bytes], None]
"""Topic and payload of one message; runs on the network thread, must not raise or wait."""


class NoBrokerError(BrokerError):
    """Nothing answers where the broker should be."""


class UnansweredError(BrokerError):
    """The broker took the request, but no daemon answered."""


class UnfinishedError(BoxError):
    """The request was accepted and continues; its outcome did not come in time."""


class Client:
    """One connection to a broker; a context manager.

    Entering raises BrokerError where the broker does not answer or refuses us.
    """

    def __init__(self, mqtt: MqttSettings, topics: Topics) -> None:
        self.topics = topics
        self._mqtt = mqtt
        self._is_v5 = mqtt.protocol == 5
        self._lock = threading.Lock()
        self._welcomed = threading.Event()
        self._refusal = ""
        self._takers: list[tuple[str, Take]] = []
        self._acknowledged = threading.Condition()
        self._acks: dict[tuple[str, int], str] = {}  # "" is yes, else the broker's reason
        self._welcomes = 0  # connections after the first
        self.connected_since = math.inf
        """By the monotonic clock; infinity while there is no connection."""
        self._retained = threading.Condition()
        self._retained_at = 0.0  # when the last retained message came
        self._client = self._make_client()

    @classmethod
    def of(cls, source: Settings | Path) -> Client:
        """The client for one device's broker and topics; raises ConfigurationError."""
        settings = load(source) if isinstance(source, Path) else source
        return cls(settings.mqtt, Topics(settings.root))

    def __enter__(self) -> Client:
        host, port = self._mqtt.host, self._mqtt.port
        where = f"{host}:{port}"
        properties: Properties | None = None
        if self._is_v5:
            properties = Properties(PacketTypes.CONNECT)
            properties.ReceiveMaximum = RECEIVE_MAXIMUM
        try:
            self._client.connect(host, port, keepalive=30, properties=properties)
        except (OSError, ValueError) as error:
            raise NoBrokerError(
                f"No broker answers at {where}: {error}.",
                hint="Is it running? Compare mqtt.host and mqtt.port of the settings.",
            ) from error
        self._client.loop_start()
        is_answered = self._welcomed.wait(WELCOME_S)
        if not is_answered or self._refusal:
            self.close()
            if not is_answered:
                raise BrokerError(
                    f"The broker at {where} gave no answer within {WELCOME_S:g} s.",
                    hint="If it is busy, try again; else check mqtt.tls and mqtt.protocol.",
                )
            raise BrokerError(
                f"The broker at {where} does not let us in: {self._refusal}.",
                hint="Check mqtt.username, mqtt.password_file, mqtt.tls and mqtt.protocol.",
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with suppress(OSError, ValueError):
            self._client.disconnect()
        self._client.loop_stop()
        release(self._client)

    # ------------------------------------------------------------------ asking

    def request(
        self, verb: str, body: Mapping[str, Any], timeout_s: float = 300.0
    ) -> Iterator[dict[str, Any]]:
        """Send one request and yield its answers up to the outcome.

        Raises:
            UnansweredError: nobody listens to requests.
            UnfinishedError: no outcome within `timeout_s`; the daemon goes on with it.
            BrokerError: the broker does not let us ask.
        """
        asked = {"id": uuid.uuid4().hex, **body}
        request_id = str(asked["id"])
        answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

        def take(_: str, payload: bytes) -> None:
            with suppress(ValueError):
                answer = json.loads(payload)
                if isinstance(answer, dict) and answer.get("id") == request_id:
                    answers.put(answer)

        with self._listening([self.topics.response(verb)], take):
            payload = json.dumps(asked, ensure_ascii=False).encode()
            self._send(self.topics.request(verb), payload)
            yield from self._answers(verb, payload, answers, timeout_s)

    def _answers(
        self,
        verb: str,
        payload: bytes,
        answers: queue.SimpleQueue[dict[str, Any]],
        timeout_s: float,
    ) -> Iterator[dict[str, Any]]:
        began_at = time.monotonic()
        is_heard = False
        welcomes = self._welcomes
        while True:
            waited_s = time.monotonic() - began_at
            left_s = (timeout_s if is_heard else min(timeout_s, FIRST_ANSWER_S)) - waited_s
            try:
                answer = answers.get(timeout=max(0.0, min(left_s, AGAIN_S)))
            except queue.Empty:
                if left_s <= 0:
                    break
                if self._welcomes != welcomes:
                    # The connection was torn: what was said then may be lost. The daemon may join
                    # later than we did, so we go on asking until it is heard.
                    self._client.publish(self.topics.request(verb), payload, 1)
                continue
            is_heard, welcomes = True, self._welcomes
            yield answer
            if answer.get("status") in OUTCOMES:
                return
        if is_heard:
            raise UnfinishedError(
                f"The {verb} is not done after {timeout_s:g} s; the daemon continues with it.",
                hint="See: edge-daemon status",
            )
        raise UnansweredError(
            f"No daemon answers on {self.topics.request(verb)}.",
            hint="Is it running, and on this broker? See: edge-daemon status",
        )

    def _send(self, topic: str, payload: bytes) -> None:
        refused = self.publish(topic, payload)
        if refused == NOBODY:
            raise UnansweredError(
                f"No daemon listens on {topic}.",
                hint="Is it running, and on this broker? See: edge-daemon status",
            )
        if refused:
            raise BrokerError(
                f"{topic} cannot be written at the broker: {refused}.",
                hint=remedy(refused, "Allow this user to write there in the broker's access list."),
            )

    # ------------------------------------------------------------------ listening

    def listen(self, topic_filter: str, take: Take) -> None:
        """Pass on every message of the filter from now on, retained ones first.

        Raises BrokerError if the broker does not allow it.
        """
        with self._lock:
            self._takers.append((topic_filter, take))
        refused = self.subscribe(topic_filter)
        if refused:
            self._forget(topic_filter, take)
            raise BrokerError(
                f"{topic_filter} cannot be read at the broker: {refused}.",
                hint=remedy(refused, "Allow this user to read there in the broker's access list."),
            )

    def _forget(self, topic_filter: str, take: Take) -> None:
        with self._lock:
            self._takers.remove((topic_filter, take))

    @contextmanager
    def _listening(self, filters: Iterable[str], take: Take) -> Iterator[None]:
        """As `listen`, until the body ends."""
        with ExitStack() as listening:
            for topic_filter in filters:
                self.listen(topic_filter, take)
                listening.callback(self._forget, topic_filter, take)
            yield

    def retained(self, topics: Sequence[str]) -> dict[str, bytes]:
        """The retained payload of each topic that has one.

        Returns as soon as all are there, else after a moment.
        """
        found: dict[str, bytes] = {}
        changed = threading.Condition()

        def take(topic: str, payload: bytes) -> None:
            with changed:
                found[topic] = payload
                changed.notify_all()

        with self._listening(topics, take), changed:
            changed.wait_for(lambda: found.keys() >= set(topics), SETTLE_S)
        return dict(found)

    def all_retained(self, filters: Sequence[str]) -> dict[str, bytes]:
        """The retained payload of every topic of these filters, of any number of stations.

        Returns when no retained message has come for a moment, however much is said meanwhile.
        """
        found: dict[str, bytes] = {}
        with self._listening(filters, found.__setitem__), self._retained:
            last_at = time.monotonic()
            while self._retained.wait(last_at + QUIET_S - time.monotonic()):
                last_at = self._retained_at
        return dict(found)

    # ------------------------------------------------------------------ single packets

    def subscribe(self, topic_filter: str) -> str:
        """Subscribe; "" if the broker agreed, else its reason.

        A cluster that has just lost a node grants QoS 0 only, and that is enough while we listen.
        """
        refused = self._subscribe(topic_filter, 1)
        return self._subscribe(topic_filter, 0) if refused and not self._is_v5 else refused

    def probe(self, topic_filter: str) -> str:
        """Why a cluster grants nothing new, as without a majority; "" if the broker works."""
        refused = "" if self._is_v5 else self._subscribe(topic_filter, 1)
        self._client.unsubscribe(topic_filter)
        return refused

    def _subscribe(self, topic_filter: str, qos: int) -> str:
        result, mid = self._client.subscribe(topic_filter, qos)
        if result != paho.MQTT_ERR_SUCCESS or mid is None:
            return paho.error_string(result)
        return self._await_ack("subscribe", mid)

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> str:
        """Publish and wait for the broker; "" if it took the message, else its reason."""
        info = self._client.publish(topic, payload, qos, retain)
        if info.rc not in (paho.MQTT_ERR_SUCCESS, paho.MQTT_ERR_NO_CONN):
            return paho.error_string(info.rc)
        return self._await_ack("publish", info.mid) if qos else ""

    def _await_ack(self, kind: str, mid: int) -> str:
        key = (kind, mid)
        with self._acknowledged:
            if not self._acknowledged.wait_for(lambda: key in self._acks, ACKNOWLEDGE_S):
                return UNACKNOWLEDGED
            return self._acks.pop(key)

    def _note_ack(self, kind: str, mid: int, said: str) -> None:
        with self._acknowledged:
            self._acks[kind, mid] = said
            self._acknowledged.notify_all()

    # ------------------------------------------------------------------ the network thread

    def _make_client(self) -> paho.Client:
        client_id = f"edge-daemon-client-{uuid.uuid4().hex[:12]}"
        client = new_client(self._mqtt, client_id, paho.Client)
        client.connect_timeout = CONNECT_S
        client.suppress_exceptions = True  # a taker's fault must not end the network thread
        client.reconnect_delay_set(1, 5)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        return client

    def _on_connect(
        self, client: paho.Client, _: Any, __: Any, reason: ReasonCode, *___: object
    ) -> None:
        if reason.is_failure:
            self._refusal = str(reason)
            self._welcomed.set()
            return
        self.connected_since = time.monotonic()
        if not self._welcomed.is_set():
            self._welcomed.set()
            return
        # A new connection after a torn one: listen again; `request` asks again.
        with self._lock:
            filters = {topic_filter for topic_filter, _ in self._takers}
        for topic_filter in filters:
            client.subscribe(topic_filter, 1 if self._is_v5 else 0)
        self._welcomes += 1

    def _on_disconnect(self, *_: object) -> None:
        self.connected_since = math.inf

    def _on_message(self, _client: paho.Client, _: Any, message: paho.MQTTMessage) -> None:
        with self._lock:
            takers = tuple(self._takers)
        for topic_filter, take in takers:
            if is_match(topic_filter, message.topic):
                take(message.topic, bytes(message.payload))
        if message.retain:
            with self._retained:
                self._retained_at = time.monotonic()
                self._retained.notify_all()

    def _on_subscribe(
        self, _client: paho.Client, _: Any, mid: int, reasons: list[ReasonCode], *__: object
    ) -> None:
        failed = [str(reason) for reason in reasons if reason.is_failure]
        self._note_ack("subscribe", mid, failed[0] if failed else "")

    def _on_publish(
        self, _client: paho.Client, _: Any, mid: int, reason: ReasonCode, *__: object
    ) -> None:
        said = NOBODY if reason.value == _NO_MATCHING_SUBSCRIBERS else ""
        self._note_ack("publish", mid, str(reason) if reason.is_failure else said)


_NO_MATCHING_SUBSCRIBERS = 0x10  # MQTT 5, 3.4.2.1
NOBODY = "no matching subscribers"
"""What `publish` says where the broker took the message and had nobody to give it to."""


def remedy(refused: str, otherwise: str) -> str:
    """The next step where the broker did not do something, by its reason.

    Silence is no refusal: an access list is not to be changed for a broker that is busy.
    """
    if refused == UNACKNOWLEDGED:
        return "The broker, the network or this machine is too busy, or too slow: try again."
    return otherwise
