"""A peer that is none of ours: real TLS, the real protocol, and then whatever it likes."""

from __future__ import annotations

import ssl
import struct
import threading
from collections.abc import Callable
from pathlib import Path

from edge_daemon.courier.torrent import Torrent
from tests.sim.utp import Utp

_UNCHOKE, _INTERESTED, _BITFIELD, _REQUEST, _PIECE = 1, 2, 5, 6, 7

Answer = Callable[["HostilePeer", int, int, int], None]
"""What it does when it is asked for so many bytes of a piece from a byte on."""


class HostilePeer:
    """Connects from `source`, says that it has everything, and answers as it is told.

    Args:
        certificate: PEM of the certificate and its key; None: it begins no TLS.
        greeting: what it sends after the handshake in place of the truth; None: that it has all.
    """

    def __init__(
        self,
        source: str,
        target: tuple[str, int],
        torrent: Torrent,
        certificate: tuple[Path, Path] | None,
        answer: Answer = lambda *_: None,
        greeting: bytes | None = None,
    ) -> None:
        self._utp, self._torrent, self._answer = Utp(source, target), torrent, answer
        self._certificate, self._greeting = certificate, greeting
        self.asked = 0
        self.is_in = False
        self.is_shown_out = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopped.set()
        self._thread.join()

    def send(self, kind: int, content: bytes = b"") -> None:
        """One message."""
        self.write(struct.pack("!IB", 1 + len(content), kind) + content)

    def piece(self, piece: int, begin: int, content: bytes) -> None:
        self.send(_PIECE, struct.pack("!II", piece, begin) + content)

    def write(self, content: bytes) -> None:
        self._tls.write(content)
        self._flush()

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        try:
            if self._certificate is None:
                while not self._stopped.is_set():
                    self._utp.receive(0.05)
                return
            self._begin(*self._certificate)
            self._serve()
        except (ssl.SSLError, ConnectionError):
            self.is_shown_out = True
        finally:
            self._utp.close()

    def _begin(self, certificate: Path, key: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.load_cert_chain(certificate, key)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        name = self._torrent.infohash[:40]
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
                self._wait()
        handshake = b"\x13BitTorrent protocol" + bytes(8) + bytes.fromhex(name) + b"-XX0000-" * 3
        self.write(handshake[:68])
        count = self._torrent.pieces
        bits = (((1 << count) - 1) << (-count % 8)).to_bytes(-(-count // 8), "big")
        if self._greeting is None:
            self.send(_BITFIELD, bits)
            self.send(_UNCHOKE)
        else:
            self.write(self._greeting)

    def _serve(self) -> None:
        came = self._read(68)
        self.is_in = came.startswith(b"\x13BitTorrent")
        while True:
            (length,) = struct.unpack("!I", self._read(4))
            message = self._read(length)
            if message[:1] == bytes([_REQUEST]):
                self.asked += 1
                self._answer(self, *struct.unpack("!III", message[1:13]))

    def _read(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            try:
                chunk = self._tls.read(count - len(found))
            except ssl.SSLWantReadError:
                self._wait()
                continue
            if not chunk:
                raise ConnectionResetError
            found += chunk
        return found

    def _wait(self) -> None:
        while not (came := self._utp.receive(0.05)):
            if self._utp.is_closed or self._stopped.is_set():
                raise ConnectionResetError
        self._incoming.write(came)

    def _flush(self) -> None:
        self._utp.send(self._outgoing.read())
