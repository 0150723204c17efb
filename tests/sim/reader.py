"""Who reads what one station says of itself, as a dashboard does: one connection that stays."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

from edge_daemon.config import Settings
from edge_daemon.core.fleet.report import Phase, Report
from edge_daemon.messaging.client import NOBODY, Client
from edge_daemon.messaging.fleet_payloads import read_report
from tests.sim.line import GENEROUS_S


class Reader:
    """The newest payload of each topic."""

    def __init__(self, settings: Settings, *more: str) -> None:
        self._client = Client.of(settings)
        self._fleet, self._health = f"{settings.root}/fleet", f"{settings.root}/health"
        self._filters = (self._fleet, self._health, *more)
        self._newest: dict[str, bytes] = {}
        self._changed = threading.Condition()

    def __enter__(self) -> Reader:
        self._client.__enter__()
        for each in self._filters:
            self._client.listen(each, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def _take(self, topic: str, body: bytes) -> None:
        with self._changed:
            self._newest[topic] = body
            self._changed.notify_all()

    def say(self, topic: str, body: bytes) -> None:
        """Retained; returns when the broker has taken it."""
        assert self._client.publish(topic, body, retain=True) in ("", NOBODY)

    def forget(self) -> None:
        """What counts is what comes from now on."""
        with self._changed:
            self._newest.clear()

    def newest(self, topic: str) -> bytes:
        return self._newest.get(topic, b"")

    @property
    def report(self) -> Report:
        """The newest; there must be one."""
        return read_report(self.newest(self._fleet))

    @property
    def problems(self) -> str:
        """Those in the newest health."""
        return str(json.loads(self.newest(self._health) or b"{}").get("problems", ""))

    def until(self, condition: Callable[[], object], what: str) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, GENEROUS_S), f"{what}: {self._newest}"

    def until_report(self, condition: Callable[[Report], object], what: str) -> Report:
        """The first from now on of which this holds; it may be the newest."""
        found: list[Report] = []

        def holds() -> bool:
            if self.newest(self._fleet) and condition(self.report):
                found.append(self.report)
            return bool(found)

        self.until(holds, what)
        return found[0]

    def until_stands(self, model: str, phase: Phase) -> Report:
        """Until the station says that this model stands so."""
        return self.until_report(lambda said: (said.model, said.phase) == (model, phase), model)
