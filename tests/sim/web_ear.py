"""A web server that people are told by: it keeps what is posted, and answers as a test says."""

from __future__ import annotations

import json
import ssl
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

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
        ear = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = ear.take(json.loads(body), dict(self.headers))
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        if self._certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        scheme = "http" if self._certificate is None else "https"
        self.url = f"{scheme}://127.0.0.1:{server.server_port}/hook"
        try:
            yield self
        finally:
            self._speaks.set()
            server.shutdown()
            server.server_close()

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
