"""A reverse proxy as people set it up: a path of its own leads to the page, under another Host."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Proxy:
    """`http://127.0.0.1:<port>/<path>/…` is `/…` at the target; each request has a connection."""

    def __init__(self, path: str, target_port: int) -> None:
        self._path = path.encode()
        self._target = ("127.0.0.1", target_port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """No new connections."""
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                browser, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(browser,), daemon=True).start()

    def _serve(self, browser: socket.socket) -> None:
        with browser, suppress(OSError), socket.create_connection(self._target) as station:
            station.sendall(self._led_on(browser))
            threading.Thread(target=_pour, args=(browser, station), daemon=True).start()
            _pour(station, browser)

    def _led_on(self, browser: socket.socket) -> bytes:
        """The request as the station sees it; what is not below the path leads nowhere."""
        came = b""
        while b"\r\n\r\n" not in came:
            more = browser.recv(65536)
            if not more:
                raise ConnectionError("the browser left")
            came += more
        head, _, body = came.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        method, url, version = first.split(b" ")
        below = url[len(self._path) :] if url.startswith(self._path + b"/") else b"/nowhere"
        dropped = (b"host:", b"connection:")
        kept = [line for line in lines if not line.lower().startswith(dropped)]
        host = b"Host: 127.0.0.1:%d" % self._target[1]
        told = [b" ".join((method, below, version)), host, b"Connection: close", *kept]
        return b"\r\n".join(told) + b"\r\n\r\n" + body


def _pour(source: socket.socket, sink: socket.socket) -> None:
    try:
        while chunk := source.recv(65536):
            sink.sendall(chunk)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass
