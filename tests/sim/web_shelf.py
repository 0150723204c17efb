"""A web server that gives out a folder: with ranges, and with the faults that a test asks for."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import unquote

from tests.sim.http_server import http_server, respond


class WebShelf:
    """Serves on a port of its own while the context lasts.

    `hang_ups`: so many times a file is broken off at random; `no_ranges`: every answer begins at
    the first byte; `short`: the weights end so many bytes early, without a word; `needs`: the
    header Authorization that is asked for; `moved`: path -> where it is sent on to; `bytes_s`:
    how fast its line is, 0: as fast as it goes; `most`: path -> so many bytes of it leave in all,
    and the answer that would give more waits until that is changed, or whoever asked is gone.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.hang_ups = 0
        self.no_ranges = False
        self.short = 0
        self.needs: str | None = None
        self.moved: dict[str, str] = {}
        self.asked: list[tuple[str, str]] = []  # path, range
        self.headers: list[str | None] = []
        self.sent: dict[str, int] = {}
        self.chance = random.Random(7)
        self.url = ""
        self.bytes_s = 0
        self.most: dict[str, int] = {}
        self._sending = threading.Lock()

    @contextmanager
    def serving(self) -> Iterator[WebShelf]:
        with http_server(self._any) as self.url:
            yield self

    def _any(self, to: BaseHTTPRequestHandler, body: bytes) -> None:
        if to.command == "GET":
            self.answer(to)
        else:
            self.take(to, body)

    def answer(self, to: BaseHTTPRequestHandler) -> None:
        path = unquote(to.path).lstrip("/")
        self.asked.append((path, to.headers.get("Range", "")))
        self.headers.append(to.headers.get("Authorization"))
        if self.needs is not None and to.headers.get("Authorization") != self.needs:
            return respond(to, 401)
        if path in self.moved:
            return respond(to, 302, headers={"Location": self.moved[path]})
        file = self.root / path
        if not file.is_file():
            return respond(to, 404)
        return self._send(to, path, file.read_bytes())

    def take(self, to: BaseHTTPRequestHandler, body: bytes) -> None:
        """Nothing can be written here."""
        return respond(to, 405)

    def _send(self, to: BaseHTTPRequestHandler, path: str, content: bytes) -> None:
        wanted = to.headers.get("Range")
        if wanted and not self.no_ranges:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, stop = int(first), min(len(content), int(last or len(content)) + 1)
            if start >= len(content):
                return respond(to, 416)
            to.send_response(206)
            to.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(content)}")
            body = content[start:stop]
        else:
            to.send_response(200)
            body = content
        to.send_header("Content-Length", str(len(body)))
        to.end_headers()
        end = len(body)
        if path.endswith("weights.pt"):
            end = max(0, end - self.short)
        if self.hang_ups and len(body) > 1000:
            self.hang_ups -= 1
            end = min(end, self.chance.randrange(0, 60_000))
        with suppress(ConnectionError):  # whoever asked was killed
            for at in range(0, end, 64 << 10):
                chunk = body[at : min(end, at + (64 << 10))]
                while not self._counted(path, len(chunk)):
                    time.sleep(0.02)
                    _still_asked(to.connection)
                to.wfile.write(chunk)
        return None

    def _counted(self, path: str, count: int) -> bool:
        """Bytes that leave, if they may; all who ask share `bytes_s`."""
        with self._sending:
            sent = self.sent.get(path, 0) + count
            if sent > self.most.get(path, sent):
                return False
            self.sent[path] = sent
            if self.bytes_s:
                time.sleep(count / self.bytes_s)
            return True


def _still_asked(connection: socket.socket) -> None:
    """Raises ConnectionError where the other end is closed."""
    with suppress(BlockingIOError):
        if not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
            raise ConnectionResetError("whoever asked is gone")
