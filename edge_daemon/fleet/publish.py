"""A bundle is put where stations fetch it from: a folder that a web server gives out, or a
registry.

What is published went through the same door as into a store: every byte is compared with its
digest, and somebody whom this box trusts vouches for it. A version never changes once it is there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from edge_daemon.core.values import BundleRef
from edge_daemon.errors import BundleError, Code
from edge_daemon.models.bundle import Manifest, verified_copy
from edge_daemon.models.files import CHUNK_BYTES, Folder
from edge_daemon.models.manifest import MANIFEST_FILE
from edge_daemon.models.trust import Trust


@dataclass(frozen=True)
class Piece:
    """One file of a bundle: its path in it, its size in bytes, its SHA-256 in hex, and where it
    lies."""

    path: str
    size: int
    sha256: str
    place: Path


@dataclass(frozen=True)
class Package:
    """A checked bundle, ready to be published. `pieces`: model.yaml is the last of them."""

    manifest: Manifest
    pieces: tuple[Piece, ...]
    signer: str | None

    @property
    def ref(self) -> BundleRef:
        return self.manifest.ref

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(piece.size for piece in self.pieces)


@dataclass(frozen=True)
class Published:
    """What is there now. `sent`: bytes that had to be sent; `where` names it for a station."""

    where: str
    is_new: bool
    sent: int = 0


Tell = Callable[[int, int], None]
"""Bytes of a chunk that are there, and those of the whole."""


class Origin(Protocol):
    """Where bundles are published."""

    def put(self, package: Package, tell: Tell) -> Published:
        """Put it there; what an earlier try left is gone on with.

        Raises BundleError where another bundle is there under its version, BoxError where the
        place cannot be written now.
        """
        ...


@contextmanager
def packed(
    manifest: Manifest, folder: Path, trust: Trust, tell: Callable[[int], None] = lambda _: None
) -> Iterator[Package]:
    """A private copy of a bundle, checked as the store's door checks it; gone afterwards.

    Raises BundleError for what no store would take, BoxError where this box has no room.
    """
    with TemporaryDirectory(prefix="edge-daemon-") as scratch:
        verified = verified_copy(manifest, folder, Path(scratch) / "bundle", trust, tell)
        with Folder(verified.folder) as opened:
            entries, _ = opened.entries()
        pieces = [_piece(verified.folder, entry.path, entry.size) for entry in entries]
        pieces.sort(key=lambda piece: (piece.path == MANIFEST_FILE, piece.path))
        yield Package(manifest, tuple(pieces), verified.signer.name if verified.signer else None)


def _piece(folder: Path, path: str, size: int) -> Piece:
    digest = hashlib.sha256()
    with (folder / path).open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return Piece(path, size, digest.hexdigest(), folder / path)


def another(where: str, ref: BundleRef) -> BundleError:
    """Somebody published another bundle under this version."""
    return BundleError(
        f"{where} has another bundle as {ref}.",
        hint="A version never changes: give the new bundle a new version.",
        code=Code.DIGEST_MISMATCH,
    )
