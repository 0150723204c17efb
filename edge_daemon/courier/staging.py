"""The staging area: a folder beside the store that a bundle is fetched into, and the way from there
through the store's door.

<store>/.swarm/<infohash>/<version>/…    at its full size from the beginning; a cut one goes on
<store>/.swarm/<infohash>.torrent        what the swarm was told
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from edge_daemon.core.values import BundleRef
from edge_daemon.courier.torrent import Torrent, describe, folder_files, read_torrent
from edge_daemon.documents.durable import write_durably
from edge_daemon.errors import BoxError, BundleError, Code, SenderError
from edge_daemon.models.bundle import read_manifest
from edge_daemon.models.files import free_bytes
from edge_daemon.models.shared_folder import alone_in
from edge_daemon.models.store import Store
from edge_daemon.models.trust import Trust
from edge_daemon.sources.pull_folder import SPARE_BYTES

_PLACE = ".swarm"


@dataclass(frozen=True)
class Wanted:
    """What a campaign names: the bundle, the digest of its weights, and where it says so its
    infohash, its size in bytes and the digest of its model.yaml."""

    ref: BundleRef
    sha256: str
    infohash: str = ""
    size: int | None = None
    manifest_sha256: str | None = None


def is_there(store: Store, wanted: Wanted) -> bool:
    """Whether the store offers it; raises BundleError where another bundle has its name there.

    What lies there and is not offered may still be on its way in: the store's door decides later.
    """
    try:
        manifest = store.manifest(wanted.ref)
    except (SenderError, BundleError):
        return False
    if manifest.weights.sha256 != wanted.sha256:
        raise _another("The store", wanted)
    return True


class StagingArea:
    """That of one bundle; `folder` holds the folder that is called like its version."""

    def __init__(self, above: Path, wanted: Wanted) -> None:
        self._above, self._wanted = above, wanted
        self.folder = above / wanted.infohash[:32]
        self._note = above / f"{wanted.infohash[:32]}.torrent"

    def known(self) -> Torrent | None:
        """What the swarm was told before, if that is there."""
        with suppress(OSError, BundleError):
            return read_torrent(self._note.read_bytes(), self._wanted.infohash)
        return None

    def remember(self, torrent: Torrent) -> None:
        write_durably(self._note, torrent.content)

    def reserve(self, torrent: Torrent) -> None:
        """Take the room for it now, and see that there is room for the store's own copy.

        Raises BoxError where there is not; nothing was fetched then.
        """
        root = self.folder / torrent.name
        sizes = {root / file.path: file.size for file in torrent.files}
        self._forget_others()
        needed = sum(size - _taken(path) for path, size in sizes.items()) + torrent.size
        if free_bytes(self._above) < needed + SPARE_BYTES:
            raise BoxError(
                f"The store's disk has no room for {needed >> 20} MiB more.",
                hint="A bundle needs twice its size until it is in the store. Free space there.",
            )
        for path, size in sizes.items():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+b") as file:
                if os.fstat(file.fileno()).st_size > size:
                    file.truncate(size)
                if size:
                    _allocate(file.fileno(), size)

    def hand_over(self, store: Store, trust: Trust, torrent: Torrent) -> None:
        """Through the store's door: every byte is compared once more, and signatures decide.

        What came stays here until it is removed. Raises BundleError where it is refused, and
        BoxError where the disk lost some of it; nothing of it is left then.
        """
        wanted = self._wanted
        folder = self.folder / torrent.name
        try:
            manifest = read_manifest(folder, placed=False)
            is_it = (manifest.ref, manifest.weights.sha256) == (wanted.ref, wanted.sha256)
            if not is_it or wanted.manifest_sha256 not in (None, manifest.sha256):
                raise _another("What came", wanted)
            store.add(folder, trust)
        except BundleError as error:
            found = describe(torrent.name, folder_files(folder), torrent.authority)
            self.remove()
            if found == torrent:
                raise
            raise BoxError(
                f"The store's disk gives back other bytes than were written to it: {error.message}",
                hint="It is fetched again. Look at the disk's health.",
            ) from error

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self._note.unlink(missing_ok=True)

    def _forget_others(self) -> None:
        """Of an earlier campaign: nobody goes on with it."""
        for path in self._above.iterdir():
            if path not in (self.folder, self._note):
                with suppress(OSError):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextmanager
def staging_area(store: Path, wanted: Wanted) -> Iterator[StagingArea]:
    """That of one bundle; one courier at a time works in a store.

    Raises BoxError where another one does, or the store cannot be written.
    """
    busy = BoxError(
        "Another station of this box fetches into the same store.",
        hint="Wait: what it brings is there for both.",
    )
    with alone_in(store, _PLACE, busy) as above:
        yield StagingArea(above, wanted)


def _taken(path: Path) -> int:
    try:
        found = path.lstat()
    except OSError:
        return 0
    return min(found.st_size, found.st_blocks * 512)


def _allocate(fd: int, size: int) -> None:
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as error:
        if error.errno == errno.ENOSPC:  # a file system without it was looked at above
            raise
        os.truncate(fd, max(size, os.fstat(fd).st_size))


def _another(what: str, wanted: Wanted) -> BundleError:
    return BundleError(
        f"{what} has another {wanted.ref} than the campaign names.",
        hint="A version never changes: give the new bundle a new version, and make a campaign of "
        "it.",
        code=Code.DIGEST_MISMATCH,
    )
