"""Files that the settings name: secrets and keys, read when they are used and never stored."""

from __future__ import annotations

from pathlib import Path
from typing import overload

from edge_daemon.documents import DocumentError, read_bytes, read_text
from edge_daemon.errors import ConfigurationError

_PEM_BYTES = 1 << 20
_SECRET_BYTES = 64 * 1024
"""A broker takes no longer password (MQTT 5, 1.5.6), a browser no longer token."""


@overload
def read_secret(path: Path, key: str) -> str: ...
@overload
def read_secret(path: None, key: str) -> None: ...
def read_secret(path: Path | None, key: str) -> str | None:
    """The secret in the file that `key` names, None where it names none; ConfigurationError."""
    if path is None:
        return None
    try:
        secret = read_text(path, _SECRET_BYTES).strip()
    except DocumentError as error:
        raise _refused(path, key, error) from error
    if not secret:
        raise ConfigurationError(f"{key}: {path} is empty.", hint="Write the secret into it.")
    return secret


def readable_path(path: Path | None, key: str) -> str | None:
    """The path for a library that reads it itself, and would wait for a pipe; raises as above."""
    if path is None:
        return None
    try:
        read_bytes(path, _PEM_BYTES)
    except DocumentError as error:
        raise _refused(path, key, error) from error
    return str(path)


def _refused(path: Path, key: str, error: DocumentError) -> ConfigurationError:
    return ConfigurationError(f"{key}: {path} {error.message}.", hint=error.hint)
