"""One uTP connection (BEP 29) from here, as far as a loopback needs it: in order, no congestion."""

from __future__ import annotations

import random
import socket
import struct
import time
from collections import deque
from contextlib import suppress

_DATA, _FIN, _STATE, _RESET, _SYN = range(5)
_HEADER = struct.Struct("!BBHIIIHH")
_WINDOW = 1 << 20
_MOST_UNANSWERED = 16
_PAYLOAD = 1_200
_AGAIN_S = 0.3


class Utp:
    """Connects from `source` to a UDP address; one thread."""

    def __init__(self, source: str, target: tuple[str, int]) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((source, 0))
        self._socket.connect(target)
        self._id = random.randrange(1 << 15)
        self._seq, self._ack = 1, 0
        self._unanswered: deque[tuple[int, float, bytes]] = deque()
        self._came = bytearray()
        self._is_connected = False
        self.is_closed = False
        self._put(_SYN, self._id)

    def send(self, content: bytes) -> None:
        for at in range(0, len(content), _PAYLOAD):
            while len(self._unanswered) >= _MOST_UNANSWERED or not self._is_connected:
                if self.is_closed:
                    return
                self._pump(0.05)
            self._put(_DATA, self._id + 1, content[at : at + _PAYLOAD])

    def receive(self, wait_s: float) -> bytes:
        """What has come; empty after so long."""
        if not self._came:
            self._pump(wait_s)
        came, self._came = bytes(self._came), bytearray()
        return came

    def close(self) -> None:
        self.is_closed = True
        with suppress(OSError):
            self._socket.send(self._packet(_RESET, self._id + 1))
        self._socket.close()

    def _packet(self, kind: int, connection: int, content: bytes = b"") -> bytes:
        now = time.monotonic_ns() // 1000 & 0xFFFFFFFF
        fields = (kind << 4 | 1, 0, connection & 0xFFFF, now, 0, _WINDOW, self._seq, self._ack)
        return _HEADER.pack(*fields) + content

    def _put(self, kind: int, connection: int, content: bytes = b"") -> None:
        packet = self._packet(kind, connection, content)
        self._unanswered.append((self._seq, time.monotonic(), packet))
        self._seq = (self._seq + 1) & 0xFFFF
        self._say(packet)

    def _say(self, packet: bytes) -> None:
        with suppress(ConnectionRefusedError):
            self._socket.send(packet)

    def _pump(self, wait_s: float) -> None:
        self._socket.settimeout(wait_s)
        try:
            self._take(self._socket.recv(4096))
            self._socket.settimeout(0.0)
            while True:
                self._take(self._socket.recv(4096))
        except (TimeoutError, BlockingIOError):
            pass
        except OSError:  # nobody listens there
            self.is_closed = True
        now = time.monotonic()
        for seq, at, packet in list(self._unanswered)[:1]:
            if now - at > _AGAIN_S:
                self._unanswered[0] = (seq, now, packet)
                self._say(packet)

    def _take(self, packet: bytes) -> None:
        first, extension, _, _, _, _, seq, ack = _HEADER.unpack_from(packet)
        at = _HEADER.size
        while extension:
            extension, length = packet[at], packet[at + 1]
            at += 2 + length
        while self._unanswered and (ack - self._unanswered[0][0]) & 0xFFFF < 0x8000:
            self._unanswered.popleft()
        kind = first >> 4
        if kind == _STATE and not self._is_connected:
            self._is_connected, self._ack = True, (seq - 1) & 0xFFFF
        elif kind == _DATA:
            if seq == (self._ack + 1) & 0xFFFF:
                self._ack = seq
                self._came += packet[at:]
            self._say(self._packet(_STATE, self._id + 1))
        elif kind in (_FIN, _RESET):
            self.is_closed = True
