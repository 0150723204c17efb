"""A web server on a port of its own, which hands each request to a test."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Answer = Callable[[BaseHTTPRequestHandler, bytes], None]
"""Is given a request and its body, and sends the response."""


@contextmanager
def http_server(answer: Answer, certificate: Path | None = None) -> Iterator[str]:
    """Gives its address while the context lasts; by TLS where it has a certificate."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def take(self) -> None:
            self.close_connection = True
            answer(self, self.rfile.read(int(self.headers.get("Content-Length", 0))))

        do_GET = do_POST = do_PUT = take  # noqa: N815 - the library's names

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def respond(
    to: BaseHTTPRequestHandler,
    status: int,
    content: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> None:
    """The whole response."""
    to.send_response(status)
    for key, value in (headers or {}).items():
        to.send_header(key, value)
    to.send_header("Content-Length", str(len(content)))
    to.send_header("Connection", "close")
    to.end_headers()
    to.wfile.write(content)
