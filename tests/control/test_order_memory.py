"""What is remembered of orders: no retained message is acted on twice, no product asked twice."""

from __future__ import annotations

from edge_daemon.control.order_memory import DIGEST_BYTES, LIVE, OrderMemory
from edge_daemon.core.job_orders import (
    JobOrder,
    OrderState,
)
from edge_daemon.core.values import Instant
from edge_daemon.host.journal_orders import PRODUCT_LIMIT, TOPIC_LIMIT, OrderRows, TopicRow
from edge_daemon.messaging.messages import Incoming

NOW = Instant(10.0, 1000.0)
TOPIC = "mes/orders"


def live(payload: bytes, topic: str = TOPIC) -> Incoming:
    return Incoming(topic, payload, NOW)


def kept(payload: bytes, topic: str = TOPIC) -> Incoming:
    """As the broker sends it because we subscribed."""
    return Incoming(topic, payload, NOW, retained=True, stored=True)


def order(id: str | None, product: str | None) -> JobOrder:  # noqa: A002 - the contract's word
    return JobOrder(product, OrderState.RUNNING, NOW, id)


def test_what_was_acted_on_is_no_new_order_when_it_comes_again() -> None:
    """Whether it was retained or live then: MQTT 3.1.1 does not tell."""
    for first in (kept(b"order 1"), live(b"order 1")):
        memory = OrderMemory(OrderRows())
        assert not memory.is_again(kept(b"order 1"))
        memory.came(first)
        assert memory.is_again(kept(b"order 1"))
        assert not memory.is_again(kept(b"order 2"))
        assert not memory.is_again(kept(b"order 1", "mes/other"))


def test_a_live_message_is_always_new() -> None:
    """The MES may start the same order twice."""
    memory = OrderMemory(OrderRows())
    memory.came(live(b"order 1"))
    assert not memory.is_again(live(b"order 1"))


def test_a_topic_that_was_cleared_begins_anew() -> None:
    """What is retained next is an order, also with the same words."""
    memory = OrderMemory(OrderRows())
    memory.came(kept(b"order 1"))
    assert memory.came(live(b"")) == TopicRow(TOPIC)
    assert not memory.is_again(kept(b"order 1"))


def test_a_restart_remembers_what_the_rows_say() -> None:
    """Each change is one row of the journal, and no change is none."""
    memory = OrderMemory(OrderRows())
    rows = [memory.came(live(b"order 1")), memory.came(live(b"order 2"))]
    assert memory.came(live(b"order 2")) is None
    assert rows[-1] is not None
    again = OrderMemory(OrderRows(topics=(rows[-1],)))
    assert again.is_again(kept(b"order 1"))
    assert again.is_again(kept(b"order 2"))
    assert not again.is_again(kept(b"order 3"))


def test_one_topic_takes_no_more_than_its_share() -> None:
    """The oldest live messages are forgotten; what the broker retains is not."""
    memory = OrderMemory(OrderRows())
    memory.came(kept(b"retained"))
    for number in range(LIVE + 1):
        row = memory.came(live(b"order %d" % number))
    assert row is not None
    assert len(row.live) == LIVE * DIGEST_BYTES
    assert not memory.is_again(kept(b"order 0"))
    assert memory.is_again(kept(b"order 1"))
    assert memory.is_again(kept(b"retained"))


def test_topics_and_products_are_bounded() -> None:
    """The one that was silent longest goes."""
    memory = OrderMemory(OrderRows())
    for number in range(TOPIC_LIMIT + 1):
        memory.came(live(b"order", f"mes/{number}"))
    assert not memory.is_again(kept(b"order", "mes/0"))
    assert memory.is_again(kept(b"order", "mes/1"))
    for number in range(PRODUCT_LIMIT + 1):
        memory.told(order(f"WO-{number}", "BTL"))
    assert memory.product_of("WO-0") is None
    assert memory.product_of("WO-1") == "BTL"


def test_the_product_told_last_counts() -> None:
    """An order without an id or without a product teaches nothing."""
    memory = OrderMemory(OrderRows())
    assert memory.told(order(None, "BTL")) is None
    assert memory.told(order("WO-1", None)) is None
    assert memory.product_of("WO-1") is None
    for product in ("BTL", "CAN"):
        row = memory.told(order("WO-1", product))
        assert row is not None
        assert (row.product, row.utc) == (product, NOW.utc)
    assert memory.product_of("WO-1") == "CAN"
