"""Which retained order is what the broker keeps, and which one was published a moment ago."""

from __future__ import annotations

from collections.abc import Sequence

from edge_daemon.control.topics import is_match

TOPICS = 4096
"""Topics of which is known whether what the broker keeps came already."""


class StoredOrders:
    """Watches the retained messages of one connection, on its network thread."""

    def __init__(self, filters: Sequence[str], *, is_v5: bool) -> None:
        self._filters = filters
        self._is_v5 = is_v5
        self._came: dict[str, int] = {}

    def is_stored(self, topic: str, *, retain: bool) -> bool:
        """Whether the broker sends what it keeps, because we subscribed.

        With MQTT 5 a live message has its flag too (Retain As Published), but comes later: what
        is kept comes first, once for each filter that matches. Past `TOPICS` none is told apart.
        """
        if not retain or not self._is_v5:
            return retain
        came = self._came.get(topic, 0)
        if came or len(self._came) < TOPICS:
            self._came[topic] = came + 1
        return came < sum(is_match(name, topic) for name in self._filters)
