"""A peer that speaks MQTT by a script and then does nothing."""

from __future__ import annotations

import contextlib
import socket
import threading

CONNACK = b"\x20\x02\x00\x00"
SUBACK = b"\x90\x03\x00\x01\x01"
CONNACK_5 = b"\x20\x03\x00\x00\x00"
TAKEN_OVER_5 = b"\xe0\x02\x8e\x00"
"""DISCONNECT: another client came with this id."""


class HostileBroker:
    """Accepts, says what its script says, and then does nothing, for each connection anew."""

    def __init__(self, *script: bytes) -> None:
        self._script = script
        self._server = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self._server.getsockname()
        self.connections: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._server.accept()
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                self.connections.append(sock)
                for packet in self._script:
                    sock.recv(4096)
                    sock.sendall(packet)

    def __enter__(self) -> HostileBroker:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()
        for sock in self.connections:
            sock.close()
