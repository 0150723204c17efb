"""Files of a bundle, reached without trusting the writer of the folder.

A `Folder` is opened once; everything below it is reached by descriptor, component by component,
and no symbolic link is followed. Only regular files with a single name count: a second hard link
would let somebody change the bytes from outside, and a pipe would block the reader for ever.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_daemon.documents.durable import sync_folder
from edge_daemon.errors import BundleError, Code

CHUNK_BYTES = 1 << 20
MAX_ENTRIES = 4096  # a bundle has a few hundred files at most
MAX_DEPTH = 6

PLAIN_PATH = (
    "each part begins with a letter (A to Z), digit or '_' and goes on with those, '.', '+' or '-';"
    " no spaces"
)
"""The rule of `is_inner_path`, for people."""
_COMPONENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,127}")


@dataclass(frozen=True)
class FileEntry:
    """One regular file below a folder: its path with `/`, its size in bytes.

    `inode` and `changed_ns` tell two looks at the same path apart when it was written between.
    """

    path: str
    size: int
    inode: int = 0
    changed_ns: int = 0


def is_inner_path(text: str) -> bool:
    """Whether `text` names something below a folder: relative, no `..`, no hidden or odd names."""
    parts = text.split("/")
    return len(parts) <= MAX_DEPTH and all(_COMPONENT.fullmatch(part) for part in parts)


class Folder:
    """A folder held open; a context manager.

    The path that leads to it may pass through symbolic links (a mounted volume often does);
    below it none is followed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise BundleError(
                f"{path.name} cannot be opened as a folder: {error.strerror}.",
                hint="Name the folder that holds model.yaml.",
            ) from error

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def entries(self) -> tuple[tuple[FileEntry, ...], tuple[str, ...]]:
        """All regular files and all folders below, sorted by path.

        Raises BundleError for a link, a device, a pipe, a file with a second hard link, or
        more than `MAX_ENTRIES` entries.
        """
        files: list[FileEntry] = []
        folders: list[str] = []
        for path, status in self._walk(self._fd, "", 0):
            if len(files) + len(folders) >= MAX_ENTRIES:
                raise BundleError(
                    f"The folder {self.path.name} holds more than {MAX_ENTRIES} files.",
                    hint="A bundle is model.yaml, model.sig, the weights and golden images.",
                )
            if stat.S_ISDIR(status.st_mode):
                folders.append(path)
            else:
                _refuse_unless_regular(path, status)
                files.append(FileEntry(path, status.st_size, status.st_ino, status.st_ctime_ns))
        return tuple(sorted(files, key=lambda entry: entry.path)), tuple(sorted(folders))

    def _walk(self, fd: int, prefix: str, depth: int) -> Iterator[tuple[str, os.stat_result]]:
        for name in sorted(os.listdir(fd)):
            path = f"{prefix}{name}"
            try:
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except FileNotFoundError:
                continue  # removed since it was listed; a bundle that needs it is refused
            yield path, status
            if not stat.S_ISDIR(status.st_mode):
                continue
            if depth + 1 >= MAX_DEPTH:
                raise BundleError(
                    f"{path!r} in {self.path.name} lies deeper than {MAX_DEPTH} folders.",
                    hint="Put golden images in golden/, the weights beside model.yaml.",
                )
            inner = _open_folder(name, fd)
            try:
                yield from self._walk(inner, f"{path}/", depth + 1)
            finally:
                os.close(inner)

    def open(self, path: str) -> int:
        """A read-only descriptor of the regular file `path`, which the caller closes.

        Raises FileNotFoundError when nothing is there, BundleError when it is not such a file.
        """
        *parents, name = path.split("/")
        fd = os.dup(self._fd)
        try:
            for parent in parents:
                inner = _open_folder(parent, fd)
                os.close(fd)
                fd = inner
            return _open_regular(name, fd, path)
        finally:
            os.close(fd)

    def read(self, path: str, limit_bytes: int) -> bytes:
        """The whole file, or BundleError when it is larger than the limit."""
        fd = self.open(path)
        with os.fdopen(fd, "rb") as file:
            content = file.read(limit_bytes + 1)
        if len(content) > limit_bytes:
            raise BundleError(
                f"{path} is larger than {limit_bytes} bytes.", hint="Make it smaller."
            )
        return content

    def copy(
        self,
        path: str,
        destination: Path,
        limit_bytes: int,
        tell: Callable[[int], None] = lambda _: None,
    ) -> Copied:
        """Copy the file to `destination/path`, and tell the digest of the very bytes written.

        `tell` hears of each chunk, in bytes.

        Raises BundleError(digest_mismatch) when there are more bytes than `limit_bytes`,
        FileExistsError when the destination is already there.
        """
        target = destination / path
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        digest, size = hashlib.sha256(), 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with (
            os.fdopen(self.open(path), "rb", buffering=0) as source,
            os.fdopen(os.open(target, flags, 0o600), "wb") as sink,
        ):
            while chunk := source.read(CHUNK_BYTES):
                size += len(chunk)
                if size > limit_bytes:
                    raise BundleError(
                        f"{path} is larger than the {limit_bytes} bytes it may have.",
                        hint="Copy the bundle again, complete.",
                        code=Code.DIGEST_MISMATCH,
                    )
                digest.update(chunk)
                sink.write(chunk)
                tell(len(chunk))
        return Copied(path, size, digest.hexdigest())


@dataclass(frozen=True)
class Copied:
    """One file as it was written: path below the folder, size in bytes, SHA-256 in hex."""

    path: str
    size: int
    sha256: str


def folder_digest(files: tuple[Copied, ...]) -> str:
    """The digest of a folder of weights.

    SHA-256 over one line for each file, sorted by path: `path NUL size NUL sha256 LF`, where
    path is relative to that folder with `/`, size is decimal and sha256 is lower-case hex.
    """
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.path.encode()):
        digest.update(f"{file.path}\0{file.size}\0{file.sha256}\n".encode())
    return digest.hexdigest()


def digest_of(path: Path) -> tuple[str, int]:
    """SHA-256 (hex) and size in bytes of a file, or of a folder as `folder_digest` defines it."""
    if path.is_dir():
        with Folder(path) as folder:
            files = tuple(_hash(folder, entry.path) for entry in folder.entries()[0])
        return folder_digest(files), sum(file.size for file in files)
    with Folder(path.parent) as folder:
        file = _hash(folder, path.name)
    return file.sha256, file.size


def free_bytes(folder: Path) -> int:
    """What this user may still write there: what is kept for root is root's alone."""
    disk = os.statvfs(folder)
    return (disk.f_bavail if os.geteuid() else disk.f_bfree) * disk.f_frsize


def sync_tree(path: Path) -> None:
    """Force every file and folder of a tree to the disk, the folder itself last."""
    for folder, _, files in os.walk(path, topdown=False):
        for name in files:
            with (Path(folder) / name).open("rb") as file:
                os.fsync(file.fileno())
        sync_folder(Path(folder))


def _hash(folder: Folder, path: str) -> Copied:
    digest, size = hashlib.sha256(), 0
    with os.fdopen(folder.open(path), "rb", buffering=0) as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return Copied(path, size, digest.hexdigest())


def _open_folder(name: str, fd: int) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags, dir_fd=fd)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise BundleError(
                f"{name!r} in the bundle is not a plain folder.",
                hint="Copy real files and folders.",
            ) from error
        raise


def _open_regular(name: str, fd: int, path: str) -> int:
    # O_NONBLOCK: opening a pipe for reading would wait for a writer; regular files ignore it.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        opened = os.open(name, flags, dir_fd=fd)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.ENODEV):
            raise BundleError(
                f"{path!r} in the bundle is not a regular file.", hint="Copy the file itself."
            ) from error
        raise
    try:
        _refuse_unless_regular(path, os.fstat(opened))
    except BundleError:
        os.close(opened)
        raise
    return opened


def _refuse_unless_regular(path: str, status: os.stat_result) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise BundleError(
            f"{path!r} in the bundle is a symbolic link.", hint="Copy the file itself in its place."
        )
    if not stat.S_ISREG(status.st_mode):
        raise BundleError(
            f"{path!r} in the bundle is not a regular file.", hint="Copy the file itself."
        )
    if status.st_nlink > 1:
        raise BundleError(
            f"{path!r} in the bundle has a second hard link, through which it could be changed.",
            hint="Copy the file instead of linking it.",
        )
