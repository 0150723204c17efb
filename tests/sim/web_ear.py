"""A web server that people are told by: it keeps what is posted, and answers as a test says."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from tests.sim.http_server import http_server, respond

GENEROUS_S = 30.0


class WebEar:
    """Serves on a port of its own while the context lasts; by TLS where it has a certificate.

    `answers`: the next statuses, else 204. `silent`: nothing is answered while it is set.
    """

    def __init__(self, certificate: Path | None = None) -> None:
        self._certificate = certificate
        self.answers: deque[int] = deque()
        self.heard: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.silent = threading.Event()
        self.url = ""
        self._speaks = threading.Event()
        self._changed = threading.Condition()

    @contextmanager
    def listening(self) -> Iterator[WebEar]:
        with http_server(self._answer, self._certificate) as url:
            self.url = f"{url}/hook"
            try:
                yield self
            finally:
                self._speaks.set()

    def _answer(self, to: BaseHTTPRequestHandler, body: bytes) -> None:
        status = self.take(json.loads(body), dict(to.headers))
        respond(to, status, headers={"Location": "/elsewhere"} if 300 <= status < 400 else None)

    def take(self, body: dict[str, Any], headers: dict[str, str]) -> int:
        if self.silent.is_set():
            self._speaks.wait(GENEROUS_S)
        with self._changed:
            self.heard.append(body)
            self.headers.append(headers)
            self._changed.notify_all()
        return self.answers.popleft() if self.answers else 204

    def until(self, count: int) -> None:
        """So many were heard."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.heard) >= count, GENEROUS_S), self.heard
