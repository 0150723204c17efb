"""Where workers may write: whose folder it is, how much lies in it, and what dead ones left.

A worker writes what it likes there, so nothing here trusts names, depth or permissions.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import tempfile
from contextlib import suppress
from dataclasses import dataclass

FILES_LIMIT = 10_000
BYTES_LIMIT = 256 << 20
LARGE_BYTES_LIMIT = 16 << 30
"""For a worker that makes engines: TensorRT's, and what they are made from."""
_LEAST_FILES = 500
_LEAST_BYTES = 16 << 20
"""What libraries leave there is a few megabytes."""
_SHARE = 4
_DEPTH_LIMIT = 64
_PREFIX = "edge-daemon-workers-"


class Scratch:
    """A folder that goes with this process; what others of the same user left is swept first.

    The folder is locked while its process lives. A process number would not do: in a container
    the dead and the living daemon have the same one.
    """

    def __init__(self, parent: str | None = None) -> None:
        parent = parent or tempfile.gettempdir()
        sweep(parent)
        made = tempfile.mkdtemp(prefix="edge-daemon-", dir=parent)
        self._lock: int | None = os.open(made, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.path = os.path.join(parent, _PREFIX + secrets.token_hex(6))
        os.rename(made, self.path)  # nobody sweeps it before it is locked

    def close(self) -> None:
        """A second call does nothing: the descriptor's number may be another file's by then."""
        lock, self._lock = self._lock, None
        if lock is not None:
            clear(self.path)
            os.close(lock)

    def __enter__(self) -> str:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.close()


def sweep(parent: str) -> None:
    """Clear away the folders of processes that have ended without doing so. Never raises."""
    with suppress(OSError):
        for name in os.listdir(parent):
            if name.startswith(_PREFIX):
                _sweep_one(os.path.join(parent, name))


def _sweep_one(path: str) -> None:
    with suppress(OSError):
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            if os.fstat(folder).st_uid == os.geteuid():
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises while its owner lives
                clear(path)
        finally:
            os.close(folder)


def clear(folder: str) -> None:
    """Remove a folder however deep it is, and whatever its permissions. Never raises.

    What lies in a subfolder comes up before it goes: neither a path nor a stack grows too long.
    """
    with suppress(OSError):
        while subfolders := [entry.path for entry in os.scandir(folder) if _is_folder(entry)]:
            for subfolder in subfolders:
                os.chmod(subfolder, 0o700)
                for entry in os.scandir(subfolder):
                    if _is_folder(entry):
                        os.chmod(entry.path, 0o700)
                        os.rename(entry.path, os.path.join(folder, secrets.token_hex(12)))
                    else:
                        os.unlink(entry.path)
                os.rmdir(subfolder)
        for entry in os.scandir(folder):
            os.unlink(entry.path)
        os.rmdir(folder)


@dataclass(frozen=True)
class Allowance:
    """How much may lie in a scratch folder."""

    bytes: int = BYTES_LIMIT
    files: int = FILES_LIMIT

    @classmethod
    def on_disk_of(cls, folder: str) -> Allowance:
        """A quarter of what is left on its disk, where that is less: the daemon's state may lie
        there, too."""
        try:
            left = os.statvfs(folder)
        except OSError:
            return cls()
        size = min(BYTES_LIMIT, left.f_bavail * left.f_frsize // _SHARE)
        # Some file systems make inodes as they need them, and say that there are none.
        files = min(FILES_LIMIT, left.f_favail // _SHARE) if left.f_files else FILES_LIMIT
        return cls(max(size, _LEAST_BYTES), max(files, _LEAST_FILES))


USUAL = Allowance()


def excess(folder: str, allowed: Allowance = USUAL) -> str:
    """What is too much in a folder, or "". Costs no more looks than files are allowed."""
    files = used = 0
    pending = [(folder, 0)]
    while pending:
        path, depth = pending.pop()
        if depth > _DEPTH_LIMIT:
            return f"folders more than {_DEPTH_LIMIT} deep"
        try:
            entries = list(os.scandir(path))
        except FileNotFoundError:
            continue  # gone meanwhile
        except OSError as error:
            return f"a folder that cannot be read ({error.strerror})"
        for entry in entries:
            with suppress(FileNotFoundError):
                files += 1
                used += entry.stat(follow_symlinks=False).st_blocks * 512
                if _is_folder(entry):
                    pending.append((entry.path, depth + 1))
            if files > allowed.files:
                return f"more than {allowed.files} files"
            if used > allowed.bytes:
                return f"more than {allowed.bytes >> 20} MB"
    return ""


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)
