"""The bytes or the text of a file that a person named, whatever lies there.

A folder, a pipe that nobody writes to, a disk image, a file in another encoding: each ends as a
`DocumentError`. None blocks the reader, and none is read beyond its limit.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path


class DocumentError(Exception):
    """What is wrong, as a predicate of the file ("is empty"); `line` counts from 1."""

    def __init__(self, line: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.line = line
        self.message = message
        self.hint = hint


MALFORMED = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,  # a number that is infinite, or has hundreds of digits
    RecursionError,
)
"""What reading values out of JSON raises where its content is not what it should be."""

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What may not stand in a YAML file (YAML 1.2, 5.1), nor usefully in a password or a token."""


def read_bytes(path: Path, limit_bytes: int) -> bytes:
    """The content of a regular file; raises DocumentError."""
    content = read_start(path, limit_bytes + 1)
    if len(content) > limit_bytes:
        raise DocumentError(1, f"is larger than {limit_bytes >> 10} KiB", "Is it the right file?")
    return content


def read_start(path: Path, size_bytes: int) -> bytes:
    """The first bytes of a regular file, or all that it has; raises DocumentError."""
    try:
        # O_NONBLOCK: opening a pipe for reading would wait for a writer; regular files ignore it.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            kind = stat.S_IFMT(os.fstat(fd).st_mode)
            if kind != stat.S_IFREG:
                raise DocumentError(1, f"is {_KINDS.get(kind, 'no file')}", "Name a plain file.")
            with open(fd, "rb", closefd=False) as file:
                return file.read(size_bytes)
        finally:
            os.close(fd)
    except OSError as error:
        hint = "Put a file there that the daemon's user may read, or name another."
        raise DocumentError(1, f"cannot be read: {error.strerror}", hint) from error


def read_text(path: Path, limit_bytes: int) -> str:
    """The text of a regular file in UTF-8; raises DocumentError."""
    return decode(read_bytes(path, limit_bytes))


def decode(content: bytes) -> str:
    """UTF-8 text without control characters; raises DocumentError that names byte or character."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DocumentError(1, "is UTF-16 text, not UTF-8", "Save it as UTF-8.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        line = error.object.count(b"\n", 0, error.start) + 1
        hint = "Save it as UTF-8: Latin-1 and Windows-1252 write such bytes."
        raise DocumentError(line, f"has the byte 0x{byte:02X}, which is not UTF-8", hint) from None
    found = _UNPRINTABLE.search(text)
    if found is not None:
        code = ord(found.group())
        line = text.count("\n", 0, found.start()) + 1
        hint = "Remove it."
        if not code:
            hint = "Write it anew: as UTF-8, and whole, if a power cut ended the last write."
        raise DocumentError(line, f"has the character U+{code:04X}, which is not text", hint)
    return text
