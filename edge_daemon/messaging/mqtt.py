"""The session with the MQTT broker: it is restored whatever happens to a connection.

One connection has one client of the library (`connection.py`). When it ends, for whatever reason,
it is thrown away and the next one starts clean: nothing that waited in the library's memory can
overtake newer state, and no acknowledgement reaches a connection that it does not belong to. What
must survive waits in the outbox; what is retained is published again by `on_online`.

    session thread   connect -> watch -> back off with jitter -> connect ...
    network thread   the library's own; its callbacks are wrapped, its death is noticed
"""

from __future__ import annotations

import random
import threading

import structlog

from edge_daemon.host.clock import Clock
from edge_daemon.messaging import payloads
from edge_daemon.messaging.ceiling import Ceiling
from edge_daemon.messaging.connection import Connection, SessionMemory, SessionSpec
from edge_daemon.messaging.in_flight import Outgoing
from edge_daemon.messaging.link import Link
from edge_daemon.messaging.messages import Handlers, ReplyTo, Sent
from edge_daemon.messaging.topics import Topics, is_publishable

__all__ = ["Session", "SessionSpec", "response_addresses"]

STEADY_S = 30.0  # a connection that lasted so long was a good one: back-off starts anew
BACKOFF_S = (0.25, 30.0)
SILENT_S = 30.0  # a broker acknowledges within milliseconds
WELCOMED_FAILURES = 4  # a broker that let us in is asked again within 4 s, however often it ends

_log = structlog.get_logger(__name__)


class Session:
    """A `Carrier` over a real broker; `start` returns at once, whether one is there or not."""

    def __init__(self, spec: SessionSpec, clock: Clock, chance: random.Random) -> None:
        self._spec = spec
        self._clock = clock
        self._chance = chance
        self._stopping = threading.Event()
        self._connection: Connection | None = None
        self._memory = SessionMemory(
            Ceiling(clock, frozenset({spec.topics.info_api})), Link(spec.client_id, clock)
        )
        self._thread: threading.Thread | None = None
        self._counting = threading.Lock()
        self.lost = 0
        """Messages that were dropped since the start: offline, or no room."""

    def start(self, handlers: Handlers) -> None:
        """Connect from now on, and tell these what comes."""
        self._thread = threading.Thread(
            target=self._run, args=(handlers,), name="mqtt-session", daemon=True
        )
        self._thread.start()

    @property
    def online(self) -> bool:
        connection = self._connection
        return connection is not None and connection.online

    def alive(self) -> bool:
        """False while a thread that should be there is not; the network's is replaced in 1 s."""
        connection = self._connection
        is_alive = self._thread is not None and self._thread.is_alive()
        return is_alive and (connection is None or connection.alive())

    def problems(self) -> tuple[str, ...]:
        """What is not as it should be with a broker that lets us in, a sentence each."""
        now, connection = self._clock.now().at, self._connection
        found = list(self._memory.ceiling.problems())
        joined_at = connection.joined_at if connection is not None else None
        if link := self._memory.link.problem(0.0 if joined_at is None else now - joined_at):
            found.append(link)
        since = connection.silent_since if connection is not None else None
        if since is not None and now - since > SILENT_S:
            found.append(f"the broker has acknowledged nothing for {now - since:.0f} s")
        return tuple(found)

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        correlation: bytes | None = None,
    ) -> Sent | None:
        """Hand one message to the connection; never waits. None: not taken, and counted."""
        connection = self._connection
        sent = None
        if connection is not None and connection.online:
            sent = connection.publish(Outgoing(topic, payload, qos, retain, correlation))
        if sent is None and not retain:  # what is retained is told anew with the next connection
            with self._counting:
                self.lost += 1
        return sent

    def room_for(self, topic: str) -> int:
        """The bytes of payload that the broker is likely to take on this topic."""
        return self._memory.ceiling.aim_bytes - Outgoing(topic, b"", 1, False, None).size_bytes

    def respond(self, verb: str, payload: bytes, reply_to: ReplyTo) -> None:
        """Answer on `response/<verb>`, and at the sender's Response Topic where it gave one."""
        for topic, correlation in response_addresses(self._spec.topics, verb, reply_to):
            self.publish(topic, payload, qos=1, correlation=correlation)

    def stop(self, timeout_s: float = 2.0) -> None:
        """Say `stopped`, part from the broker in order, and wait no longer than `timeout_s`."""
        deadline = self._clock.now().at + timeout_s
        self._stopping.set()
        connection = self._connection
        if connection is not None and connection.online:
            farewell = payloads.status("stopped", self._clock.now().utc)
            sent = self.publish(self._spec.topics.status, farewell, qos=1, retain=True)
            if sent is not None:
                sent.wait(max(0.0, deadline - self._clock.now().at))
        if connection is not None:
            connection.part(max(0.1, deadline - self._clock.now().at))
        if self._thread is not None and self._thread.is_alive():
            self._thread.join(max(0.1, deadline - self._clock.now().at))

    def _run(self, handlers: Handlers) -> None:
        failures = 0
        while not self._stopping.is_set():
            began = self._clock.now().at
            connection, why = self._live(handlers)
            if self._stopping.is_set():
                return
            lasted_s = self._clock.now().at - began
            failures = 0 if lasted_s >= STEADY_S else failures + 1
            is_welcomed = connection is not None and connection.joined_at is not None
            if is_welcomed:
                failures = min(failures, WELCOMED_FAILURES)
            first, most = BACKOFF_S
            delay_s = min(most, first * 2.0 ** min(failures, 16)) * self._chance.uniform(0.5, 1.0)
            if connection is None or not is_welcomed or not self._fell(connection, why, lasted_s):
                _log.warning(
                    "broker_lost",
                    error=why,
                    broker=f"{self._spec.settings.host}:{self._spec.settings.port}",
                    retry_s=round(delay_s, 2),
                )
            self._stopping.wait(delay_s)

    def _fell(self, connection: Connection, why: str, lasted_s: float) -> bool:
        """A broker that had let us in is lost; True where the link tells it, once a minute."""
        return self._memory.link.fell(
            why,
            lasted_s,
            is_taken_over=connection.is_taken_over,
            is_explained=connection.ended_by_size(),
        )

    def _live(self, handlers: Handlers) -> tuple[Connection | None, str]:
        """One connection from its first packet to its last; says why it ended."""
        connection = None
        try:
            connection = Connection(self._spec, handlers, self._clock, self._memory)
            self._connection = connection
            return connection, connection.live(self._stopping)
        except Exception as error:
            return connection, f"{type(error).__name__}: {error}"
        finally:
            self._connection = None


def response_addresses(
    topics: Topics, verb: str, reply_to: ReplyTo
) -> tuple[tuple[str, bytes | None], ...]:
    """Every (topic, Correlation Data) that an answer to `verb` goes to."""
    fixed, asked = topics.response(verb), reply_to.response_topic
    if not asked or asked == fixed or not is_publishable(asked):
        return ((fixed, reply_to.correlation),)
    return ((fixed, reply_to.correlation), (asked, reply_to.correlation))
