"""What passes between the control room and its carriers: MQTT, socket, simulator."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

import msgspec

from edge_daemon.core.values import Instant, Request
from edge_daemon.messaging.answer import Answer, TakeAnswer, nobody


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class ReplyTo:
    """Where a sender wants its answers besides `response/<verb>`; kept with the request."""

    response_topic: str | None = None
    correlation: bytes | None = None

    def to_json(self) -> bytes:
        correlation = None if self.correlation is None else self.correlation.hex()
        return json.dumps({"topic": self.response_topic, "correlation": correlation}).encode()

    @classmethod
    def from_json(cls, stored: bytes) -> ReplyTo:
        """Read what `to_json` wrote; anything else is no address, and `response/<verb>` is left."""
        try:
            read = msgspec.json.decode(stored, type=dict[str, str | None])
            correlation = read.get("correlation")
            told = None if correlation is None else bytes.fromhex(correlation)
            return cls(read.get("topic"), told)
        except ValueError:
            return cls()


MOST_WAITING = 64
"""Senders that wait in this process for one request; with more, the oldest repeat is forgotten."""


@dataclass
class ReplyRoutes:
    """Where the answers to an open request go: on MQTT, and to all in this process who asked it."""

    reply_to: ReplyTo = ReplyTo()
    waiting: list[TakeAnswer] = field(default_factory=list)

    def add(self, reply: TakeAnswer) -> None:
        """The same is asked once more; the first who asked keeps its place."""
        if reply is nobody:
            return
        if len(self.waiting) >= MOST_WAITING:
            del self.waiting[1]
        self.waiting.append(reply)

    def tell(self, answer: Answer) -> None:
        """Those who wait in this process."""
        for reply in self.waiting:
            reply(answer)


@dataclass(frozen=True)
class Incoming:
    """One message as it arrived, unread; `received` was stamped before anything else.

    `done` acknowledges it to its carrier: call it, from any thread, once what must survive a
    power cut is in the journal. Without it the message comes again with the next connection.
    `stored` tells that the broker had it in keeping and sent it because we subscribed: it may
    have been sent before. `waited` tells that it came to the broker while nobody was connected
    here, and nobody knows when. `content` is what it says where its sender has read it already: the
    fields of a request, or a whole request of the daemon's own, which needs no check. `reply` takes
    the answers to a sender that waits in this process.
    """

    topic: str
    payload: bytes
    received: Instant
    retained: bool = False
    response_topic: str | None = None
    correlation: bytes | None = None
    message_expiry_s: int | None = None
    done: Callable[[], None] = _nothing
    stored: bool = False
    waited: bool = False
    content: Mapping[str, Any] | Request | None = None
    reply: TakeAnswer = nobody

    @property
    def reply_to(self) -> ReplyTo:
        return ReplyTo(self.response_topic, self.correlation)

    @property
    def ways_back(self) -> ReplyRoutes:
        """To the sender of this one alone."""
        return ReplyRoutes(self.reply_to, [self.reply])


class Delivery(str, Enum):
    """What became of a message that was handed to the broker's connection."""

    DELIVERED = "delivered"  # the broker has acknowledged it (QoS 0: it was handed over)
    REFUSED = "refused"  # the broker answered that it does not take it
    LOST = "lost"  # the connection ended first; whether it arrived is not known


class Sent(Protocol):
    """The fate of one message on its way."""

    def wait(self, timeout_s: float) -> Delivery | None:
        """Block until the fate is known; None when it is not after `timeout_s`."""
        ...


class Carrier(Protocol):
    """What the rest of the house needs of a broker's session."""

    @property
    def online(self) -> bool:
        """True between the broker's welcome and the end of the connection."""
        ...

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        correlation: bytes | None = None,
    ) -> Sent | None:
        """Hand over without waiting; None where it was not taken (offline, or no room)."""
        ...

    def respond(self, verb: str, payload: bytes, reply_to: ReplyTo) -> None:
        """Answer on `response/<verb>` and at the sender's own address."""
        ...


def respond(carrier: Carrier, verb: str, answer: Answer, ways: ReplyRoutes) -> None:
    """To `response/<verb>` always, and on these ways."""
    carrier.respond(verb, answer.body, ways.reply_to)
    ways.tell(answer)


@dataclass(frozen=True)
class Handlers:
    """Who is told. All run on the carrier's network thread: be brief, hand over, return.

    `on_request(verb, incoming)`: the verb is the topic's last level, unchecked.
    `on_order(source, incoming)`: `source` is the place of the filter that matched.
    `on_fleet(incoming)`: a message of a campaign, where `SessionSpec` has filters for them.
    `on_online()`: the connection stands; publish every retained state now.
    """

    on_request: Callable[[str, Incoming], None]
    on_order: Callable[[int, Incoming], None]
    on_online: Callable[[], None] = _nothing
    on_fleet: Callable[[Incoming], None] = lambda incoming: incoming.done()
