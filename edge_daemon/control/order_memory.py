"""What is remembered of a MES's orders besides the running one; it survives a restart.

A broker sends its retained messages again whenever it has lost our session, and with MQTT 3.1.1 at
every subscription. So digests of the payloads of each topic are kept: a payload that was acted on
before is no new order when the broker sends it as a retained one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TypeVar

from edge_daemon.core.job_orders import JobOrder
from edge_daemon.host.journal_orders import (
    PRODUCT_LIMIT,
    TOPIC_LIMIT,
    OrderRows,
    ProductRow,
    TopicRow,
)
from edge_daemon.messaging.document import text_of
from edge_daemon.messaging.messages import Incoming

DIGEST_BYTES = 16
LIVE = 64
"""Live messages of one topic that are remembered: with MQTT 3.1.1 each may be the kept one."""

_Row = TypeVar("_Row")


class OrderMemory:
    """Reads the journal at the start; returns the rows to be written."""

    def __init__(self, told: OrderRows) -> None:
        self._topics = {row.topic: row for row in told.topics}
        self._products = {row.job_order: row for row in told.products}

    # ------------------------------------------------------------------ messages

    def is_again(self, incoming: Incoming) -> bool:
        """Whether the broker only resends what it retains and what was acted on before."""
        row = self._topics.get(incoming.topic)
        if not incoming.stored or row is None:
            return False
        return _digest(incoming.payload) in (row.kept, *_split(row.live))

    def came(self, incoming: Incoming) -> TopicRow | None:
        """Remember a message that was acted on; the row to write, or None if nothing changed.

        A retained message shows what the broker retains. A live message may be retained too: MQTT
        3.1.1 does not tell, and some brokers of MQTT 5 do not either.
        """
        old = self._topics.get(incoming.topic, TopicRow(incoming.topic))
        digest = _digest(incoming.payload)
        if not text_of(incoming.payload):  # cleared: what is retained next is new
            new = TopicRow(incoming.topic)
        elif incoming.retained:
            new = TopicRow(incoming.topic, kept=digest)
        else:
            others = [one for one in _split(old.live) if one != digest]
            new = TopicRow(incoming.topic, old.kept, b"".join([*others, digest][-LIVE:]))
        if new == old:
            return None
        _put(self._topics, incoming.topic, new, TOPIC_LIMIT)
        return new

    # ------------------------------------------------------------------ products

    def product_of(self, job_order: str) -> str | None:
        """The product of an order that was announced before."""
        row = self._products.get(job_order)
        return row.product if row else None

    def told(self, order: JobOrder) -> ProductRow | None:
        """Remember the product of an order; the row to write, or None if it names none."""
        if order.id is None or order.product is None:
            return None
        row = ProductRow(order.id, order.product, order.arrived.utc)
        _put(self._products, order.id, row, PRODUCT_LIMIT)
        return row


def _put(rows: dict[str, _Row], key: str, row: _Row, limit: int) -> None:
    """As the newest; beyond the limit the oldest is dropped."""
    rows.pop(key, None)
    rows[key] = row
    while len(rows) > limit:
        del rows[next(iter(rows))]


def _digest(payload: bytes) -> bytes:
    return hashlib.sha256(payload).digest()[:DIGEST_BYTES]


def _split(digests: bytes) -> Iterable[bytes]:
    return (digests[at : at + DIGEST_BYTES] for at in range(0, len(digests), DIGEST_BYTES))
