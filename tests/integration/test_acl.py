"""The broker that is shipped: who comes in, and who may say and hear what."""

from __future__ import annotations

import datetime as dt
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.sim.mosquitto import Mosquitto
from tests.sim.plant_broker import PlantBroker

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0
REFUSED = 0x80  # MQTT 5 reason codes from here on are refusals

STATION, OTHER = "line3-cam1", "line3-cam2"
ROLES = ("ops", "mes", "panel", "plc", "dashboard", "fleet", "andon", STATION, OTHER)

SEEN_BY_ALL = ("status", "model/state", "model/event", "result", "part", "counts")
SEEN = ("info", "info/api", "health", "camera/status", "model/available", "snapshot")
TRIED = ("rollout/state", "fleet", "receipt")
ANSWERS = ("response/swap", "response/swap/kim", "response/trigger", "response/feedback")
ASKED = ("request/swap", "request/trigger", "request/feedback")
CAMPAIGN = tuple(
    f"fleet/c1/{what}"
    for what in ("campaign", "open/0", "pause/ops", "pause/andon", "pause/evaluator")
)
STOPS = tuple(f"fleet/c1/stop/{who}" for who in ("ops", "andon", "evaluator"))
PEERS = tuple(f"fleet/site/hall-2/peer/{name}" for name in (STATION, OTHER))
ABROAD = f"fleet/site/hall-9/peer/{STATION}"
"""Another site's: whoever writes there is heard by nobody of hall-2."""
WORDS = {"fleet/timestamp", *CAMPAIGN, *STOPS}
FLEET = {*WORDS, *PEERS, ABROAD}
"""All that ops may say."""
ORDERS = "mes/line3/work_orders"
NOBODYS = ("edge/line3-cam1", "edge/line3-cam1/secret", "mes/line4/orders", "elsewhere", "$SYS/x")


def _below(*parts: str) -> set[str]:
    return {f"edge/{STATION}/{part}" for part in parts}


SAYS = {
    "ops": {*_below(*ASKED), *FLEET},
    "mes": {ORDERS, "mes/line9/work_orders", *_below("request/feedback")},
    "panel": _below("request/feedback"),
    "plc": _below("request/trigger"),
    "dashboard": set(),
    "fleet": {CAMPAIGN[0], CAMPAIGN[1], "fleet/c1/pause/evaluator", "fleet/c1/stop/evaluator"},
    "andon": {"fleet/c1/pause/andon", "fleet/c1/stop/andon"},
    STATION: {*_below(*SEEN_BY_ALL, *SEEN, *TRIED, *ANSWERS), PEERS[0], ABROAD},
    OTHER: {PEERS[1]},
}
HEARS = {
    "ops": {*_below(*SEEN_BY_ALL, *SEEN, *TRIED, *ANSWERS, *ASKED), *FLEET},
    "mes": _below(*SEEN_BY_ALL, "response/feedback"),
    "panel": _below("part", "rollout/state", "response/feedback"),
    "plc": _below("part", "counts", "response/trigger"),
    "dashboard": {*_below(*SEEN_BY_ALL, *SEEN, *TRIED), *FLEET},
    "fleet": {*_below("fleet"), *FLEET},
    "andon": set(),
    STATION: {ORDERS, *_below(*ASKED), *WORDS, *PEERS},
    OTHER: {ORDERS, *WORDS, *PEERS},
}
TOPICS = sorted(
    {"mes/line9/work_orders", ORDERS, *NOBODYS, *FLEET}
    | _below(*SEEN_BY_ALL, *SEEN, *TRIED, *ANSWERS, *ASKED, "request/a/b", "camera/else")
)

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def plant() -> Iterator[PlantBroker]:
    """The shipped files as they are, but for their folders and the ports."""
    made = PlantBroker((STATION, OTHER))
    with made.broker:
        yield made


@pytest.fixture(scope="module")
def broker(plant: PlantBroker) -> Mosquitto:
    return plant.broker


def _tls(broker: Mosquitto, name: str | None, folder: Path | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(broker.folder / "certs/ca.pem"))
    if name is not None:
        folder = folder or broker.folder / "certs"
        context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return context


class Member:
    """One role's client: subscribed to everything it could think of."""

    def __init__(
        self, broker: Mosquitto, role: str, port: int | None = None, client_id: str = ""
    ) -> None:
        self.heard: set[tuple[str, str]] = set()
        self.said: dict[str, int] = {}
        self._waited = threading.Semaphore(0)
        self._codes: dict[int, int] = {}
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id or f"edge-daemon-{role}",
            protocol=paho.MQTTv5,
        )
        self._client.tls_set_context(_tls(broker, role))
        self._client.on_connect = lambda *_: self._waited.release()
        self._client.on_subscribe = lambda *_: self._waited.release()
        self._client.on_publish = self._acknowledged
        self._client.on_message = self._take
        self._client.connect(broker.host, port or broker.port)
        self._client.loop_start()
        self._wait()

    def _take(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        self.heard.add((message.payload.decode(), message.topic))

    def _acknowledged(
        self, _client: object, _data: object, mid: int, reason: object, _properties: object
    ) -> None:
        self._codes[mid] = reason.value
        self._waited.release()

    def _wait(self) -> None:
        assert self._waited.acquire(timeout=PATIENCE_S), "the broker did not answer"

    def listen(self) -> None:
        """Returns when the broker has answered, and so has sent all that came before."""
        for wanted in ("#", "edge/#", "fleet/#", "mes/#", "$SYS/x"):
            self._client.subscribe(wanted, 0)
            self._wait()

    def speak(self, role: str, topic: str) -> bool:
        mid = self._client.publish(topic, role, qos=1).mid
        self._wait()
        return self._codes[mid] < REFUSED

    def leave(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def test_each_role_says_and_hears_its_share_only(broker: Mosquitto) -> None:
    """Every role, every topic, both directions: what the table names goes through, nothing else."""
    members = {role: Member(broker, role) for role in ROLES}
    for member in members.values():
        member.listen()
    said = {
        role: {topic for topic in TOPICS if member.speak(role, topic)}
        for role, member in members.items()
    }
    for member in members.values():
        member.listen()
    heard = {role: member.heard for role, member in members.items()}
    for member in members.values():
        member.leave()
    assert said == SAYS
    for role in ROLES:
        expected = {(by, topic) for by, topics in SAYS.items() for topic in topics & HEARS[role]}
        assert {(by, topic) for by, topic in heard[role] if by in ROLES} == expected, role


def _session(
    broker: Mosquitto, role: str, client_id: str, port: int, *, clean: bool = False
) -> bool | None:
    """Connect as this role and go again: whether a session was waiting; None where refused.

    `clean` ends the session that was waiting.
    """
    found: list[bool | None] = []

    def welcomed(_c: object, _d: object, flags: Any, reason: Any, _p: object) -> None:
        found.append(None if reason.is_failure else bool(flags.session_present))

    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5)
    client.tls_set_context(_tls(broker, role))
    client.on_connect = welcomed
    keep = Properties(PacketTypes.CONNECT)
    keep.SessionExpiryInterval = 0 if clean else 600
    client.connect(broker.host, port, clean_start=clean, properties=keep)
    while not found and client.loop(PATIENCE_S) == paho.MQTT_ERR_SUCCESS:
        pass
    client.disconnect()
    while client.loop(PATIENCE_S) == paho.MQTT_ERR_SUCCESS:
        pass  # until the broker has taken leave, too
    return found[0] if found else None


@pytest.mark.parametrize("victim", ROLES)
def test_nobody_takes_over_the_session_of_another(plant: PlantBroker, victim: str) -> None:
    """Every role, by every other role's id and by either door: what waits for it stays its own."""
    broker, own = plant.broker, f"edge-daemon-{victim}"
    _session(broker, victim, own, broker.port)
    for role in ROLES:
        for client_id in (own, victim, f"{own}-2", ""):
            for port in (
                (broker.port, plant.people_port) if role != victim else (plant.people_port,)
            ):
                _session(broker, role, client_id, port, clean=True)
        assert _session(broker, victim, own, broker.port), role  # once gone it would stay so


def test_a_session_is_of_its_certificate(plant: PlantBroker) -> None:
    """A station finds its own again, whatever it calls itself; nobody else finds one by its id."""
    broker = plant.broker
    _session(broker, STATION, "edge-daemon-line3-cam1", broker.port)
    assert _session(broker, STATION, "edge-daemon-else", broker.port)
    for port in (broker.port, plant.people_port):
        for name in (STATION, "nodered_1"):  # no id may begin so
            assert _session(broker, OTHER, name, port) is None


def test_people_have_several_clients_at_once(plant: PlantBroker) -> None:
    """By the door for people each has an id of its own; by the other one they would part."""
    first, second = (
        Member(plant.broker, "ops", plant.people_port, f"edge-daemon-client-{n}") for n in (1, 2)
    )
    assert second.speak("ops", f"edge/{STATION}/request/swap")
    assert first.speak("ops", f"edge/{STATION}/request/swap")
    for member in (first, second):
        member.leave()


def _is_admitted(broker: Mosquitto, context: ssl.SSLContext) -> bool:
    """Whether CONNECT is answered with yes: MQTT 3.1.1 in 27 bytes."""
    try:
        with (
            socket.create_connection((broker.host, broker.port), timeout=PATIENCE_S) as plain,
            context.wrap_socket(plain, server_hostname=broker.host) as tls,
        ):
            tls.sendall(b"\x10\x19\x00\x04MQTT\x04\x02\x00\x3c\x00\x0dedge-daemon-x")
            return tls.recv(4) == b"\x20\x02\x00\x00"
    except OSError:
        return False


def test_who_has_a_certificate_comes_in(broker: Mosquitto) -> None:
    """Each role is admitted: what the next tests see refused is refused for its own reason."""
    assert all(_is_admitted(broker, _tls(broker, role)) for role in ROLES)


def test_without_a_certificate_nobody_comes_in(broker: Mosquitto) -> None:
    """An anonymous client is refused."""
    assert not _is_admitted(broker, _tls(broker, None))


def test_a_foreign_certificate_is_refused(broker: Mosquitto, tmp_path: Path) -> None:
    """The right name by another authority opens nothing."""
    subprocess.run([ROOT / "scripts/make_certificates", tmp_path], check=True, capture_output=True)
    assert not _is_admitted(broker, _tls(broker, "ops", tmp_path))


def test_the_brokers_certificate_is_for_the_broker(broker: Mosquitto) -> None:
    """It proves a server, and so opens nothing to a client."""
    assert not _is_admitted(broker, _tls(broker, "broker"))


def test_an_expired_certificate_is_refused(broker: Mosquitto, tmp_path: Path) -> None:
    """The same authority and key, but its day has passed."""
    certs = broker.folder / "certs"
    authority = serialization.load_pem_private_key((certs / "ca.key").read_bytes(), None)
    good = x509.load_pem_x509_certificate((certs / "ops.pem").read_bytes())
    today = dt.datetime.now(dt.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(good.subject)
        .issuer_name(good.issuer)
        .public_key(good.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - dt.timedelta(days=30))
        .not_valid_after(today - dt.timedelta(days=1))
    )
    for extension in good.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    expired = builder.sign(authority, hashes.SHA256())
    (tmp_path / "ops.pem").write_bytes(expired.public_bytes(serialization.Encoding.PEM))
    shutil.copy(certs / "ops.key", tmp_path)
    assert not _is_admitted(broker, _tls(broker, "ops", tmp_path))
