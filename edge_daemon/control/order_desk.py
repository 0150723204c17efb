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
from edge_daemon.core.events import OrderReceived
from edge_daemon.core.values import Instant, JobOrder, OrderState
from edge_daemon.errors import SenderError
from edge_daemon.host.clock import Clock

_log = structlog.get_logger(__name__)

_Running = tuple[int, str | None, str | None]
"""The source, the order and the product of a message that says that one order runs."""


class OrderDesk:
    """Only the driver's thread calls it, except `problems` and `arrived`."""

    def __init__(
        self, readers: Sequence[OrderReader], memory: OrderMemory, desk: Desk, clock: Clock
    ) -> None:
        self._readers = readers
        self._memory = memory
        self._desk = desk
        self._clock = clock
        self._refusals = Refusals()
        self._runs: _Running | None = None
        """What the newest message said that runs: said again it changes nothing."""

    def problems(self) -> tuple[str, ...]:
        """Which topics cannot be read, in a sentence."""
        return self._refusals.problems(self._clock.now())

    def tick(self) -> None:
        """Tell how many more could not be read, once a minute."""
        self._tell(self._refusals.tick(self._clock.now()))

    def arrived(
        self, source: int, incoming: Incoming, lift: Callable[[float], None]
    ) -> OrderArrived:
        """A message as it came in, with frames fenced since `received`; on the network's thread.

        It is read so far that the fence is lifted at once where no frame can be of another order:
        a word that means nothing or that an order is done, and what runs already.
        """
        is_fenced = self._is_for_frames(source, incoming)
        if not is_fenced:
            lift(incoming.received.at)
        return OrderArrived(source, incoming, is_fenced)

    def read(self, arrivals: Iterable[OrderArrived]) -> list[OrderReceived]:
        """Messages of a MES, one after the other: what the planner is told of them.

        What is put on record for them is written with the step that follows.
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
                # With what it brings about: a power cut before forgets both, one after neither.
                self._desk.note_topic(self._memory.came(arrival.incoming))
        return events

    def _read(self, arrival: OrderArrived) -> list[JobOrder] | None:
        """None where nothing could be read: corrected settings may read it when it comes again."""
        incoming = arrival.incoming
        reader = self._readers[arrival.source]
        try:
            readings = reader.read(incoming.payload, incoming.received, self._memory.product_of)
        except SenderError as error:
            self._refuse(incoming.topic, error)
            return None
        for reading in readings:
            if isinstance(reading, Unreadable):
                self._refuse(incoming.topic, reading.error)
        orders = list(_orders(readings, incoming.received))
        for order in orders:
            if order in readings:
                self._note(order)
        return orders if orders or not readings else None

    def _is_for_frames(self, source: int, incoming: Incoming) -> bool:
        try:
            readings = self._readers[source].read(incoming.payload, incoming.received, lambda _: "")
        except SenderError:
            return False
        orders = [o for o in _orders(readings, incoming.received) if o.state is not None]
        if not orders:
            return False
        ran, self._runs = self._runs, None
        if not (incoming.retained or incoming.stored) and [*readings] == orders[:1]:
            self._runs = _running(source, orders[0])
        if self._runs is not None and self._runs == ran:
            return False
        return any(order.state is not OrderState.COMPLETED for order in orders)

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


def _running(source: int, order: JobOrder) -> _Running | None:
    return (source, order.id, order.product) if order.state is OrderState.RUNNING else None


def _orders(readings: Sequence[Reading], arrived: Instant) -> Iterator[JobOrder]:
    """What the planner is told. An order that runs and cannot be read runs all the same: no model
    may judge its frames."""
    for reading in readings:
        if isinstance(reading, JobOrder):
            yield reading
        elif reading.runs:
            yield JobOrder(None, OrderState.RUNNING, arrived, reading.id, reading.word)
