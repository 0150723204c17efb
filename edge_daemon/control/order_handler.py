"""Incoming work orders: read, recorded, and passed to the planner one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import structlog

from edge_daemon.control.arrivals import OrderArrived
from edge_daemon.control.order_memory import OrderMemory
from edge_daemon.control.recorder import Recorder
from edge_daemon.control.refusals import RefusalReport, Refusals
from edge_daemon.core.events import OrderReceived
from edge_daemon.core.job_orders import JobOrder
from edge_daemon.errors import SenderError
from edge_daemon.host.clock import Clock
from edge_daemon.messaging.orders import OrderReader, Unreadable, orders_told

_log = structlog.get_logger(__name__)


class OrderHandler:
    """Only the driver's thread calls it, except `problems`."""

    def __init__(
        self, readers: Sequence[OrderReader], memory: OrderMemory, recorder: Recorder, clock: Clock
    ) -> None:
        self._readers = readers
        self._memory = memory
        self._recorder = recorder
        self._clock = clock
        self._refusals = Refusals()

    def problems(self) -> tuple[str, ...]:
        return self._refusals.problems(self._clock.now())

    def tick(self) -> None:
        """Report once a minute how many more could not be read."""
        self._tell(self._refusals.tick(self._clock.now()))

    def read(self, arrivals: Iterable[OrderArrived]) -> list[OrderReceived]:
        """The planner's events for messages of a MES, one after the other.

        Their records are written with the step that follows.
        """
        events: list[OrderReceived] = []
        for arrival in arrivals:
            orders: list[JobOrder] | None = []
            if self._memory.is_again(arrival.incoming):
                _log.info("order_delivered_again", topic=arrival.incoming.topic)
            else:
                orders = self._read(arrival)
            if orders is not None:
                events += map(OrderReceived, orders)
                # In one transaction with its effects: a power cut loses both or neither.
                self._recorder.note_topic(self._memory.came(arrival.incoming))
        return events

    def _read(self, arrival: OrderArrived) -> list[JobOrder] | None:
        """None if it cannot be read: with corrected settings it may be read when it comes again."""
        incoming = arrival.incoming
        reader = self._readers[arrival.source]
        readings = arrival.readings
        if readings is None:
            try:
                readings = reader.read(incoming.payload, incoming.received, self._memory.product_of)
            except SenderError as error:
                self._refuse(incoming.topic, error)
                return None
        for reading in readings:
            if isinstance(reading, Unreadable):
                self._refuse(incoming.topic, reading.error)
        orders = list(orders_told(readings, incoming.received))
        for order in orders:
            if order in readings:
                self._note(order)
        return orders if orders or not readings else None

    def _refuse(self, topic: str, error: SenderError) -> None:
        self._tell(self._refusals.refused(topic, error, self._clock.now()))

    def _tell(self, refusals: Iterable[RefusalReport]) -> None:
        for told in refusals:
            _log.warning("order_refused", topic=told.topic, count=told.count, error=told.error)
            self._recorder.refuse_order(told)

    def _note(self, order: JobOrder) -> None:
        _log.info(
            "order_received",
            job_order=order.id,
            product=order.product,
            word=order.word,
            state=order.state.value if order.state else None,
        )
        self._recorder.note_order(order, self._memory.told(order))
