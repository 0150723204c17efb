"""How large a message the broker accepts: as it announced, or as it showed by closing connections.

MQTT 3.1.1 has no such announcement: a broker closes the connection over a message that is too
large, and would do so every time, for retained messages are published again on each connection. So
the largest message that was being sent when connections ended is found, and not sent again as it
was.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

import structlog

from edge_daemon.host.clock import Clock
from edge_daemon.messaging.in_flight import Outgoing
from edge_daemon.messaging.shorten import shortened

LEAST_BYTES = 1024
"""No broker's limit is smaller: a connection that ends under less ended for another reason."""
MOST_BYTES = 64 * 1024 * 1024
"""Where the broker announces nothing."""
TRY_AGAIN_S = 3600.0
"""A limit found by closed connections is tried again on the first connection after this time."""

TOPICS = 64
"""Topics that are told apart: which was shortened, or left out."""
_HINT = "Let the broker take messages of that size."

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Weight:
    """A message by the size of its whole packet, which is what a broker's limit counts."""

    topic: str
    packet_bytes: int


class InFlight:
    """What one connection was given and the broker has not acknowledged.

    A broker reads in order: an acknowledgement also tells of all that was sent before, QoS 0 too.
    Only what may be the largest of the rest is kept. Any thread; never waits for another lock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._place = 0
        self._waiting: deque[tuple[int, Weight]] = deque()  # the weights fall from left to right
        self.taken_bytes = 0
        """The largest packet that was acknowledged."""

    def sent(self, weight: Weight) -> int:
        """Note a message on its way; returns its place in the order."""
        with self._lock:
            self._place += 1
            while self._waiting and self._waiting[-1][1].packet_bytes <= weight.packet_bytes:
                self._waiting.pop()
            self._waiting.append((self._place, weight))
            return self._place

    def acknowledged(self, place: int, packet_bytes: int) -> None:
        with self._lock:
            self.taken_bytes = max(self.taken_bytes, packet_bytes)
            while self._waiting and self._waiting[0][0] <= place:
                self._waiting.popleft()

    @property
    def largest(self) -> Weight | None:
        with self._lock:
            return self._waiting[0][1] if self._waiting else None


class Ceiling:
    """What is known of one broker's limit, over all its connections; any thread.

    `optional`: topics whose absence is logged, but is no problem of health.
    """

    def __init__(self, clock: Clock, optional: frozenset[str] = frozenset()) -> None:
        self._clock = clock
        self._optional = optional
        self._lock = threading.Lock()
        self._announced = MOST_BYTES
        self._refused = MOST_BYTES + 1  # packets of this size ended connections
        self._refused_at = 0.0
        self._taken = 0
        self._suspect = ""
        self._culprits: dict[str, Weight] = {}
        self._left_out: dict[str, Weight] = {}
        self._shortened: dict[str, Weight] = {}

    # ------------------------------------------------------------------ learning

    def joined(self, announced: int | None) -> None:
        """A broker accepted us, perhaps another one than before, or with other settings."""
        with self._lock:
            is_old = self._clock.now().at - self._refused_at > TRY_AGAIN_S
            if (announced or MOST_BYTES) != self._announced or (self._culprits and is_old):
                self._refused, self._taken = MOST_BYTES + 1, 0
                self._culprits.clear()
                self._forget_told()
            self._announced = announced or MOST_BYTES

    def ended(self, in_flight: InFlight, *, by_size: bool = False) -> bool:
        """A connection ended; True where a message's size explains it.

        A torn cable looks the same, so it must happen twice under the same topic, and under a
        packet larger than all that this connection took. Once a limit is found, once is enough,
        as it is where the broker says so (`by_size`).
        """
        largest, taken = in_flight.largest, in_flight.taken_bytes
        with self._lock:
            if largest is None or largest.packet_bytes <= max(taken, LEAST_BYTES):
                self._suspect = ""
                return False
            is_again = largest.topic == self._suspect
            self._suspect = largest.topic
            if not (is_again or by_size or self._culprits):
                return False
            self._refused = min(self._refused, largest.packet_bytes)
            self._refused_at = self._clock.now().at
            self._taken = max(taken, min(self._taken, self._refused - 1))
            self._culprits[largest.topic] = largest
            self._forget_told()
        _log.error(
            "broker_hung_up_on_message",
            topic=largest.topic,
            size_bytes=largest.packet_bytes,
            hint=f"{_HINT} It is shortened or left out now.",
        )
        return True

    def _forget_told(self) -> None:
        self._left_out.clear()
        self._shortened.clear()

    # ------------------------------------------------------------------ using

    def fit(self, message: Outgoing) -> Outgoing | None:
        """The message as the broker takes it: whole or shortened; None if it must be left out."""
        size = message.size_bytes
        aim = self.aim_bytes
        if size <= aim:
            return message
        body = shortened(message.payload, aim - (size - len(message.payload)))
        weight = Weight(message.topic, size)
        facts = {"topic": message.topic, "size_bytes": size, "hint": _HINT}
        if body is not None:
            if self._is_new(weight, self._shortened):
                _log.warning("message_shortened", to_bytes=len(body), **facts)
            return replace(message, payload=body)
        if size <= self._announced and size < self._refused:
            return message  # between what was taken and what was refused: it is tried
        if self._is_new(weight, self._left_out):
            _log.error("message_too_large", limit_bytes=self.limit_bytes, **facts)
        return None

    @property
    def aim_bytes(self) -> int:
        """A packet that is likely to be taken; after hang-ups, half of what was refused."""
        if self._refused > MOST_BYTES:
            return self._announced
        return min(self._announced, max(self._taken, self._refused // 2))

    def _is_new(self, weight: Weight, told: dict[str, Weight]) -> bool:
        """Whether its topic is to be told; past `TOPICS` none is: strangers name topics too."""
        with self._lock:
            is_new = weight.topic not in told
            if is_new and len(told) >= TOPICS:
                return False
            told[weight.topic] = weight
            return is_new

    # ------------------------------------------------------------------ telling

    @property
    def limit_bytes(self) -> int:
        """The largest packet that may be tried."""
        return min(self._announced, self._refused - 1)

    def problems(self) -> Iterator[str]:
        """A sentence for each message that the broker does not take."""
        with self._lock:
            culprits, left_out = dict(self._culprits), dict(self._left_out)
        for topic, weight in culprits.items():
            what = "left out" if topic in left_out else "shortened"
            yield (
                f"the broker ended the connection over {topic} of {weight.packet_bytes} bytes: "
                f"it is {what}"
            )
        for topic, weight in left_out.items():
            if topic not in culprits and topic not in self._optional:
                yield (
                    f"{topic} of {weight.packet_bytes} bytes is left out: the broker takes "
                    f"{self.limit_bytes}"
                )
