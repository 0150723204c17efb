"""A folder as an origin: any web server gives it out, a share or a USB stick carries it.

<folder>/<name>/<version>/model.yaml …   as in a store; it appears there whole
<folder>/<name>/<version>/files.txt      for weights that are a folder
<folder>/<name>/<version>.torrent        how stations share it with their neighbours
<folder>/<name>/versions.txt             a version a line, the new one last of all that is written
<folder>/<name>/.<version>.<digest>/     what is being written; a later try goes on with it
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from edge_daemon.core.values import BundleRef
from edge_daemon.documents.durable import sync_folder, write_durably
from edge_daemon.errors import BoxError, BundleError, Code
from edge_daemon.fleet.publish import Package, Piece, Published, Tell, another
from edge_daemon.models.files import CHUNK_BYTES, digest_of
from edge_daemon.models.manifest import MANIFEST_FILE
from edge_daemon.models.misplaced import visible_folders
from edge_daemon.models.versions import equal_to, is_version, order_of
from edge_daemon.sources.choice import FILES, VERSIONS


class FolderOrigin:
    """Implements `Origin`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, package: Package, tell: Tell) -> Published:
        folder = self._root / package.ref.name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with _alone(folder):
                return self._put(package, folder, tell)
        except OSError as error:
            raise BoxError(
                f"{error.filename or folder} cannot be written: {error.strerror or error}.",
                hint="Free space there, and let this user write there. Then publish it again: "
                "it goes on where it stopped.",
            ) from error

    def put_description(self, ref: BundleRef, content: bytes) -> None:
        """What a swarm is told of a bundle that is there: `<name>/<version>.torrent`."""
        file = self._root / ref.name / f"{ref.version}.torrent"
        try:
            write_durably(file, content)
        except OSError as error:
            raise BoxError(
                f"{file} cannot be written: {error.strerror or error}.",
                hint="Free space there, and let this user write there.",
            ) from error

    def _put(self, package: Package, folder: Path, tell: Tell) -> Published:
        place = folder / package.ref.version
        _refuse_other(package, folder)
        is_new, sent = not place.exists(), 0
        if is_new:
            sent = self._write(package, folder, tell)
        else:
            _refuse_damaged(package, place)
            tell(package.size, package.size)
        _list_version(folder, package.ref)
        return Published(str(place), is_new, sent)

    def _write(self, package: Package, folder: Path, tell: Tell) -> int:
        """Bytes that were not there yet."""
        ref = package.ref
        unfinished = folder / f".{ref.version}.{package.manifest.sha256[:16]}"
        sent = 0
        for piece in package.pieces:
            target = unfinished / piece.path
            target.parent.mkdir(parents=True, exist_ok=True)
            sent += _carry(piece, target, lambda count: tell(count, package.size))
        if package.manifest.weights.is_folder:
            listed = "".join(f"{piece.path}\n" for piece in package.pieces)
            write_durably(unfinished / FILES, listed.encode())
        for each in {(unfinished / piece.path).parent for piece in package.pieces}:
            sync_folder(each)
        unfinished.rename(folder / ref.version)
        sync_folder(folder)
        return sent


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One publisher at a time, on any machine that mounts it."""
    with (folder / ".publishing").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BoxError(
                f"Somebody else publishes into {folder} now.", hint="Wait until it has ended."
            ) from error
        yield


def _refuse_other(package: Package, folder: Path) -> None:
    ref = package.ref
    there = [each.name for each in visible_folders(folder) if (each / MANIFEST_FILE).exists()]
    for version in sorted(equal_to(ref.version, there) & set(there)):
        content = (folder / version / MANIFEST_FILE).read_bytes()
        if hashlib.sha256(content).hexdigest() != package.manifest.sha256:
            raise another(str(folder), BundleRef(ref.name, version))


def _refuse_damaged(package: Package, place: Path) -> None:
    for piece in package.pieces:
        target = place / piece.path
        if not target.is_file() or digest_of(target)[0] != piece.sha256:
            raise BundleError(
                f"{target} is not what was published.",
                hint=f"Remove {place}, and publish it again.",
                code=Code.DIGEST_MISMATCH,
            )


def _carry(piece: Piece, target: Path, tell: Callable[[int], None]) -> int:
    """Write a file after what is there of it; the bytes that were written."""
    written = 0
    with piece.place.open("rb") as source, _opened(target) as file:
        while chunk := source.read(CHUNK_BYTES):
            at = file.tell()
            if file.read(len(chunk)) != chunk:
                file.seek(at)
                file.truncate()
                file.write(chunk)
                written += len(chunk)
            tell(len(chunk))
        file.truncate()
        file.flush()
        os.fsync(file.fileno())
    return written


def _opened(target: Path) -> BinaryIO:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(target, flags, 0o644), "r+b")


def _list_version(folder: Path, ref: BundleRef) -> None:
    """What a web server says it has; a version that somebody took out of the list stays out."""
    file = folder / VERSIONS
    if file.exists():
        listed = [line.strip() for line in file.read_text(errors="replace").splitlines()]
    else:
        listed = [each.name for each in visible_folders(folder) if (each / MANIFEST_FILE).exists()]
    versions = sorted({ref.version, *filter(is_version, listed)}, key=order_of)
    content = "".join(f"{version}\n" for version in versions).encode()
    if not file.exists() or file.read_bytes() != content:
        write_durably(file, content)
