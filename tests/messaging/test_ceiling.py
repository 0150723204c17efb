"""A broker's limit, found without an announcement: what it hung up on, and what is sent since."""

from __future__ import annotations

import json

from edge_daemon.messaging.ceiling import TOPICS, TRY_AGAIN_S, Ceiling, InFlight, Weight
from edge_daemon.messaging.in_flight import Outgoing
from tests.sim.clock import SimClock

OFFER = "edge/cam1/model/available"
EVENT = "edge/cam1/model/event"
API = "edge/cam1/info/api"


def offer(models: int) -> Outgoing:
    lines = [{"model": f"coco@1.0.{n}", "classes": ["article"] * 200} for n in range(models)]
    return Outgoing(OFFER, json.dumps({"models": lines}).encode(), 1, True, None)


def plain(topic: str, size: int) -> Outgoing:
    return Outgoing(topic, b"x" * size, 1, False, None)


class Broker:
    """Takes packets up to a limit, in order, and hangs up on a larger one."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.clock = SimClock()
        self.ceiling = Ceiling(self.clock, frozenset({API}))
        self.heard: list[str] = []

    def connect(self, *messages: Outgoing) -> bool:
        """One connection that sends these at once; True where the broker kept it."""
        self.ceiling.joined(None)
        in_flight, sent = InFlight(), []
        for message in messages:
            fitting = self.ceiling.fit(message)
            if fitting is not None:
                size = fitting.size_bytes
                weight = Weight(message.topic, size)
                sent.append((in_flight.sent(weight), size, message.topic))
        for place, size, topic in sent:
            if size > self.limit:
                self.ceiling.ended(in_flight)
                return False
            in_flight.acknowledged(place, size)
            self.heard.append(topic)
        return True


def test_the_largest_under_way_is_blamed_and_not_the_oldest() -> None:
    """Small messages before and behind it are innocent; it comes shortened with the third join."""
    broker, large = Broker(131_072), offer(80)
    messages = (plain(EVENT, 400), large, plain(EVENT, 300))
    assert [broker.connect(*messages) for _ in range(3)] == [False, False, True]
    assert broker.heard[-3:] == [EVENT, OFFER, EVENT]
    (problem,) = broker.ceiling.problems()
    assert OFFER in problem
    assert f"{large.size_bytes} bytes" in problem


def test_a_cable_that_tears_once_blames_nobody() -> None:
    """The same message goes whole with the next connection."""
    broker, large = Broker(1000), offer(80)
    assert not broker.connect(large)
    broker.limit = 1_000_000
    assert broker.connect(large)
    assert broker.ceiling.fit(large) is large
    assert list(broker.ceiling.problems()) == []


def test_a_broker_that_took_larger_ones_did_not_hang_up_for_the_size() -> None:
    """Another client with our id ends connections too, while small messages are under way."""
    ceiling = Ceiling(SimClock())
    for _ in range(5):
        in_flight = InFlight()
        place = in_flight.sent(Weight(API, 60_050))
        in_flight.sent(Weight(EVENT, 3050))
        in_flight.acknowledged(place, 60_050)
        assert not ceiling.ended(in_flight)
    assert list(ceiling.problems()) == []


def test_once_a_limit_is_known_each_further_one_costs_one_connection() -> None:
    """A limit of 2000: first the document of the API, then the offer, then all is well."""
    broker = Broker(2000)
    messages = (offer(4), plain(API, 60_000), plain(EVENT, 500))
    fates = [broker.connect(*messages) for _ in range(6)]
    assert fates[-1]
    assert fates.count(False) <= 3
    assert broker.heard[-2:] == [OFFER, EVENT]


def test_the_broker_that_says_why_is_believed_at_once() -> None:
    """MQTT 5 has a reason for it."""
    ceiling, in_flight = Ceiling(SimClock()), InFlight()
    in_flight.sent(Weight(OFFER, 5050))
    assert ceiling.ended(in_flight, by_size=True)


def test_an_announced_limit_is_kept_from_the_first_message_on() -> None:
    """MQTT 5: the offer comes shortened; what cannot be shortened is told."""
    ceiling = Ceiling(SimClock(), frozenset({API}))
    ceiling.joined(2000)
    fitting = ceiling.fit(offer(4))
    assert fitting is not None
    assert fitting.size_bytes <= 2000
    assert ceiling.fit(plain(API, 60_000)) is None
    assert list(ceiling.problems()) == []
    assert ceiling.fit(plain(EVENT, 3000)) is None
    (problem,) = ceiling.problems()
    assert f"{plain(EVENT, 3000).size_bytes} bytes" in problem


def test_topics_that_strangers_name_fill_nothing() -> None:
    """Each answer may go to an address of its own; those that are told are bounded."""
    ceiling = Ceiling(SimClock())
    ceiling.joined(1024)
    for number in range(3 * TOPICS):
        assert ceiling.fit(plain(f"ops/kim/{number}", 3000)) is None
    assert len(list(ceiling.problems())) == TOPICS


def test_a_limit_that_was_found_is_tried_again_later() -> None:
    """Somebody may have let the broker take more: a later connection finds out."""
    broker, large = Broker(131_072), offer(80)
    for _ in range(3):
        broker.connect(large)
    broker.limit = 1_000_000
    assert broker.ceiling.fit(large) is not large
    broker.clock.advance(TRY_AGAIN_S + 1)
    assert broker.connect(large)
    assert broker.ceiling.fit(large) is large
    assert list(broker.ceiling.problems()) == []


def test_an_acknowledgement_tells_of_all_that_was_sent_before() -> None:
    """QoS 0 is not acknowledged, but what came after it is."""
    in_flight = InFlight()
    in_flight.sent(Weight("a", 900))
    place = in_flight.sent(Weight("b", 10))
    in_flight.sent(Weight("c", 20))
    in_flight.sent(Weight("d", 15))
    assert in_flight.largest == Weight("a", 900)
    in_flight.acknowledged(place, 10)
    assert in_flight.largest == Weight("c", 20)
