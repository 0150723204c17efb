"""A web server that takes files by PUT and tasks by POST, as a file server or Label Studio does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


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
        taker = self

        class Handler(BaseHTTPRequestHandler):
            def take(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                status = taker.status
                if taker.needs is not None and self.headers.get("Authorization") != taker.needs:
                    status = 401
                elif taker.refuses and taker.refuses in self.path:
                    status = 422
                if status < 300:
                    taker.taken.append((self.command, self.path, content))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_PUT = do_POST = take  # noqa: N815 - the library's names

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
