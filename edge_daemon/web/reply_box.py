"""Answers to requests that came by HTTP, kept until the sender asks for them."""

from __future__ import annotations

import threading
from collections import OrderedDict

from edge_daemon.messaging.answer import Answer, TakeAnswer

KEPT = 64
"""Ids whose newest answer is kept; with more, the oldest is forgotten (it is on MQTT too)."""


class ReplyBox:
    """The newest answer of each request, by id; any thread may call."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._news = threading.Condition()
        self._answers: OrderedDict[str, Answer | None] = OrderedDict()

    def expect(self, fresh_id: str) -> TakeAnswer:
        """The callback of one request: its answers are stored under this id and under their own."""
        with self._news:
            self._keep(fresh_id, None)

        def reply(answer: Answer) -> None:
            with self._news:
                if fresh_id in self._answers:
                    self._keep(fresh_id, answer)
                    self._keep(answer.id, answer)
                    self._news.notify_all()

        return reply

    def _keep(self, each: str, answer: Answer | None) -> None:
        self._answers[each] = answer
        while len(self._answers) > self._kept:
            self._answers.popitem(last=False)

    def get(self, each: str) -> Answer | None:
        """The newest answer; None if there is none."""
        with self._news:
            return self._answers.get(each)

    def first(self, fresh_id: str, timeout_s: float) -> Answer | None:
        """Wait for an answer."""
        with self._news:
            self._news.wait_for(lambda: self._answers.get(fresh_id), timeout_s)
            return self._answers.get(fresh_id)
