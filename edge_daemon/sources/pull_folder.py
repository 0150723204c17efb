"""Where a pull works: a folder in the store that only this user can enter and that keeps its
content, so that a pull that was cut off goes on where it stopped.

    <store>/.pulls/<key>/…       the files of one bundle, at their full size from the beginning
    <store>/.pulls/<key>.json    how many bytes of each are there
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edge_daemon.documents import MALFORMED
from edge_daemon.documents.durable import write_durably
from edge_daemon.errors import BoxError
from edge_daemon.models.files import free_bytes
from edge_daemon.models.shared_folder import alone_in

_PULLS = ".pulls"
_FORGOTTEN_S = 14 * 86_400.0
SPARE_BYTES = 64 << 20
"""Left free for the journal, whatever is pulled."""

SAVED_EVERY_BYTES = 4 << 20
"""How much of a file may have to be fetched again after a power cut."""


@contextmanager
def pull_folder(store: Path) -> Iterator[Path]:
    """The folder for pulls; one pull at a time, in any process.

    Raises BoxError where another pull runs or the store cannot be written.
    """
    busy = BoxError("Another pull is running.", hint="Wait until it has ended.")
    with alone_in(store, _PULLS, busy) as place:
        _forget_old(place)
        yield place


def _forget_old(place: Path) -> None:
    """What nobody went on with for two weeks."""
    for path in place.iterdir():
        with suppress(OSError):
            if time.time() - path.lstat().st_mtime > _FORGOTTEN_S:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


class Staging:
    """The files of one bundle that is being pulled; `key` tells it from every other bundle."""

    def __init__(self, place: Path, key: str) -> None:
        self.folder = place / key
        self._notes = place / f"{key}.json"
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self._done, self._whole = self._read_notes()

    def done(self, path: str) -> int:
        """Bytes of a file that are there."""
        return self._done.get(path, 0)

    def write_whole(self, path: str, content: bytes) -> None:
        """A small file, at once."""
        target = self.folder / path
        target.unlink(missing_ok=True)
        with Part(self, path) as file:
            file.write(content)

    def note(self, path: str, size: int) -> None:
        """So much of a file is on the disk now."""
        self._done[path] = size
        notes = {"bytes": self._done, "whole": sorted(self._whole)}
        write_durably(self._notes, json.dumps(notes).encode())

    def is_whole(self, path: str) -> bool:
        """Whether all of a file is there; the store's door reads it once more."""
        return path in self._whole

    def finish(self, path: str) -> None:
        """All of a file is there, and is what it should be."""
        self._whole.add(path)
        self.note(path, self.done(path))

    def drop(self, path: str) -> None:
        """A file was no good; it is fetched anew."""
        (self.folder / path).unlink(missing_ok=True)
        self.note(path, 0)

    def remove(self) -> None:
        """The bundle is in the store, or was refused."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._notes.unlink(missing_ok=True)

    def reserve(self, path: str, size: int, others: int) -> None:
        """Take the room of a file now, and see that `others` bytes more are free.

        Raises BoxError where they are not.
        """
        with Part(self, path) as file:
            missing = max(0, size - os.fstat(file.fileno()).st_blocks * 512)
            if free_bytes(self.folder) < missing + others + SPARE_BYTES:
                raise BoxError(
                    f"The store's disk has no room for {(missing + others) >> 20} MiB more.",
                    hint="A pull needs twice its bundle's size. Free space there.",
                )
            with suppress(OSError):  # a file system without it: the rest is only looked at
                os.posix_fallocate(file.fileno(), 0, size)

    def _read_notes(self) -> tuple[dict[str, int], set[str]]:
        try:
            notes = json.loads(self._notes.read_bytes())
            done = {str(path): int(size) for path, size in notes["bytes"].items()}
            return done, {str(path) for path in notes["whole"]}
        except (OSError, *MALFORMED):
            return {}, set()  # nothing of it counts then: it is fetched anew


class Part:
    """One file of a bundle, written from where it stopped, with the digest of all its bytes."""

    def __init__(self, staging: Staging, path: str) -> None:
        target = staging.folder / path
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.fdopen(os.open(target, flags, 0o600), "r+b", buffering=0)
        self._staging, self._path = staging, path
        self._digest = hashlib.sha256()
        self.size = 0
        self._saved = 0

    def __enter__(self) -> Part:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def fileno(self) -> int:
        return self._file.fileno()

    def read_back(self, size: int) -> None:
        """Begin after the first `size` bytes, which are there; fewer count where they are not."""
        while self.size < size:
            chunk = self._file.read(min(1 << 20, size - self.size))
            if not chunk:
                break
            self._digest.update(chunk)
            self.size += len(chunk)
        self._saved = self.size

    def begin_anew(self) -> None:
        self._digest, self.size, self._saved = hashlib.sha256(), 0, 0
        self._file.seek(0)

    def write(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self._digest.update(chunk)
        self.size += len(chunk)
        if self.size - self._saved >= SAVED_EVERY_BYTES:
            self.save()

    def save(self) -> None:
        """What was written counts from now on, also after a power cut."""
        os.fsync(self._file.fileno())
        self._staging.note(self._path, self.size)
        self._saved = self.size

    def end(self) -> str:
        """Cut off what was only reserved; the SHA-256 of the file, in hex."""
        self._file.truncate(self.size)
        self.save()
        return self._digest.hexdigest()
