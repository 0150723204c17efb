"""The session against real and hostile brokers: passwords, TLS, access lists, silence, garbage."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import random
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from structlog.testing import capture_logs

from edge_daemon.config import MqttSettings
from edge_daemon.host.clock import Clock, SystemClock
from edge_daemon.messaging.inbox import RefusedRequest, read_request
from edge_daemon.messaging.messages import Delivery
from edge_daemon.messaging.mqtt import Session, SessionSpec
from edge_daemon.messaging.sending import BACKLOG_MESSAGES
from tests.sim.brokers import PATIENCE_S, TOPICS, Crew, wait_for
from tests.sim.clock import SimClock
from tests.sim.folders import lent_folder
from tests.sim.hostile import CONNACK, SUBACK, HostileBroker
from tests.sim.mosquitto import Mosquitto, new_mosquitto

pytestmark = pytest.mark.broker

UNCLAIMED = "delivery_unclaimed"


@contextlib.contextmanager
def session_to(
    host: str,
    port: int,
    crew: Crew,
    filters: tuple[str, ...] = (),
    clock: Clock | None = None,
    **settings: Any,
) -> Iterator[Session]:
    made = MqttSettings.model_validate({"host": host, "port": port, **settings})
    spec = SessionSpec(made, TOPICS, "cam1", filters)
    session = Session(spec, clock or SystemClock(), random.Random(1))
    session.start(crew.handlers())
    try:
        yield session
    finally:
        session.stop()


def say(broker: Mosquitto, topic: str, payload: bytes) -> None:
    speaker = paho.Client(paho.CallbackAPIVersion.VERSION2)
    speaker.connect(broker.host, broker.port)
    speaker.loop_start()
    speaker.publish(topic, payload, 1).wait_for_publish(PATIENCE_S)
    speaker.disconnect()
    speaker.loop_stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("death", [SystemExit("planted"), KeyboardInterrupt("planted")])
def test_a_network_thread_that_dies_is_replaced(death: BaseException) -> None:
    """paho's thread ends without a word while it says that it is connected; we notice."""
    crew = Crew(raises=[death])
    with new_mosquitto() as broker, session_to(broker.host, broker.port, crew) as session:
        wait_for(lambda: crew.births == 1, "the birth")
        say(broker, TOPICS.request("swap"), b"deadly")
        wait_for(lambda: crew.births == 2, "the birth after the death")
        wait_for(lambda: crew.payloads() == [b"deadly"], "the request, the second time")
        assert session.alive()


def test_a_request_too_large_is_answered_and_one_far_too_large_harms_nothing() -> None:
    """Over 256 KiB it is refused at our door; over 1 MiB the broker does not even send it."""
    crew = Crew()
    with new_mosquitto() as broker, session_to(broker.host, broker.port, crew):
        wait_for(lambda: crew.births == 1, "the birth")
        say(broker, TOPICS.request("swap"), b"x" * (2 * 1024 * 1024))
        say(broker, TOPICS.request("swap"), b"x" * (300 * 1024))
        wait_for(lambda: crew.requests, "the request")
        (verb, incoming), *more = crew.requests
        assert more == []
        with pytest.raises(RefusedRequest, match="262144"):
            read_request(verb, incoming, "fresh")


@pytest.mark.parametrize("protocol", [5, 4])
def test_a_password_is_read_from_its_file(protocol: int) -> None:
    """A wrong one is refused and tried again later: it may be put right meanwhile."""
    folder = lent_folder("passwords")
    passwords, ours = folder / "passwords", folder / "ours"
    subprocess.run(["mosquitto_passwd", "-c", "-b", str(passwords), "kim", "secret"], check=True)
    passwords.chmod(0o644)
    ours.write_text("wrong\n")
    ours.chmod(0o600)
    crew = Crew()
    login = {"username": "kim", "password_file": str(ours), "protocol": protocol}
    with (
        new_mosquitto(f"password_file {passwords}", "allow_anonymous false") as broker,
        session_to(broker.host, broker.port, crew, **login) as session,
    ):
        wait_for(lambda: "not authorised" in broker.log(), "the refusal")
        assert not session.online
        ours.write_text("secret\n")
        wait_for(lambda: crew.births == 1, "the birth with the right password")


def test_a_broker_that_forbids_a_topic_tells_it() -> None:
    """A durable message to a forbidden address is REFUSED, not waited for."""
    folder = lent_folder("acl")
    acl = folder / "acl"
    acl.write_text(f"topic readwrite {TOPICS.root}/#\n")
    acl.chmod(0o644)
    crew = Crew()
    with (
        new_mosquitto(f"acl_file {acl}") as broker,
        session_to(broker.host, broker.port, crew) as session,
    ):
        wait_for(lambda: crew.births == 1, "the birth")
        forbidden = session.publish("somewhere/else", b"1", qos=1)
        allowed = session.publish(TOPICS.model_event, b"2", qos=1)
        assert forbidden is not None
        assert allowed is not None
        assert forbidden.wait(PATIENCE_S) is Delivery.REFUSED
        assert allowed.wait(PATIENCE_S) is Delivery.DELIVERED


def test_a_delivery_that_nobody_claims_is_told_and_counted() -> None:
    """A shared subscription's deliveries have another topic than its filter: not a silent loss."""
    crew = Crew()
    spec = ("$share/group/mes/x", "mes/y")
    with (
        capture_logs() as lines,
        new_mosquitto() as broker,
        session_to(broker.host, broker.port, crew, filters=spec),
    ):
        wait_for(lambda: crew.births == 1, "the birth")
        for number in range(12):
            say(broker, "mes/x", str(number).encode())
        say(broker, "mes/y", b"order")
        wait_for(lambda: crew.orders, "the order")
    told = [(line["topic"], line["count"]) for line in lines if line["event"] == UNCLAIMED]
    assert told == [("mes/x", 1), ("mes/x", 10)]


def make_certificates(folder: Path) -> None:
    """An authority, and a certificate for 127.0.0.1 signed by it (PEM)."""
    now = dt.datetime.now(dt.timezone.utc)
    names = {"ca": "Test Authority", "server": "127.0.0.1"}
    keys = {one: ec.generate_private_key(ec.SECP256R1()) for one in names}
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names["ca"])])
    for one, common in names.items():
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(authority)
            .public_key(keys[one].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=one == "ca", path_length=None), critical=True)
        )
        if one == "server":
            address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
            builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        certificate = builder.sign(keys["ca"], hashes.SHA256())
        (folder / f"{one}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (folder / f"{one}.key").write_bytes(
            keys[one].private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        (folder / f"{one}.key").chmod(0o644)


def test_tls_joins_the_broker_that_the_authority_vouches_for_and_no_other() -> None:
    """Without the authority the certificate is not trusted, and nothing is sent."""
    folder = lent_folder("tls")
    make_certificates(folder)
    stranger, crew = Crew(), Crew()
    with new_mosquitto(
        f"cafile {folder}/ca.pem", f"certfile {folder}/server.pem", f"keyfile {folder}/server.key"
    ) as broker:
        with session_to(broker.host, broker.port, stranger, tls={}):
            wait_for(lambda: "alert" in broker.log() or "SSL" in broker.log(), "the refusal")
            assert stranger.births == 0
        with session_to(broker.host, broker.port, crew, tls={"ca": f"{folder}/ca.pem"}):
            wait_for(lambda: crew.births == 1, "the birth over TLS")


def test_a_broker_that_stops_reading_costs_results_and_nothing_else() -> None:
    """The publisher never waits: past a bound messages are dropped and counted."""
    crew = Crew()
    with (
        HostileBroker(CONNACK, SUBACK) as broker,
        session_to(broker.host, broker.port, crew, protocol=4) as session,
    ):
        wait_for(lambda: crew.births == 1, "the birth")
        taken = 0
        for _ in range(40 * BACKLOG_MESSAGES):
            taken += session.publish(TOPICS.result, b"x" * 2000) is not None
        assert session.lost > 0
        assert taken + session.lost == 40 * BACKLOG_MESSAGES


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff" * 64,
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x20\x02\x00\x05",
        b"\x20\x03\x00\x87\x00",
        b"\x30\x04\x00\x09ab",
        b"\x90\x00",
        b"\x30\x80\x80\x80\x80\x80",
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_peer_that_talks_nonsense_is_left_and_tried_again(garbage: bytes) -> None:
    """Whatever is at that port, the session keeps trying and the daemon lives."""
    crew, clock = Crew(), SimClock()

    def came_again() -> bool:
        clock.advance(0.1)  # what could be the beginning of a packet is waited for
        return len(broker.connections) >= 2

    with (
        HostileBroker(garbage) as broker,
        session_to(broker.host, broker.port, crew, clock=clock) as session,
    ):
        wait_for(came_again, "the second try")
        assert session.alive()
        assert crew.births == 0


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def publish_packet(topic: str, size: int, mid: int) -> bytes:
    """The head of a QoS 1 PUBLISH with so many bytes of payload."""
    variable = len(topic).to_bytes(2, "big") + topic.encode() + mid.to_bytes(2, "big")
    left, length = size + len(variable), bytearray()
    while left:
        left, digit = divmod(left, 128)
        length.append(digit | (0x80 if left else 0))
    return b"\x32" + bytes(length) + variable


@pytest.mark.parametrize("topic", [TOPICS.request("swap"), "mes/orders"])
def test_a_message_of_200_mb_costs_no_memory_and_no_connection(topic: str) -> None:
    """MQTT 3.1.1 has no limit that we could announce: the end of it is read and dropped."""
    crew, chunk = Crew(), b"x" * 1_000_000
    with HostileBroker(CONNACK, SUBACK) as broker:
        made = MqttSettings(host=broker.host, port=broker.port, protocol=4)
        spec = SessionSpec(made, TOPICS, "cam1", ("mes/orders",))
        session = Session(spec, SystemClock(), random.Random(1))
        session.start(crew.handlers())
        wait_for(lambda: crew.births == 1, "the birth")
        before, most = resident_bytes(), 0
        broker.connections[0].sendall(publish_packet(topic, 200 * len(chunk), 1))
        for _ in range(200):
            broker.connections[0].sendall(chunk)
            most = max(most, resident_bytes())
        small = publish_packet(TOPICS.request("hold"), 2, 2) + b"{}"
        broker.connections[0].sendall(small)
        wait_for(lambda: b"{}" in crew.payloads(), "the next request")
        assert most - before < 20_000_000
        assert (len(broker.connections), crew.orders) == (1, [])
        for verb, incoming in crew.requests[:-1]:  # the large one, where it was a request
            with pytest.raises(RefusedRequest, match="262144"):
                read_request(verb, incoming, "fresh")
        session.stop()


def test_answers_go_where_nobody_acts_on_them() -> None:
    """A sender must not make the station hold itself, or another one; the fixed answer comes."""
    crew, asked = Crew(), ("ops/kim", TOPICS.request("hold"), "edge/cam2/request/hold")
    with new_mosquitto() as broker, session_to(broker.host, broker.port, crew):
        wait_for(lambda: crew.births == 1, "the birth")
        speaker = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        speaker.connect(broker.host, broker.port)
        speaker.loop_start()
        for topic in asked:
            properties = Properties(PacketTypes.PUBLISH)
            properties.ResponseTopic = topic
            speaker.publish(TOPICS.request("swap"), b"{", 1, properties=properties)
        wait_for(lambda: len(crew.requests) == len(asked), "the requests")
        speaker.disconnect()
        speaker.loop_stop()
    reply_topics = [incoming.reply_to.response_topic for _, incoming in crew.requests]
    assert reply_topics == ["ops/kim", None, None]
