"""The answers to requests that came by HTTP: kept until the sender has asked for them."""

from __future__ import annotations

import threading
from collections import OrderedDict

KEPT = 64
"""Requests whose answers are kept; with more, the oldest is forgotten (it is on MQTT too)."""


class Answers:
    """By request id, the newest answer of each; any thread may call."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._news = threading.Condition()
        self._answers: OrderedDict[str, bytes | None] = OrderedDict()

    def expect(self, *ids: str) -> None:
        """Answers under these ids are wanted."""
        with self._news:
            for each in ids:
                self._answers[each] = None
                self._answers.move_to_end(each)
            while len(self._answers) > self._kept:
                self._answers.popitem(last=False)

    def deliver(self, request_id: str, payload: bytes) -> None:
        """An answer came; one that nobody waits for is passed by."""
        with self._news:
            if request_id in self._answers:
                self._answers[request_id] = payload
                self._news.notify_all()

    def get(self, request_id: str) -> bytes | None:
        """The newest answer; None where there is none."""
        with self._news:
            return self._answers.get(request_id)

    def first(self, ids: tuple[str, ...], timeout_s: float) -> bytes | None:
        """Wait for an answer under any of these ids."""
        with self._news:
            self._news.wait_for(lambda: any(self._answers.get(each) for each in ids), timeout_s)
            return next((found for each in ids if (found := self._answers.get(each))), None)
