"""What a connection subscribes to, and which retained order is what the broker keeps."""

from __future__ import annotations

from typing import Any, cast

import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from edge_daemon.messaging.subscription import Subscription

REQUESTS = "edge/cam1/request/+"
ORDERS = ("mes/line3/orders", "mes/+/orders")
TOPIC = "mes/line3/orders"


class Wire:
    """Takes a subscription as paho's client does."""

    def __init__(self) -> None:
        self.filters: list[Any] = []
        self.number: int | None = None

    def subscribe(self, filters: list[Any], *, properties: Any = None) -> None:
        self.filters = filters
        self.number = getattr(properties, "SubscriptionIdentifier", None)
        if isinstance(self.number, list):
            (self.number,) = self.number

    def options(self, name: str) -> Any:
        return next(options for each, options in self.filters if each == name)


def made(
    *orders: str, is_v5: bool = True, is_numbered: bool = True, was_taken_over: bool = False
) -> tuple[Subscription, Wire]:
    subscription, wire = Subscription(REQUESTS, orders or ORDERS, is_v5=is_v5), Wire()
    client = cast("paho.Client", wire)
    subscription.make(client, is_numbered=is_numbered, was_taken_over=was_taken_over)
    return subscription, wire


def test_requests_and_orders_go_in_one_packet() -> None:
    """So that nothing is sent between them, in the order of the answers."""
    subscription, wire = made()
    assert tuple(name for name, _ in wire.filters) == subscription.filters
    assert subscription.filters == (REQUESTS, *ORDERS)


def test_a_retained_request_is_not_sent_and_known_if_it_is() -> None:
    """Retain Handling 2 and Retain As Published: it would be carried out at every start."""
    _, wire = made()
    options = wire.options(REQUESTS)
    assert (options.QoS, options.retainHandling, options.retainAsPublished) == (1, 2, True)


def test_what_waited_at_the_broker_is_known_by_the_number_of_its_subscription() -> None:
    """Whether it comes before the broker's answer or after it, in a long queue."""
    subscription, wire = made()
    assert wire.number is not None
    for is_confirmed in (False, True):
        subscription.is_confirmed = is_confirmed
        assert subscription.has_waited((wire.number + 1,))
        assert not subscription.has_waited((wire.number,))


@pytest.mark.parametrize(("is_v5", "is_numbered"), [(False, False), (True, False), (True, True)])
def test_what_names_no_subscription_has_waited_if_it_comes_before_the_answer(
    is_v5: bool, is_numbered: bool
) -> None:
    """MQTT 3.1.1 has no numbers, and a broker may keep none."""
    subscription, _ = made(is_v5=is_v5, is_numbered=is_numbered)
    assert subscription.has_waited(())
    subscription.is_confirmed = True
    assert not subscription.has_waited(())


@pytest.mark.parametrize(
    ("is_numbered", "was_taken_over", "handling"),
    [(True, False, 0), (True, True, 0), (False, True, 0), (False, False, 1)],
)
def test_the_order_that_the_broker_keeps_is_asked_for(
    is_numbered: bool, was_taken_over: bool, handling: int
) -> None:
    """With each connection where it can be told from what waited, else when it may be new."""
    _, wire = made(is_numbered=is_numbered, was_taken_over=was_taken_over)
    assert {wire.options(name).retainHandling for name in ORDERS} == {handling}


def test_each_subscription_has_a_number_of_its_own() -> None:
    """What waited in the session bears an older one."""
    numbers = {made()[1].number for _ in range(20)}
    assert len(numbers) == 20
    assert all(number is not None and 0 < number <= 0xFFFFFFF for number in numbers)
    assert made(is_numbered=False)[1].number is None


def test_what_the_broker_keeps_comes_first_and_once_for_each_filter() -> None:
    """Two filters match here; the third one is live and retained for those who come later."""
    subscription, wire = made()
    numbers = [wire.number or 0]
    came = [subscription.is_stored(TOPIC, numbers, retain=True) for _ in range(3)]
    assert came == [True, True, False]


def test_each_topic_has_its_own() -> None:
    """Only one filter matches the other one."""
    subscription, wire = made()
    numbers = [wire.number or 0]
    other = [subscription.is_stored("mes/line4/orders", numbers, retain=True) for _ in range(2)]
    assert other == [True, False]
    assert subscription.is_stored(TOPIC, numbers, retain=True)


def test_a_live_message_is_never_taken_for_a_kept_one() -> None:
    """It has no flag."""
    subscription, wire = made()
    assert not subscription.is_stored(TOPIC, [wire.number or 0], retain=False)


def test_what_waited_in_the_session_is_no_kept_message() -> None:
    """It was sent while we were away, for a subscription with another number."""
    subscription, wire = made("mes/line3/orders")
    number = wire.number or 0
    assert not subscription.is_stored(TOPIC, [number + 1], retain=True)
    assert subscription.is_stored(TOPIC, [number], retain=True)


def test_mqtt_3_has_the_flag_for_kept_messages_alone() -> None:
    """A live one comes without it, so that the flag says it all."""
    subscription, wire = made(is_v5=False)
    assert wire.filters == [(name, 1) for name in subscription.filters]
    assert [subscription.is_stored(TOPIC, (), retain=True) for _ in range(3)] == [True] * 3
    assert not subscription.is_stored(TOPIC, (), retain=False)


def test_a_broker_of_a_million_topics_costs_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the bound none is told apart: an order is taken for kept, and looked up."""
    monkeypatch.setattr("edge_daemon.messaging.subscription.TOPICS", 2)
    subscription, wire = made("mes/#")
    numbers = [wire.number or 0]
    for topic in ("mes/a", "mes/b", "mes/c"):
        assert subscription.is_stored(topic, numbers, retain=True)
    again = [subscription.is_stored(f"mes/{name}", numbers, retain=True) for name in "abc"]
    assert again == [False, False, True]


CAMPAIGNS = ("fleet/+/stop/+",)


def answers(*granted: bool) -> list[ReasonCode]:
    return [ReasonCode(PacketTypes.SUBACK, identifier=1 if each else 0x80) for each in granted]


def test_what_an_old_broker_refuses_without_a_reason_is_asked_for_again_until_it_is_granted() -> (
    None
):
    """A cluster without a leader does so; what is retained anyway is asked for at QoS 0."""
    wire = Wire()
    client = cast("paho.Client", wire)
    subscription = Subscription(REQUESTS, ORDERS[:1], is_v5=False, kept=CAMPAIGNS)
    subscription.make(client, is_numbered=False, was_taken_over=False)
    assert wire.filters == [(REQUESTS, 1), (ORDERS[0], 1), (CAMPAIGNS[0], 1)]
    wire.filters = []
    subscription.make_again(client)
    assert wire.filters == []  # it has not answered yet
    told = subscription.answered(answers(False, True, False))
    assert list(told) == [REQUESTS, CAMPAIGNS[0]]
    subscription.make_again(client)
    assert wire.filters == [(REQUESTS, 1), (CAMPAIGNS[0], 0)]
    assert subscription.answered(answers(False, True)) == {}  # told once
    subscription.make_again(client)
    assert wire.filters == [(REQUESTS, 1)]
    assert subscription.answered(answers(True)) == {}
    wire.filters = []
    subscription.make_again(client)
    assert wire.filters == []


def test_a_broker_that_says_why_is_not_asked_again() -> None:
    """With MQTT 5 a refusal is one: not authorised today is not authorised in five seconds."""
    subscription, wire = made()
    assert list(subscription.answered(answers(False, True, True))) == [REQUESTS]
    wire.filters = []
    subscription.make_again(cast("paho.Client", wire))
    assert wire.filters == []
