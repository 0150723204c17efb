"""A MES's orders in the journal: which ones came by a topic, and the product of each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from edge_daemon.host.journal_sql import Rows, Run, insert

TOPIC_LIMIT = 1_024
"""Topics whose last orders are known; beyond it the one that was silent longest goes."""
PRODUCT_LIMIT = 4_096
"""Orders whose product is known; beyond it the one that was told longest ago goes."""


@dataclass(frozen=True)
class TopicRow:
    """Digests of the orders that came by one topic, one after the other.

    `kept` is what the broker was seen to keep there; `live` came since, kept or not.
    """

    topic: str
    kept: bytes = b""
    live: bytes = b""


@dataclass(frozen=True)
class ProductRow:
    """What one job order makes, and when that was told."""

    job_order: str
    product: str
    utc: float


class OrderRows(NamedTuple):
    """All of it, the oldest first."""

    topics: tuple[TopicRow, ...] = ()
    products: tuple[ProductRow, ...] = ()


def read(rows: Rows) -> OrderRows:
    """Everything that is kept."""
    topics = rows("SELECT topic, kept, live FROM order_topics ORDER BY seq")
    products = rows("SELECT job_order, product, utc FROM order_products ORDER BY seq")
    return OrderRows(
        tuple(TopicRow(*row) for row in topics), tuple(ProductRow(*row) for row in products)
    )


def find(rows: Rows, job_order: str) -> ProductRow | None:
    """What one order makes; None where nobody told it."""
    sql = "SELECT job_order, product, utc FROM order_products WHERE job_order = ?"
    return next((ProductRow(*row) for row in rows(sql, job_order)), None)


def write(run: Run, topics: Iterable[TopicRow], products: Iterable[ProductRow]) -> None:
    """Each row replaces the one of its topic or order; a topic without digests is forgotten."""
    for topic in topics:
        run("DELETE FROM order_topics WHERE topic = ?", topic.topic)
        if topic.kept or topic.live:
            insert(run, "order_topics", topic)
            _trim(run, "order_topics", TOPIC_LIMIT)
    for product in products:
        run("DELETE FROM order_products WHERE job_order = ?", product.job_order)
        insert(run, "order_products", product)
        _trim(run, "order_products", PRODUCT_LIMIT)


def _trim(run: Run, table: str, limit: int) -> None:
    run(
        f"DELETE FROM {table} WHERE seq <= "  # noqa: S608 - one of the two names above
        f"(SELECT seq FROM {table} ORDER BY seq DESC LIMIT 1 OFFSET ?)",
        limit,
    )
