"""A web server that takes files by PUT and tasks by POST, as a file server or Label Studio does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

from tests.sim.http_server import http_server, respond


class Taker:
    """Keeps what it is sent. `status`: what it answers from now on; `needs`: its Authorization."""

    def __init__(self) -> None:
        self.status = 201
        self.needs: str | None = None
        self.refuses = ""  # a word in a path that it never takes
        self.taken: list[tuple[str, str, bytes]] = []
        self.url = ""

    def files(self) -> dict[str, bytes]:
        """What lies there, by path."""
        return {path: content for _, path, content in self.taken}

    @contextmanager
    def serving(self) -> Iterator[Taker]:
        with http_server(self._take) as self.url:
            yield self

    def _take(self, to: BaseHTTPRequestHandler, content: bytes) -> None:
        status = self.status
        if self.needs is not None and to.headers.get("Authorization") != self.needs:
            status = 401
        elif self.refuses and self.refuses in to.path:
            status = 422
        if status < 300:
            self.taken.append((to.command, to.path, content))
        respond(to, status)
