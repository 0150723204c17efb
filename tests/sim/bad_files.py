"""What may lie where a file of text is expected: one maker for each kind of bad content."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

Make = Callable[[Path], object]


def _holds(content: bytes) -> Make:
    return lambda path: path.write_bytes(content)


def _huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 100 << 20)


def _unreadable(path: Path) -> None:
    """As a file without rights, but for root too: a link to itself."""
    path.symlink_to(path.name)


BAD_TEXTS: Mapping[str, tuple[Make, str]] = {
    "binary": (_holds(b"\x00\x01\x02\x03device: cam\n"), "U+0000"),
    "a tail of zeros": (_holds(b"device: cam1\n# the end" + b"\0" * 64), "U+0000"),
    "a control character": (_holds("device: cam1\n# Line 3 \x96 Hall\n".encode()), "U+0096"),
    "an escape": (_holds(b"device: cam1\n# \x1b[31mred\n"), "U+001B"),
    "UTF-16": (_holds("device: cam1\n".encode("utf-16")), "UTF-16"),
    "UTF-16 without a mark": (_holds("device: cam1\n".encode("utf-16-le")), "U+0000"),
    "Latin-1": (_holds("device: cam1\n# Prüfstation\n".encode("latin-1")), "0xFC"),
    "a folder": (Path.mkdir, "is a folder"),
    "a pipe": (os.mkfifo, "is a pipe"),
    "unreadable": (_unreadable, "cannot be read"),
    "100 MB": (_huge, "is larger than"),
}
"""Kind -> how to make it, and a word of the sentence about it."""
