"""Unix sockets in folders with long names.

The kernel takes 107 bytes of a socket's path. A longer one is named through a descriptor of its
folder, which is as short as it gets and means the same file.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MOST_BYTES = 107


def connect(sock: socket.socket, path: Path) -> None:
    """As `sock.connect`; raises OSError."""
    with _address(path) as address:
        sock.connect(address)


def bind(sock: socket.socket, path: Path) -> None:
    """As `sock.bind`; raises OSError."""
    with _address(path) as address:
        sock.bind(address)


@contextmanager
def _address(path: Path) -> Iterator[str]:
    if len(os.fsencode(path)) <= _MOST_BYTES:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
