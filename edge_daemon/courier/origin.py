"""Pieces of a bundle from a web server that gives out the folder of `edge-daemon fleet publish`.

<url>/<name>/<version>/model.yaml …      the bundle
<url>/<name>/<version>.torrent           what a swarm is told of it
"""

from __future__ import annotations

from contextlib import ExitStack
from urllib.parse import quote

from edge_daemon.core.values import BundleRef
from edge_daemon.courier.torrent import MOST_BYTES, PIECE_BYTES, FileOf, Torrent, read_torrent
from edge_daemon.errors import BundleError
from edge_daemon.sources.http import Http
from edge_daemon.sources.pace import Pace
from edge_daemon.sources.source import SourceAway, Stream

TIMEOUT_S = 10.0
MOST_BAD = 3
"""Pieces that are not what was signed, after which a server is not asked again."""


class WebOrigin:
    """One server and one bundle; one thread. Everything raises SourceAway where it fails.

    Args:
        is_metered: its bytes cost money: only the elected station asks it.
    """

    def __init__(self, http: Http, ref: BundleRef, *, is_metered: bool = False) -> None:
        self._http = http
        self._base = f"{http.base}/{quote(ref.name)}/{quote(ref.version)}"
        self.is_metered = is_metered
        self.bad = 0
        self._open = ExitStack()
        self._stream: Stream | None = None
        self._path, self._at, self._until = "", 0, 0

    @property
    def where(self) -> str:
        return self._http.base

    def torrent(self, infohash: str) -> Torrent:
        """What the swarm is told; also raises FileNotFoundError, BundleError for another's."""
        with self._http.stream(f"{self._base}.torrent", 0) as stream:
            content = b""
            while chunk := stream.read(64 << 10):
                content += chunk
                if len(content) > MOST_BYTES:
                    break
            if stream.total not in (None, len(content)) and len(content) <= MOST_BYTES:
                raise SourceAway(f"{self.where} broke off the description for the swarm.")
        return read_torrent(content, infohash)

    def piece(self, torrent: Torrent, piece: int, pace: Pace, ahead: int = 1) -> bytes:
        """One piece, checked. `ahead`: how many of the same file are asked for at once.

        Raises BundleError where it has other bytes than were signed.
        """
        file, at, size = torrent.place_of(piece)
        with ExitStack() as undo:
            undo.callback(self.close)
            content = self._content(file, at, size, pace, ahead)
            undo.pop_all()
        if not torrent.is_piece(piece, content):
            self.bad += 1
            self.close()
            raise BundleError(
                f"{self.where} has other bytes of {file.path} than were signed.",
                hint="Publish the bundle again: edge-daemon fleet publish BUNDLE --to DIR",
            )
        return content

    def _content(self, file: FileOf, at: int, size: int, pace: Pace, ahead: int) -> bytes:
        try:
            is_next = (self._path, self._at) == (file.path, at) and at < self._until
            if self._stream is None or not is_next:
                self._begin(file, at, ahead)
            return self._read(size, pace)
        except FileNotFoundError as error:
            raise SourceAway(f"{self.where} has no {file.path} of the bundle.") from error

    def close(self) -> None:
        """Ask for no more of what was asked for."""
        self._open.close()
        self._stream = None

    def _begin(self, file: FileOf, at: int, ahead: int) -> None:
        self.close()
        end = min(file.size, at + ahead * PIECE_BYTES)
        url = f"{self._base}/{quote(file.path)}"
        # Also from the first byte a range: or the server sends all of a file of which little is
        # missing.
        wanted = {"Range": f"bytes={at}-{end - 1}"}
        stream = self._open.enter_context(self._http.stream(url, at, wanted))
        self._stream, self._path, self._at = stream, file.path, stream.start
        self._until = end if stream.start == at else file.size
        if stream.total is not None and stream.total != file.size:
            raise SourceAway(f"{self.where} has {file.path} in another size than was signed.")
        while self._at < at:  # a server without ranges
            skipped = stream.read(min(64 << 10, at - self._at))
            if not skipped:
                raise SourceAway(f"{self.where} broke off {file.path}.")
            self._at += len(skipped)

    def _read(self, size: int, pace: Pace) -> bytes:
        assert self._stream is not None
        parts, count = [], 0
        while count < size:
            chunk = self._stream.read(min(pace.chunk_bytes, size - count))
            if not chunk:
                raise SourceAway(f"{self.where} broke off {self._path}.")
            parts.append(chunk)
            count += len(chunk)
            pace.read(len(chunk))
        self._at += size
        return b"".join(parts)
