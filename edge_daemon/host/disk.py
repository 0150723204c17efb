"""Files that survive a power cut, and a folder that only one daemon may hold."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from edge_daemon.documents import DocumentError, durable, read_bytes
from edge_daemon.documents.durable import sync_folder
from edge_daemon.errors import StateError

_log = structlog.get_logger(__name__)

RESERVE_FILE = "reserve"
RESERVE_BYTES = 4 << 20
"""What a start may need beyond the private copy, which takes the place of an older one."""


def write_durably(path: Path, content: bytes, mode: int = 0o644) -> None:
    """As `documents.durable`, for a file of the state folder; raises StateError."""
    try:
        durable.write_durably(path, content, mode)
    except OSError as error:
        raise unusable(path, error) from error


def write_whole(path: Path, content: bytes) -> None:
    """Whole or not at all. Not fsynced: for what may be lost in a power cut, such as a picture."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def unusable(path: Path, error: OSError) -> StateError:
    """The sentence for a file or folder that cannot be used."""
    return StateError(
        f"{path} cannot be used: {error.strerror or error}.",
        hint="Check that the disk has room and that the daemon's user may write there.",
    )


@dataclass(frozen=True)
class SetAside:
    """A damaged file of the state folder that starts anew; `kept` is where the old one is."""

    file: Path
    kept: Path
    why: str

    def __str__(self) -> str:
        return f"{self.file.name} {self.why}: it begins anew, and is kept as {self.kept.name}"


def set_aside(path: Path, why: str) -> SetAside:
    """Move what lies there out of the way, whatever it is; raises StateError."""
    kept = free_name(path)
    try:
        os.replace(path, kept)
        sync_folder(path.parent)
    except OSError as error:
        raise unusable(path, error) from error
    _log.error("state_file_set_aside", file=str(path), why=why, kept=kept.name)
    return SetAside(path, kept, why)


def set_aside_unless(
    path: Path, parse: Callable[[bytes], object], limit_bytes: int
) -> tuple[SetAside, ...]:
    """Look at a file that `parse` must understand (else ValueError); one that is not there is fine.

    Raises StateError where it cannot be moved.
    """
    if not os.path.lexists(path):
        return ()
    try:
        parse(read_bytes(path, limit_bytes))
    except DocumentError as error:
        return (set_aside(path, error.message),)
    except (ValueError, RecursionError) as error:
        return (set_aside(path, f"cannot be understood ({str(error)[:100]})"),)
    return ()


def free_name(path: Path) -> Path:
    """The new name of a broken file: with the time it was last written."""
    written = path.stat().st_mtime if path.exists() else time.time()
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(written))
    name = path.with_name(f"{path.name}.broken-{stamp}")
    number = 1
    while os.path.lexists(name):
        number += 1
        name = path.with_name(f"{path.name}.broken-{stamp}-{number}")
    return name


class Reserve:
    """Disk space that is kept for the next start.

    A start on a full disk must write a little before a model can be loaded: answers to open
    requests, and the private copy of the bundle, whose old one is removed. So a file of some size
    exists while all is well, and is deleted first.
    """

    def __init__(self, folder: Path, size_bytes: int = RESERVE_BYTES) -> None:
        self._path = folder / RESERVE_FILE
        self._size_bytes = size_bytes

    def give_up(self) -> None:
        """Free its space for other writes. Never raises."""
        with suppress(OSError):
            self._path.unlink()

    def keep(self) -> bool:
        """Make sure that the space is reserved; False if there is none."""
        with suppress(OSError):
            if self._path.stat().st_size >= self._size_bytes:
                return True
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                os.posix_fallocate(fd, 0, self._size_bytes)
            finally:
                os.close(fd)
        except OSError:
            self.give_up()
            return False
        return True


class FolderLock:
    """The right to use a folder, held by one process until it ends, however it ends.

    flock belongs to the open file: the kernel drops it with the process, so that nothing is left
    behind by a SIGKILL, and a second lock within one process is refused too.
    """

    def __init__(self, folder: Path) -> None:
        """Take the folder, creating it where needed; raises StateError when another holds it."""
        self.folder = folder
        self.aside: tuple[SetAside, ...] = ()
        """What lay in the place of the lock file and was no file: it cannot be locked."""
        path = folder / "lock"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o750)
            if os.path.lexists(path) and not path.is_file():
                self.aside = (set_aside(path, "was no file"),)
            self._file = open(path, "a+b", buffering=0)  # noqa: SIM115 - held until close
        except OSError as error:
            raise unusable(path, error) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            holder = (self._file.read(20) or b"").decode("ascii", "replace").strip() or "unknown"
            self._file.close()
            raise StateError(
                f"{folder} is in use by another daemon (process {holder}).",
                hint="Stop that one first, or give this device a name or state_dir of its own.",
            ) from None
        with suppress(OSError):  # a full disk: whoever comes second is not told who was first
            self._file.truncate(0)
            self._file.write(b"%d\n" % os.getpid())

    def release(self) -> None:
        """Release the folder. Never raises."""
        self._file.close()
