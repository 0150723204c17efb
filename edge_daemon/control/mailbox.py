"""The driver's queue: in order, except that orders of the MES overtake requests.

It is built before everything that puts something in. Frames wait until an order has been read. So
orders that wait are taken together, and overtake all but one of the arrivals before them.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from itertools import count

from edge_daemon.control.arrivals import Arrival, Call, OrderArrived, RequestArrived, Stop
from edge_daemon.messaging.messages import Incoming

TOGETHER = 64
"""Most orders that are taken at once: later ones wait for their commit."""

Orders = tuple[OrderArrived, ...]


class Mailbox:
    """Any thread puts, one takes."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._number = count()
        self._orders: deque[tuple[int, OrderArrived]] = deque()
        self._others: deque[tuple[int, Arrival | Stop]] = deque()
        self._let_one_go = False

    def put(self, arrival: Arrival | OrderArrived | Stop) -> None:
        """Returns at once."""
        with self._changed:
            if isinstance(arrival, OrderArrived):
                self._orders.append((next(self._number), arrival))
            else:
                self._others.append((next(self._number), arrival))
            self._changed.notify()

    def put_request(self, verb: str, incoming: Incoming) -> None:
        self.put(RequestArrived(verb, incoming))

    def call(self, work: Callable[[], None]) -> None:
        """Have short work on the records done between two steps."""
        self.put(Call(work))

    def take(self, timeout_s: float) -> Arrival | Orders | Stop | None:
        """The next arrival, or all waiting orders; None after the timeout."""
        with self._changed:
            self._changed.wait_for(lambda: self._orders or self._others, timeout_s)
            if self._orders and not self._is_other_next():
                self._let_one_go = False
                many = min(TOGETHER, len(self._orders))
                return tuple(self._orders.popleft()[1] for _ in range(many))
            if self._others:
                self._let_one_go = True
                return self._others.popleft()[1]
            return None

    def _is_other_next(self) -> bool:
        came_first = bool(self._others) and self._others[0][0] < self._orders[0][0]
        return came_first and not self._let_one_go
