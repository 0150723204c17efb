"""A folder that others write too: reached by descriptor, and no link in it is followed.

A sync tool, an operator or another program may replace any name in a store by a link at any
moment. So the store's folder is opened once. What is created, moved or removed in it is named
relative to a descriptor, and unfinished work lies in folders that only this user can enter. Their
path leads through `/proc/self/fd`: it stays the same folder, whatever is put in its place.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from edge_daemon.errors import BoxError

LOCK_PATIENCE_S = 5.0
"""So long a writer waits for another before it says who is in its way."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SOMETHING_ELSE = frozenset({errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ENODEV})
"""What opening a link, a folder, a socket or a device says."""
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def opened(fd: int) -> Path:
    """The path of a folder that this process holds open, wherever it is moved."""
    return Path(f"/proc/self/fd/{fd}")


class SharedFolder:
    """The folder, held open; a context manager. Its own path is the operator's, and is followed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> SharedFolder:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def lock_file(self, name: str) -> int:
        """A descriptor of a regular file to be locked, made where it is missing.

        Whoever made it, reading is enough to lock it. Raises BoxError where something else lies
        there, OSError where it may not be read or made: the disk is full, or read-only.
        """
        flags = os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            fd = os.open(name, flags, 0o644, dir_fd=self._fd)
        except OSError as error:
            if error.errno in _SOMETHING_ELSE:
                raise self._misused(name) from error
            raise
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            os.close(fd)
            raise self._misused(name)
        if status.st_uid == os.geteuid():
            os.fchmod(fd, 0o644)  # whatever the umask of the process that made it
        return fd

    @contextmanager
    def workplace(self, name: str) -> Iterator[int]:
        """A folder for unfinished work that no other user can enter or change; empty at first.

        It is called `name`, or a random name if that is taken by something else.
        """
        self.sweep(name)  # what a crash left, under whichever of these names
        taken, fd = self._own(name)
        try:
            yield fd
            empty(fd)
        finally:
            os.close(fd)
            self._remove(taken, name)

    @contextmanager
    def resting_place(self, name: str) -> Iterator[int]:
        """The same for what `sweep` removes later: it keeps its content."""
        _, fd = self._own(name)
        try:
            yield fd
        finally:
            os.close(fd)

    def sweep(self, name: str) -> None:
        """Delete the content of our own folders of this name."""
        for entry in os.listdir(self._fd):
            if entry != name and not entry.startswith(f"{name}-"):
                continue
            fd = self._open_own(entry)
            if fd is None:
                continue
            try:
                empty(fd)
            finally:
                os.close(fd)
            self._remove(entry, name)

    def _remove(self, entry: str, name: str) -> None:
        """The empty folder `entry`, unless it is the one called `name`, which stays."""
        if entry != name:
            with suppress(OSError):
                os.rmdir(entry, dir_fd=self._fd)

    @contextmanager
    def inner(self, *names: str, create: bool = False) -> Iterator[int]:
        """A folder in it, by the names that lead there; raises OSError where one is a link or no
        folder. `create`: the last one is made where it is missing."""
        fd = os.dup(self._fd)
        try:
            for name in names:
                is_new = create and name == names[-1] and _make(name, fd)
                above, fd = fd, _open_folder(name, fd)
                os.close(above)
                if is_new:
                    hand_over(fd, self._fd)
            yield fd
        finally:
            os.close(fd)

    def publish(self, path: Path) -> None:
        """Let others read what lies in a workplace, before it is moved out of there."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(path, flags)
        try:
            is_folder = stat.S_ISDIR(os.fstat(fd).st_mode)
            os.fchmod(fd, 0o755 if is_folder else 0o644)
            hand_over(fd, self._fd)
        finally:
            os.close(fd)

    def sync(self) -> None:
        os.fsync(self._fd)

    def _own(self, name: str) -> tuple[str, int]:
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=self._fd)
        fd = self._open_own(name)
        if fd is not None:
            return name, fd
        name = f"{name}-{secrets.token_hex(8)}"
        os.mkdir(name, 0o700, dir_fd=self._fd)
        fd = self._open_own(name)
        if fd is None:
            raise self._misused(name)
        return name, fd

    def _open_own(self, name: str) -> int | None:
        """A real folder of this user that nobody else may write; None for anything else."""
        try:
            fd = _open_folder(name, self._fd)
        except OSError:
            return None
        status = os.fstat(fd)
        if status.st_uid == os.geteuid() and not status.st_mode & _OTHERS_WRITE:
            return fd
        os.close(fd)
        return None

    def _misused(self, name: str) -> BoxError:
        return BoxError(
            f"{name} in the store is not what edge-daemon puts there.",
            hint="Look at it, and remove it: somebody else made it.",
        )


@contextmanager
def alone_in(store: Path, name: str, busy: BoxError) -> Iterator[Path]:
    """A resting place in a store, made where it is missing; one process at a time is in it.

    Raises `busy` where another one is, BoxError where the store cannot be written.
    """
    try:
        store.mkdir(parents=True, exist_ok=True)
        with SharedFolder(store) as shared:
            fd = shared.lock_file(f"{name}.lock")
            try:
                if not lock(fd, wait=False):
                    raise busy
                with shared.resting_place(name) as place:
                    yield opened(place)
            finally:
                os.close(fd)
    except OSError as error:
        raise BoxError(
            f"The store {store} cannot be written: {error.strerror or error}.",
            hint="Free space there, and let this user write there.",
        ) from error


def hand_over(fd: int, like: int) -> None:
    """If this is root: make the owner of the folder `like` the owner of what is open."""
    if os.geteuid() == 0 and os.fstat(fd).st_uid == 0:
        owner = os.fstat(like)
        with suppress(OSError):  # a share may not know who root is
            os.fchown(fd, owner.st_uid, owner.st_gid)


def _make(name: str, parent: int) -> bool:
    try:
        os.mkdir(name, 0o755, dir_fd=parent)
    except FileExistsError:
        return False
    return True


def _open_folder(name: str, parent: int) -> int:
    return os.open(name, _FOLDER, dir_fd=parent)


def empty(fd: int) -> None:
    """Delete what lies in a folder that is held open; no link is followed."""
    for name in os.listdir(fd):
        shutil.rmtree(opened(fd) / name, ignore_errors=True)
        with suppress(OSError):
            os.unlink(name, dir_fd=fd)


def move(name: str, source: int, new_name: str, destination: int) -> None:
    """Rename across two folders that are held open, and force both to the disk."""
    os.rename(name, new_name, src_dir_fd=source, dst_dir_fd=destination)
    os.fsync(destination)
    os.fsync(source)


def replace_file(folder: int, name: str, content: bytes) -> None:
    """Replace a small file in one step, whatever lies at its name: it is written beside the folder,
    under a name that nobody guesses, forced to the disk and renamed."""
    beside = os.open("..", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        temporary = f".{secrets.token_hex(8)}.new"
        fd = os.open(temporary, _NEW_FILE, 0o644, dir_fd=beside)
        with ExitStack() as undo:
            undo.callback(_forget, temporary, beside)
            with os.fdopen(fd, "wb") as file:
                os.fchmod(fd, 0o644)
                hand_over(fd, folder)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            move(temporary, beside, name, folder)
            undo.pop_all()
    finally:
        os.close(beside)


def _forget(name: str, folder: int) -> None:
    with suppress(OSError):
        os.unlink(name, dir_fd=folder)


def lock(fd: int, wait: bool) -> bool:
    """Take the lock; False where another holds it, without waiting for it.

    Raises BoxError where it was waited for in vain: whoever may read the file may hold it.
    """
    give_up_at = time.monotonic() + (LOCK_PATIENCE_S if wait else 0.0)
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        if not wait:
            return False
        if time.monotonic() > give_up_at:
            raise BoxError(
                f"Another program has held the store for {LOCK_PATIENCE_S:.0f} s.",
                hint="A large bundle may be on its way into it: try again when it is there. "
                "Who holds it: fuser .lock, in the store's folder.",
            )
        time.sleep(0.05)
