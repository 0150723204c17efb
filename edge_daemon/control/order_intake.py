"""Orders of the MES as they arrive: frames are fenced before anything else is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from edge_daemon.control.arrivals import OrderArrived
from edge_daemon.core.values import JobOrder, OrderState
from edge_daemon.errors import SenderError
from edge_daemon.messaging.messages import Incoming
from edge_daemon.messaging.orders import OrderReader, Reading, orders_told
from edge_daemon.slots.frame_control import FrameControl

_Running = tuple[int, str | None, str | None]
"""The source, the order and the product of a message that says that one order runs."""


class OrderIntake:
    """Called on the network's thread; the driver reads what it puts into the mailbox."""

    def __init__(
        self,
        readers: Sequence[OrderReader],
        line: FrameControl,
        put: Callable[[OrderArrived], None],
    ) -> None:
        self._readers = readers
        self._line = line
        self._put = put
        self._runs: _Running | None = None
        """What the newest message said that runs: said again it changes nothing."""

    def came(self, source: int, incoming: Incoming) -> None:
        """No frame captured from now on is judged before the order was read: it may be its own.

        It is read so far that the fence is lifted at once where no frame can be of another order:
        a word that means nothing or that an order is done, and what runs already.
        """
        arrived = replace(incoming, received=self._line.fence())
        readings, is_whole = self._read(source, arrived)
        is_fenced = self._is_for_frames(source, arrived, readings)
        if not is_fenced:
            self._line.lift(arrived.received.at)
        self._put(OrderArrived(source, arrived, is_fenced, readings if is_whole else None))

    def _read(self, source: int, incoming: Incoming) -> tuple[tuple[Reading, ...], bool]:
        """The orders, and whether no earlier message is needed to read them."""
        unknown: list[str] = []

        def product_of(order: str) -> str:
            unknown.append(order)
            return ""

        try:
            found = self._readers[source].read(incoming.payload, incoming.received, product_of)
        except SenderError:
            return (), False
        return found, not unknown

    def _is_for_frames(
        self, source: int, incoming: Incoming, readings: tuple[Reading, ...]
    ) -> bool:
        orders = [o for o in orders_told(readings, incoming.received) if o.state is not None]
        if not orders:
            return False
        ran, self._runs = self._runs, None
        if not (incoming.retained or incoming.stored) and [*readings] == orders[:1]:
            self._runs = _running(source, orders[0])
        if self._runs is not None and self._runs == ran:
            return False
        return any(order.state is not OrderState.COMPLETED for order in orders)


def _running(source: int, order: JobOrder) -> _Running | None:
    return (source, order.id, order.product) if order.state is OrderState.RUNNING else None
