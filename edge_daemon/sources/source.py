"""What every source can do, and what it says of one bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Protocol

from edge_daemon.core.lineage import Origin
from edge_daemon.errors import BoxError
from edge_daemon.models.manifest import Manifest


class SourceAway(BoxError):  # noqa: N818 - what it is
    """The source cannot be asked now, or broke off; the same may work later."""


@dataclass(frozen=True)
class RemoteFile:
    """One file of a bundle as the source describes it: where it is, its size in bytes and its
    SHA-256 in hex, where the source knows them."""

    where: str
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Offered:
    """One bundle that a source offers.

    Args:
        mark: tells it from others at this source: a digest where the source has one, else its
            version.
        origin: what the source knows of it; without a digest where it has none.
        version: as the source calls it; None where only its model.yaml says it.
        files: path in the bundle -> file; empty where the source cannot list them.
        base: where the files lie, for sources that address them by their path.
    """

    mark: str
    origin: Origin
    version: str | None = None
    files: Mapping[str, RemoteFile] = field(default_factory=lambda: MappingProxyType({}))
    base: str = ""

    def origin_of(self, manifest: Manifest, utc: float) -> Origin:
        """Where a bundle came from that was fetched now."""
        return replace(self.origin, digest=self.origin.digest or manifest.sha256, seen=utc)


@dataclass(frozen=True)
class Stream:
    """A file that is being read: the byte at which it begins, its whole size in bytes if that is
    known, and what gives up to that many more bytes (b"" at the end)."""

    start: int
    total: int | None
    read: Callable[[int], bytes]


class Source(Protocol):
    """One source; one thread at a time. Everything raises SourceAway where it cannot be asked."""

    where: str
    """Its address, without credentials."""

    def offered(self, name: str, which: str) -> tuple[Offered, ...]:
        """What it has of a bundle now; `which` as the settings say it.

        Raises BundleError where what it says makes no sense.
        """
        ...

    def open(self, offered: Offered, path: str, at: int = 0) -> AbstractContextManager[Stream]:
        """A file from this byte on, or from its beginning where the source cannot skip.

        Raises FileNotFoundError where it has no such file.
        """
        ...
