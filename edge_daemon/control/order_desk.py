"""Work orders on their way in: read, put on record, handed to the planner one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import structlog

from edge_daemon.control.arrivals import OrderArrived
from edge_daemon.control.desk import Desk
from edge_daemon.control.messages import Incoming
from edge_daemon.control.order_memory import OrderMemory
from edge_daemon.control.orders import OrderReader, Reading, Unreadable
from edge_daemon.control.refusals import Refusals, Told
from edge_daemon.core.events import Event, OrderReceived
from edge_daemon.core.values import Instant, JobOrder, OrderState
from edge_daemon.errors import SenderError
from edge_daemon.host.clock import Clock

_log = structlog.get_logger(__name__)

Step = Callable[[Event], None]
"""Lets the planner take one event in."""


class OrderDesk:
    """Only the driver's thread calls it, except `problems`."""

    def __init__(
        self, readers: Sequence[OrderReader], memory: OrderMemory, desk: Desk, clock: Clock
    ) -> None:
        self._readers = readers
        self._memory = memory
        self._desk = desk
        self._clock = clock
        self._refusals = Refusals()

    def problems(self) -> tuple[str, ...]:
        """Which topics cannot be read, in a sentence."""
        return self._refusals.problems(self._clock.now())

    def tick(self) -> None:
        """Tell how many more could not be read, once a minute."""
        self._tell(self._refusals.tick(self._clock.now()))

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
        reader = self._readers[source]
        try:
            readings = reader.read(incoming.payload, incoming.received, self._memory.product_of)
        except SenderError as error:
            self._refuse(incoming.topic, error)
            return
        for reading in readings:
            if isinstance(reading, Unreadable):
                self._refuse(incoming.topic, reading.error)
        orders = list(_orders(readings, incoming.received))
        for order in orders:
            if order in readings:
                self._note(order)
            if order is orders[-1]:
                # With what it brings about: a power cut before forgets both, one after neither.
                self._desk.add(self._memory.came(incoming))
            step(OrderReceived(order))
        if not readings:
            self._remember(incoming)

    def _refuse(self, topic: str, error: SenderError) -> None:
        self._tell(self._refusals.refused(topic, error, self._clock.now()))

    def _tell(self, refusals: Iterable[Told]) -> None:
        for told in refusals:
            _log.warning("order_refused", topic=told.topic, count=told.count, error=told.error)
            self._desk.refuse_order(told)

    def _note(self, order: JobOrder) -> None:
        _log.info(
            "order_received",
            job_order=order.id,
            product=order.product,
            word=order.word,
            state=order.state.value if order.state else None,
        )
        self._desk.note_order(order, self._memory.told(order))

    def _remember(self, incoming: Incoming) -> None:
        self._desk.add(self._memory.came(incoming))
        self._desk.flush()


def _orders(readings: Sequence[Reading], arrived: Instant) -> Iterator[JobOrder]:
    """What the planner is told. An order that runs and cannot be read runs all the same: no model
    may judge its frames."""
    for reading in readings:
        if isinstance(reading, JobOrder):
            yield reading
        elif reading.runs:
            yield JobOrder(None, OrderState.RUNNING, arrived, reading.id, reading.word)
