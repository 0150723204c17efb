"""Orders of the MES as they arrive: frames are fenced off before anything else is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace

from edge_daemon.control.arrivals import OrderArrived
from edge_daemon.core.job_orders import JobOrder, OrderState
from edge_daemon.errors import SenderError
from edge_daemon.messaging.messages import Incoming
from edge_daemon.messaging.orders import OrderReader, Reading, orders_told
from edge_daemon.slots.frame_control import FrameControl

_Running = tuple[int, str | None, str | None]
"""The source, the order and the product of a message that says that one order runs."""


class OrderIntake:
    """Called on the network thread; the driver reads what it puts into the mailbox."""

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
        """The running order of the newest message: a repetition changes nothing."""

    def came(self, source: int, incoming: Incoming) -> None:
        """Fence off frames captured from now on until the order is read: they may belong to it.

        The fence is lifted at once if no frame can belong to another order: the status means
        nothing or that an order is done, or the order runs already; and whatever fails here.
        """
        arrived = replace(incoming, received=self._line.fence())
        with ExitStack() as unfenced:
            unfenced.callback(self._line.lift, arrived.received.at)
            readings, is_whole = self._read(source, arrived)
            is_fenced = self._is_for_frames(source, arrived, readings)
            self._put(OrderArrived(source, arrived, is_fenced, readings if is_whole else None))
            if is_fenced:
                unfenced.pop_all()

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
