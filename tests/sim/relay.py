"""A TCP relay between a client and a broker: a cable that a test can cut, squeeze and bend."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass

CHUNK_BYTES = 65536


@dataclass(frozen=True)
class Weather:
    """What happens to bytes on their way; `to_broker` and `to_client` say in which direction.

    A silent relay holds what it got until the weather changes; then it goes on, or was cut.
    """

    delay_s: float = 0.0
    chunk_bytes: int = CHUNK_BYTES  # no more at once
    silent_to_broker: bool = False
    silent_to_client: bool = False
    refuses: bool = False  # a new connection is closed at once


FAIR = Weather()


class Relay:
    """Listens on `port` and passes bytes to the broker; `cut` tears every connection."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self._server.getsockname()
        self._sockets: list[socket.socket] = []
        self._changed = threading.Condition()
        self._weather = FAIR
        self._cut_after: int | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    def set(self, weather: Weather) -> None:
        """From now on, for connections that stand too."""
        with self._changed:
            self._weather = weather
            self._changed.notify_all()

    def cut(self, *, abruptly: bool = False) -> None:
        """End every connection; `abruptly`: by a reset, as a dying box does."""
        with self._changed:
            sockets, self._sockets = self._sockets, []
            self._changed.notify_all()
        for sock in sockets:
            with contextlib.suppress(OSError):
                if abruptly:
                    linger = struct.pack("ii", 1, 0)
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                sock.shutdown(socket.SHUT_RDWR)

    def cut_after(self, count: int) -> None:
        """Let so many bytes pass in either direction, then cut: in the middle of a packet."""
        with self._changed:
            self._cut_after = count

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.set(FAIR)
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                if self._weather.refuses:
                    near.close()
                    continue
                try:
                    far = socket.create_connection(self._target)
                except OSError:
                    near.close()
                    continue
                for sock in (near, far):
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._changed:
                    self._sockets += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(
                        target=self._pass_on, args=(source, sink, near), daemon=True
                    ).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, near: socket.socket) -> None:
        to_broker = source is near
        with contextlib.suppress(OSError):
            while data := source.recv(self._weather.chunk_bytes):
                self._wait_for_weather(source, to_broker=to_broker)
                allowed = self._allowance(len(data))
                sink.sendall(data[:allowed])
                if allowed < len(data):
                    self.cut(abruptly=True)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)
        source.close()

    def _wait_for_weather(self, source: socket.socket, *, to_broker: bool) -> None:
        with self._changed:
            if self._weather.delay_s:
                self._changed.wait_for(lambda: source not in self._sockets, self._weather.delay_s)

            def may_pass() -> bool:
                now = self._weather
                silent = now.silent_to_broker if to_broker else now.silent_to_client
                return not silent or source not in self._sockets

            self._changed.wait_for(may_pass)

    def _allowance(self, count: int) -> int:
        with self._changed:
            if self._cut_after is None:
                return count
            allowed = min(count, self._cut_after)
            self._cut_after = None if allowed < count else self._cut_after - allowed
            return allowed
