"""What is under way on one connection: results of what was sent, and the order of what came."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from edge_daemon.messaging.messages import Delivery


@dataclass(frozen=True)
class Outgoing:
    """A message on its way to the broker."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    correlation: bytes | None

    @property
    def size_bytes(self) -> int:
        return len(self.payload) + len(self.topic) + len(self.correlation or b"") + 32


class SendResult:
    """`Sent`: decided once, by the broker's acknowledgement or by the connection's end.

    `place` and `size_bytes` are those of `InFlight`, with place 0 where nobody acknowledges;
    `since`: monotonic seconds when it was handed over.
    """

    def __init__(
        self,
        delivery: Delivery | None = None,
        *,
        place: int = 0,
        size_bytes: int = 0,
        since: float = 0.0,
    ) -> None:
        self._delivery = delivery
        self._known = threading.Event()
        self.place = place
        self.size_bytes = size_bytes
        self.since = since
        if delivery is not None:
            self._known.set()

    def decide(self, delivery: Delivery) -> None:
        if self._delivery is None:
            self._delivery = delivery
            self._known.set()

    @property
    def is_decided(self) -> bool:
        return self._delivery is not None

    def wait(self, timeout_s: float) -> Delivery | None:
        self._known.wait(timeout_s)
        return self._delivery


class Unacknowledged:
    """What came on one connection and is not acknowledged yet.

    MQTT wants acknowledgements in the order of arrival [MQTT-4.6.0-2], and some brokers end the
    connection otherwise: one that is ready early waits for those before it.
    """

    def __init__(self, acknowledge: Callable[[int], None]) -> None:
        self._acknowledge = acknowledge
        self._lock = threading.Lock()
        self._waiting: deque[list[int]] = deque()  # [mid, 1 when done]

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, mid: int) -> Callable[[], None]:
        """Take note of one that arrived; returns its `Incoming.done`."""
        entry = [mid, 0]
        with self._lock:
            self._waiting.append(entry)

        def done() -> None:
            with self._lock:
                entry[1] = 1
                while self._waiting and self._waiting[0][1]:
                    self._acknowledge(self._waiting.popleft()[0])

        return done
