"""Where metadata is read: nothing that comes from here is believed before it is verified."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edge_daemon.core.credentials import public_source
from edge_daemon.documents import DocumentError, read_start
from edge_daemon.sources.http import Http
from edge_daemon.sources.source import SourceAway

TIMESTAMP_NAME = "timestamp.json"
MOST_BYTES = 5_000_001
"""One more than the largest file of metadata may have."""
TIMEOUT_S = 10.0
SLOWEST_BYTES_S = 1_000
PATIENCE_S = 10.0
"""A server that has sent fewer bytes after this long than `SLOWEST_BYTES_S` wants is given up."""
_CHUNK_BYTES = 16 << 10


class Mirror(Protocol):
    """One place; `where` names it in messages."""

    @property
    def where(self) -> str: ...

    def chunks(self, name: str) -> Iterator[bytes]:
        """A file, piece by piece; whoever reads it counts the bytes.

        Raises FileNotFoundError where there is none, SourceAway where the place cannot be read.
        """
        ...


class WebMirror:
    """Any web server that gives out the folder `metadata` of a repository. Implements `Mirror`."""

    def __init__(
        self,
        url: str,
        ca: Callable[[], str | None] = lambda: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base, self._now = url.rstrip("/"), now
        self.where = public_source(self._base)
        self._http = Http(self._base, ca, timeout_s=TIMEOUT_S)

    def chunks(self, name: str) -> Iterator[bytes]:
        began, came = self._now(), 0
        with self._http.stream(f"{self._base}/{name}", 0) as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                came += len(chunk)
                if self._now() - began > PATIENCE_S + came / SLOWEST_BYTES_S:
                    raise SourceAway(
                        f"{self.where} sends {name} slower than {SLOWEST_BYTES_S} bytes a second.",
                        hint="Look at the server and the network, or bring the metadata by USB "
                        "stick: edge-daemon fleet keys refresh --from FOLDER",
                    )
                yield chunk


class FolderMirror:
    """A folder: a share, or a USB stick. Implements `Mirror`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.where = str(folder)

    def chunks(self, name: str) -> Iterator[bytes]:
        if not self._folder.is_dir():
            raise SourceAway(f"{self._folder} is no folder.", hint="Is the stick mounted?")
        file = self._folder / name
        if not file.exists():
            raise FileNotFoundError(2, "no such file", name)
        try:
            yield read_start(file, MOST_BYTES)
        except DocumentError as error:
            raise SourceAway(f"{file} {error.message}.", hint=error.hint) from error


@dataclass(frozen=True)
class HeardTimestamp:
    """A timestamp that came as a message, and the rest from elsewhere. Implements `Mirror`.

    Without a place for the rest it renews what is here already: a timestamp that names the same
    snapshot needs nothing else.
    """

    timestamp: bytes
    rest: Mirror | None
    where: str = "the message fleet/timestamp"

    def chunks(self, name: str) -> Iterator[bytes]:
        if name == TIMESTAMP_NAME:
            yield self.timestamp
        elif self.rest is None:
            raise FileNotFoundError(2, "no such file", name)
        else:
            yield from self.rest.chunks(name)


def version_of(timestamp: bytes) -> int:
    """As a timestamp says, before anybody verified it; 0 where it says nothing."""
    try:
        version = json.loads(timestamp)["signed"]["version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return 0
    return version if isinstance(version, int) else 0


def mirror_of(place: str, ca: Path | None = None) -> Mirror:
    """From a setting or an option: a web address, or a folder."""
    if place.startswith(("http://", "https://")):
        return WebMirror(place, lambda: None if ca is None else str(ca))
    return FolderMirror(Path(place))
