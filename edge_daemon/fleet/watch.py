"""All stations' words as they come, for as long as somebody looks."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from edge_daemon.fleet.ledger import Retained, read_ledger
from edge_daemon.fleet.shown import station, summary
from edge_daemon.messaging.client import Client

FRESH_S = 2.0
"""However many look, the ledger is made anew so often at most."""


class FleetWatch:
    """Hears reports and statuses below some roots; `state` may be called from any thread."""

    def __init__(
        self, client: Client, roots: Sequence[str], inventory: Sequence[str] | None = None
    ) -> None:
        self._inventory = inventory
        self._lock = threading.Lock()
        self._reports: dict[str, bytes] = {}
        self._statuses: dict[str, bytes] = {}
        self._state: dict[str, Any] = {}
        self._state_at = float("-inf")
        for root in roots:
            client.listen(f"{root}/fleet", self._take)
            client.listen(f"{root}/status", self._take)

    def _take(self, topic: str, payload: bytes) -> None:
        root, _, kind = topic.rpartition("/")
        with self._lock:
            (self._reports if kind == "fleet" else self._statuses)[root] = payload

    def state(self) -> dict[str, Any]:
        """What the page shows: the summary of the ledger, and every station."""
        with self._lock:
            if time.monotonic() - self._state_at < FRESH_S:
                return self._state
            kept = Retained(dict(self._reports), dict(self._statuses))
        ledger = read_ledger(kept, time.time(), self._inventory)
        made = {**summary(ledger), "lines": [station(line) for line in ledger.lines]}
        with self._lock:
            self._state, self._state_at = made, time.monotonic()
        return made
