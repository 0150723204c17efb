"""All stations' words as they come, for as long as somebody looks."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from edge_daemon.errors import BrokerError
from edge_daemon.fleet.campaign_view import CampaignsView
from edge_daemon.fleet.evaluator import CAMPAIGN_FILTERS, Reports, device_at
from edge_daemon.fleet.ledger import Retained, read_ledger
from edge_daemon.fleet.shown import station, summary
from edge_daemon.messaging.client import Client
from edge_daemon.models.countersigned import Signers

FRESH_S = 2.0
"""However many look, the ledger is made anew so often at most."""


class FleetWatch:
    """Hears reports and statuses below some roots, and campaigns; `state`: from any thread.

    `signers`: whose campaigns are shown; None: anybody's.
    """

    def __init__(
        self,
        client: Client,
        roots: Sequence[str],
        inventory: Sequence[str] | None = None,
        signers: Signers | None = None,
    ) -> None:
        self._inventory = inventory
        self._campaigns = CampaignsView(signers, inventory)
        self._words = Reports(device_at, lambda: client.connected_since)
        self._lock = threading.Lock()
        self._reports: dict[str, bytes] = {}
        self._statuses: dict[str, bytes] = {}
        self._state: dict[str, Any] = {}
        self._state_at = float("-inf")
        for root in roots:
            client.listen(f"{root}/fleet", self._take)
            client.listen(f"{root}/status", self._take)
        for each in CAMPAIGN_FILTERS:
            with suppress(BrokerError):  # the stations are shown to those too who may not read it
                client.listen(each, self._campaigns.take)

    def _take(self, topic: str, payload: bytes) -> None:
        root, _, kind = topic.rpartition("/")
        if kind == "fleet":
            self._words.take(topic, payload, time.monotonic())
        with self._lock:
            (self._reports if kind == "fleet" else self._statuses)[root] = payload

    def state(self) -> dict[str, Any]:
        """What the page shows: the summary of the ledger, and every station."""
        with self._lock:
            if time.monotonic() - self._state_at < FRESH_S:
                return self._state
            kept = Retained(dict(self._reports), dict(self._statuses))
        ledger = read_ledger(kept, time.time(), self._inventory)
        made = {
            **summary(ledger),
            "campaigns": self._campaigns.shown(self._words, time.monotonic(), time.time()),
            "lines": [station(line) for line in ledger.lines],
        }
        with self._lock:
            self._state, self._state_at = made, time.monotonic()
        return made
