"""What one connection subscribes to, and which orders are the broker's retained ones."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge_daemon.messaging.topics import is_match

TOPICS = 4096
"""Topics of which is known whether what the broker keeps came already."""
_LARGEST_NUMBER = 0xFFFFFFF  # MQTT 5, 3.8.2.1.2: Subscription Identifier


class Subscription:
    """Requests and orders of one connection; only its network thread calls, but for `make_again`.

    `kept`: filters of what is always retained, and whole in each message.

    What is retained of the orders is asked for with each connection: another client with our id
    may have had the session, and the order that came meanwhile. With MQTT 5 a live message has its
    flag too (Retain As Published), and what waited in the session comes before what is kept. So a
    subscription has a number of its own: what waited has an older one.
    """

    def __init__(
        self, requests: str, orders: Sequence[str], *, is_v5: bool, kept: Sequence[str] = ()
    ) -> None:
        self._requests = requests
        self._orders = (*orders, *kept)
        self._kept = kept
        self._is_v5 = is_v5
        self._number: int | None = None
        self.is_confirmed = False
        """Whether the broker has answered: it passes on what comes from here on."""
        self._came: dict[str, int] = {}
        self._asked: tuple[str, ...] = ()
        self._refused: tuple[str, ...] = ()

    @property
    def filters(self) -> tuple[str, ...]:
        """In the order in which the broker answers."""
        return (self._requests, *self._orders)

    def make(self, client: paho.Client, *, is_numbered: bool, was_taken_over: bool) -> None:
        """All in one packet; on a session that stands nothing that waits is lost.

        Args:
            is_numbered: the broker keeps Subscription Identifiers. One that does not is asked for
                what it keeps only where the last connection `was_taken_over`: there it cannot be
                told from what waited.
        """
        self._asked = self.filters
        if not self._is_v5:
            client.subscribe([(name, 1) for name in self.filters])
            return
        properties = None
        if is_numbered:
            self._number = 1 + secrets.randbelow(_LARGEST_NUMBER)
            properties = Properties(PacketTypes.SUBSCRIBE)
            properties.SubscriptionIdentifier = self._number
        # A retained request is never sent on subscribing, and known if it slips through.
        for_requests = SubscribeOptions(qos=1, retainAsPublished=True, retainHandling=2)
        for_orders = SubscribeOptions(
            qos=1,
            noLocal=True,
            retainAsPublished=True,
            retainHandling=0 if is_numbered or was_taken_over else 1,
        )
        options = [(self._requests, for_requests), *((name, for_orders) for name in self._orders)]
        client.subscribe(options, properties=properties)

    def answered(self, reasons: Sequence[ReasonCode]) -> dict[str, str]:
        """The broker's answer to the newest packet: what it refuses for the first time, and why."""
        answered = zip(self._asked, reasons, strict=False)
        failed = {name: str(reason) for name, reason in answered if reason.is_failure}
        before = self._refused
        self._refused, self._asked = tuple(failed), ()
        self.is_confirmed = True
        return {name: reason for name, reason in failed.items() if name not in before}

    def make_again(self, client: paho.Client) -> None:
        """Ask once more for what was refused, where the broker has no word for why.

        So a NATS cluster refuses while it has no leader for what it would keep for us. What is
        retained needs no keeping: at QoS 0 it is granted at once. Any thread.
        """
        if self._is_v5 or self._asked or not self._refused:
            return
        self._asked = self._refused
        client.subscribe([(name, 0 if name in self._kept else 1) for name in self._asked])

    def has_waited(self, numbers: Sequence[int]) -> bool:
        """Whether a message came while nobody was connected here, so that its age is not known.

        `numbers`: of the subscriptions that it was sent for. Where a broker names none, what comes
        before its answer to ours has waited; of a long queue the rest may come after it.
        """
        if self._number is not None and numbers:
            return self._number not in numbers
        return not self.is_confirmed

    def is_stored(self, topic: str, numbers: Sequence[int], *, retain: bool) -> bool:
        """Whether the broker sends what it keeps, because we subscribed.

        It comes before any live message, once for each filter that matches. Past `TOPICS` none is
        told apart. `numbers`: of the subscriptions that a message was sent for, where it says so.
        """
        if not retain or not self._is_v5:
            return retain
        if self._number is not None and numbers and self._number not in numbers:
            return False
        came = self._came.get(topic, 0)
        if came or len(self._came) < TOPICS:
            self._came[topic] = came + 1
        return came < sum(is_match(name, topic) for name in self._orders)
