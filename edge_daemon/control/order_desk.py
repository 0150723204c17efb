"""Work orders on their way in: read, put on record, handed to the planner one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from edge_daemon.control.arrivals import OrderArrived
from edge_daemon.control.desk import Desk
from edge_daemon.control.messages import Incoming
from edge_daemon.control.order_memory import OrderMemory
from edge_daemon.control.orders import OrderReader
from edge_daemon.core.events import Event, OrderReceived
from edge_daemon.core.values import JobOrder
from edge_daemon.errors import SenderError

_log = structlog.get_logger(__name__)

Step = Callable[[Event], None]
"""Lets the planner take one event in."""


class OrderDesk:
    """Only the driver's thread calls it."""

    def __init__(self, readers: Sequence[OrderReader], memory: OrderMemory, desk: Desk) -> None:
        self._readers = readers
        self._memory = memory
        self._desk = desk

    def take(self, arrival: OrderArrived, step: Step) -> None:
        """One message of a MES, from its bytes to the planner's last step for it."""
        incoming = arrival.incoming
        if self._memory.is_again(incoming):
            _log.info("order_delivered_again", topic=incoming.topic)
            self._remember(incoming)
        else:
            self._take(arrival.source, incoming, step)
        incoming.done()

    def _take(self, source: int, incoming: Incoming, step: Step) -> None:
        try:
            orders = self._readers[source].read(incoming.payload, incoming.received)
        except SenderError as error:
            _log.warning("order_refused", topic=incoming.topic, error=str(error))
            self._desk.refuse_order(incoming.topic, error)
            return
        for order in orders:
            self._note(order)
            if order is orders[-1]:
                # With what it brings about: a power cut before forgets both, one after neither.
                self._desk.add(self._memory.came(incoming))
            step(OrderReceived(order))
        if not orders:
            self._remember(incoming)

    def _note(self, order: JobOrder) -> None:
        _log.info(
            "order_received",
            job_order=order.id,
            product=order.product,
            word=order.word,
            state=order.state.value if order.state else None,
        )
        self._desk.note_order(order)

    def _remember(self, incoming: Incoming) -> None:
        self._desk.add(self._memory.came(incoming))
        self._desk.flush()
