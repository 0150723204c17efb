"""What a session with a broker promises, the same on the simulator and on real brokers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from edge_daemon.messaging.messages import Delivery, ReplyTo
from tests.sim.broker import Packet
from tests.sim.brokers import TOPICS, Crew, Harness, RealBench, SimBench, wait_for
from tests.sim.iotcore import EmbeddedBroker
from tests.sim.mosquitto import new_mosquitto

BENCHES: dict[str, Callable[[], Harness]] = {
    "simulator": SimBench,
    "mosquitto-5": lambda: RealBench(new_mosquitto(), 5),
    "mosquitto-3.1.1": lambda: RealBench(new_mosquitto(), 4),
    "embedded-5": lambda: RealBench(EmbeddedBroker(5), 5, knows_retained=False),
    "embedded-3.1.1": lambda: RealBench(EmbeddedBroker(4), 4),
}


@pytest.fixture(params=BENCHES)
def bench(request: pytest.FixtureRequest) -> Iterator[Harness]:
    made = BENCHES[request.param]()
    yield made
    made.close()


def swap(payload: bytes = b"{}", **more: object) -> Packet:
    return Packet(TOPICS.request("swap"), payload, 1, **more)  # type: ignore[arg-type]


def states(seen: list[Packet]) -> list[str]:
    return [packet.json()["state"] for packet in seen]  # type: ignore[index]


def test_it_says_online_and_stopped_and_keeps_both(bench: Harness) -> None:
    """A retained status tells late readers too; a clean stop is not an outage."""
    seen = bench.watch(TOPICS.status)
    session = bench.session()
    session.start(Crew().handlers())
    wait_for(lambda: states(seen) == ["online"], "the word online")
    session.stop()
    wait_for(lambda: states(seen) == ["online", "stopped"], "the word stopped")
    late = bench.watch(TOPICS.status)
    wait_for(lambda: late, "the retained status")
    assert states(late) == ["stopped"]
    assert late[0].retain


def test_a_torn_connection_is_told_by_the_last_will_and_mended(bench: Harness) -> None:
    """offline comes from the broker; then the session is back and everything is born again."""
    crew = Crew()
    seen = bench.watch(TOPICS.status)
    session = bench.session()
    session.start(crew.handlers())
    wait_for(lambda: states(seen) == ["online"], "the word online")
    bench.cut()
    wait_for(lambda: states(seen) == ["online", "offline", "online"], "offline, then online")
    wait_for(lambda: crew.births == 2, "the second birth")
    assert session.online
    assert session.alive()


def test_a_request_arrives_with_everything_it_carries(bench: Harness) -> None:
    """The verb, the bytes, when it came, where to answer and until when it is good."""
    crew = Crew()
    bench.session().start(crew.handlers())
    wait_for(lambda: crew.births, "the birth")
    bench.publish(
        swap(b'{"id":"1"}', response_topic="ops/kim", correlation=b"\x01\xff", message_expiry_s=60)
    )
    wait_for(lambda: crew.requests, "the request")
    verb, incoming = crew.requests[0]
    assert (verb, incoming.payload, incoming.retained) == ("swap", b'{"id":"1"}', False)
    assert incoming.topic == TOPICS.request("swap")
    assert incoming.received.utc > 0
    if bench.is_v5:
        assert incoming.reply_to == ReplyTo("ops/kim", b"\x01\xff")
        assert incoming.message_expiry_s in {59, 60}
    else:
        assert incoming.reply_to == ReplyTo()


def test_an_answer_goes_to_both_addresses(bench: Harness) -> None:
    """`response/<verb>` always; the Response Topic with its Correlation Data where given."""
    crew = Crew()
    session = bench.session()
    fixed, own = bench.watch(TOPICS.response("swap")), bench.watch("ops/kim")
    session.start(crew.handlers())
    wait_for(lambda: crew.births, "the birth")
    session.respond("swap", b"1", ReplyTo("ops/kim", b"c-1"))
    session.respond("swap", b"2", ReplyTo())
    session.respond("swap", b"3", ReplyTo("ops/+/#", b"c-3"))
    wait_for(lambda: len(fixed) == 3, "three answers")
    wait_for(lambda: own, "the answer at the own address")
    assert [packet.payload for packet in fixed] == [b"1", b"2", b"3"]
    assert [packet.payload for packet in own] == [b"1"]
    if bench.is_v5:
        assert own[0].correlation == b"c-1"


def test_a_retained_request_is_never_taken_for_a_fresh_one(bench: Harness) -> None:
    """Published retained, it is known as such; stored, it does not come at the start (MQTT 5).

    MQTT 3.1.1 has no such options, and the embedded broker does not heed them: there a stored
    one comes with its flag, and one that comes live cannot be told from a fresh one.
    """
    crew = Crew()
    bench.publish(swap(b"stored", retain=True))
    bench.session().start(crew.handlers())
    wait_for(lambda: crew.births, "the birth")
    bench.publish(swap(b"live", retain=True))
    bench.publish(swap(b"fresh"))
    wait_for(lambda: b"fresh" in crew.payloads(), "the fresh request")
    flags = {incoming.payload: incoming.retained for _, incoming in crew.requests}
    if bench.knows_retained:
        assert flags == {b"live": True, b"fresh": False}
    else:
        assert flags == {b"stored": True, b"live": False, b"fresh": False}


def test_a_request_sent_while_the_daemon_is_away_arrives(bench: Harness) -> None:
    """The session outlives the daemon: nothing that was acknowledged to ops is lost."""
    first = bench.session()
    first.start(Crew().handlers())
    wait_for(lambda: first.online, "the connection")
    first.stop()
    for number in range(3):
        bench.publish(swap(b"%d" % number))
    crew = Crew()
    bench.session().start(crew.handlers())
    wait_for(lambda: len(crew.requests) == 3, "what was sent meanwhile")
    assert crew.payloads() == [b"0", b"1", b"2"]


def test_a_request_that_was_not_acknowledged_comes_again(bench: Harness) -> None:
    """Before the journal has it the broker keeps it; afterwards it does not."""
    crew = Crew(acknowledges=False)
    session = bench.session()
    session.start(crew.handlers())
    wait_for(lambda: crew.births, "the birth")
    bench.publish(swap(b"safe"))
    bench.publish(swap(b"kept"))
    wait_for(lambda: len(crew.requests) == 2, "both requests")
    crew.requests[0][1].done()
    fence = session.publish(TOPICS.model_event, b"", qos=1)
    assert fence.wait(60.0) is Delivery.DELIVERED
    bench.cut()
    wait_for(lambda: crew.births == 2 and len(crew.requests) >= 3, "the request again")
    bench.publish(swap(b"last"))
    wait_for(lambda: b"last" in crew.payloads(), "the last request")
    assert crew.payloads() == [b"safe", b"kept", b"kept", b"last"]


def test_acknowledgements_keep_the_order_of_arrival(bench: Harness) -> None:
    """What is done early waits for what came before it; brokers part from who does otherwise."""
    crew = Crew(acknowledges=False)
    session = bench.session()
    session.start(crew.handlers())
    wait_for(lambda: crew.births, "the birth")
    for number in range(4):
        bench.publish(swap(b"%d" % number))
    wait_for(lambda: len(crew.requests) == 4, "four requests")
    for place in (3, 1, 0, 2):
        crew.requests[place][1].done()
        crew.requests[place][1].done()
    fence = session.publish(TOPICS.model_event, b"", qos=1)
    assert fence.wait(60.0) is Delivery.DELIVERED
    bench.cut()
    wait_for(lambda: crew.births == 2, "the second birth")
    crew.requests[0][1].done()  # of a connection that is gone: it must not reach this one
    bench.publish(swap(b"last"))
    wait_for(lambda: b"last" in crew.payloads(), "the last request")
    assert crew.payloads() == [b"0", b"1", b"2", b"3", b"last"]


def test_messages_keep_their_order(bench: Harness) -> None:
    """Results are read in the order of their frames."""
    crew = Crew()
    session = bench.session()
    seen = bench.watch(TOPICS.result)
    session.start(crew.handlers())
    wait_for(lambda: crew.births, "the birth")
    for number in range(200):
        assert session.publish(TOPICS.result, b"%d" % number) is not None
    wait_for(lambda: len(seen) == 200, "two hundred results")
    assert [int(packet.payload) for packet in seen] == list(range(200))


def test_a_handler_that_fails_once_is_given_the_request_again(bench: Harness) -> None:
    """A disk that was full for a moment costs no request."""
    crew = Crew(raises=[OSError("planted")])
    session = bench.session()
    session.start(crew.handlers())
    wait_for(lambda: crew.births, "the birth")
    bench.publish(swap(b"unlucky"))
    wait_for(lambda: crew.payloads() == [b"unlucky"], "the request, the second time")
    assert session.alive()


def test_a_handler_that_keeps_failing_stops_nothing(bench: Harness) -> None:
    """The request is given up after its second failure, and the next one is heard."""
    crew = Crew(raises=[RuntimeError("planted"), RuntimeError("planted again")])
    session = bench.session()
    session.start(crew.handlers())
    wait_for(lambda: crew.births, "the birth")
    bench.publish(swap(b"poison"))
    wait_for(lambda: not crew.raises, "the second failure")
    bench.publish(swap(b"next"))
    wait_for(lambda: crew.payloads() == [b"next"], "the next request")
    session.stop()
    crew = Crew()
    bench.session().start(crew.handlers())
    wait_for(lambda: crew.births, "the birth of the next daemon")
    bench.publish(swap(b"end"))
    wait_for(lambda: crew.payloads() == [b"end"], "the end")


def test_a_birth_that_raises_stops_nothing(bench: Harness) -> None:
    """The connection stands although what is published on it failed."""

    def fail() -> None:
        raise RuntimeError("planted")

    crew = Crew(on_birth=fail)
    bench.session().start(crew.handlers())
    wait_for(lambda: crew.births, "the birth")
    bench.publish(swap(b"heard"))
    wait_for(lambda: crew.payloads() == [b"heard"], "the request")


def test_a_broker_that_restarts_finds_everything_again(bench: Harness) -> None:
    """The session comes back by itself, subscribes and publishes the retained state anew."""
    crew = Crew()
    session = bench.session()

    def publish_state() -> None:
        session.publish(TOPICS.model_state, b"%d" % crew.births, qos=1, retain=True)

    crew.on_birth = publish_state
    session.start(crew.handlers())
    wait_for(lambda: crew.births == 1, "the birth")
    bench.restart()
    wait_for(lambda: crew.births >= 2, "the birth after the restart")
    wait_for(lambda: session.online, "the connection after the restart")
    late: list[Packet] = bench.watch(TOPICS.model_state)
    wait_for(lambda: late and late[-1].payload == b"%d" % crew.births, "the retained state")
    bench.publish(swap(b"after"))
    wait_for(lambda: b"after" in crew.payloads(), "a request after the restart")


def test_orders_come_with_the_place_of_their_source(bench: Harness) -> None:
    """The first filter of the configuration that matches says how the payload is read."""
    crew = Crew()
    bench.session().start(crew.handlers())
    wait_for(lambda: crew.births, "the birth")
    for topic in ("mes/line3/orders", "erp/a/b/c", "mes/line3/other", "erp/last"):
        bench.publish(Packet(topic, topic.encode(), 1))
    wait_for(lambda: len(crew.orders) == 3, "three orders")
    assert [(place, incoming.topic) for place, incoming in crew.orders] == [
        (0, "mes/line3/orders"),
        (1, "erp/a/b/c"),
        (1, "erp/last"),
    ]


def test_a_retained_order_is_read_at_the_start(bench: Harness) -> None:
    """A MES that retains its order tells a new daemon what is being made."""
    bench.publish(Packet("mes/line3/orders", b"running", 1, retain=True))
    crew = Crew()
    bench.session().start(crew.handlers())
    wait_for(lambda: crew.orders, "the retained order")
    assert crew.orders[0][1].payload == b"running"
    bench.publish(Packet("mes/line3/orders", b"", 1, retain=True))


def test_what_the_broker_keeps_is_told_from_what_is_published_now(bench: Harness) -> None:
    """`stored` comes out of the broker's keeping, on subscribing; a live one never has it."""
    topic = "mes/line3/orders"
    bench.publish(Packet(topic, b"kept", 1, retain=True))
    crew = Crew()
    session = bench.session()
    session.start(crew.handlers())
    wait_for(lambda: crew.orders, "the kept order")
    bench.publish(Packet(topic, b"live", 1, retain=True))
    wait_for(lambda: len(crew.orders) == 2, "the live order")
    fence = session.publish(TOPICS.model_event, b"", qos=1)  # behind the acknowledgement
    assert fence.wait(60.0) is Delivery.DELIVERED
    bench.cut()
    wait_for(lambda: crew.births == 2, "the second birth")
    bench.publish(Packet(topic, b"last", 1))
    wait_for(lambda: (b"last", False) in crew.orders_told(), "the last order")
    came = crew.orders_told()
    assert came[:2] == [(b"kept", True), (b"live", False)]
    came.remove((b"last", False))  # it comes before or behind what is kept
    assert came[2:] in ([], [(b"live", True)])  # MQTT 3.1.1 sends that with every connection
    bench.publish(Packet(topic, b"", 1, retain=True))


def test_what_waited_comes_before_what_the_broker_keeps(bench: Harness) -> None:
    """Both are the same message here: the one that waited is an arrival, the kept one is not."""
    topic = "mes/line3/orders"
    first = bench.session()
    first.start(Crew().handlers())
    wait_for(lambda: first.online, "the connection")
    first.stop()
    bench.publish(Packet(topic, b"running", 1, retain=True))
    bench.publish(Packet(topic, b"later", 1))
    crew = Crew()
    bench.session().start(crew.handlers())
    wait_for(lambda: len(crew.orders) >= 2 and crew.births, "what waited")
    bench.publish(Packet(topic, b"last", 1))
    wait_for(lambda: (b"last", False) in crew.orders_told(), "the last order")
    came = crew.orders_told()
    assert came[:2] == [(b"running", False), (b"later", False)]
    came.remove((b"last", False))
    assert came[2:] in ([], [(b"running", True)])  # the embedded broker sends it once only
    bench.publish(Packet(topic, b"", 1, retain=True))


def test_the_fate_of_a_message_is_told(bench: Harness) -> None:
    """DELIVERED means that the broker said so: only then may a durable row go."""
    crew = Crew()
    session = bench.session()
    assert session.publish(TOPICS.model_event, b"early", qos=1) is None
    assert session.lost == 1
    session.start(crew.handlers())
    wait_for(lambda: crew.births, "the birth")
    sent = session.publish(TOPICS.model_event, b"now", qos=1)
    assert sent is not None
    assert sent.wait(60.0) is Delivery.DELIVERED
    session.stop()
    assert session.publish(TOPICS.result, b"late") is None
    assert session.lost == 2
