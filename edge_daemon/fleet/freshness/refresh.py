"""One refresh of what a station believes, alone on this machine: the daemon's, or a person's."""

from __future__ import annotations

import fcntl
import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from edge_daemon.config.fleet import FleetTrust
from edge_daemon.documents import DocumentError, read_bytes
from edge_daemon.errors import BoxError, ConfigurationError
from edge_daemon.fleet.freshness.current import (
    CURRENT_FILE,
    Remembered,
    TrustedTime,
    parse_remembered,
    write_remembered,
)
from edge_daemon.fleet.freshness.mirror import Mirror
from edge_daemon.host.clock import Clock
from edge_daemon.host.disk import unusable, write_durably

METADATA_FOLDER = "fleet-metadata"
MOST_ROOT_BYTES = 512_000
MOST_MEMORY_BYTES = 16 << 20


def recall(state_folder: Path) -> Remembered:
    """What is believed now; nothing where there is no such file, or a damaged one."""
    try:
        return parse_remembered(read_bytes(state_folder / CURRENT_FILE, MOST_MEMORY_BYTES))
    except (DocumentError, ValueError):
        return Remembered()


def pinned_root(trust: FleetTrust) -> bytes:
    """The content of `fleet.trust.root`; raises ConfigurationError."""
    assert trust.root is not None
    try:
        return read_bytes(trust.root, MOST_ROOT_BYTES)
    except DocumentError as error:
        raise ConfigurationError(
            f"The file of fleet.trust.root, {trust.root}, {error.message}.",
            hint="Copy metadata/1.root.json of the repository there.",
        ) from error


def refresh_once(
    trust: FleetTrust,
    state_folder: Path,
    mirror: Mirror,
    clock: Clock,
    *,
    trust_clock: bool = False,
) -> Remembered:
    """Verify what the mirror has, and remember it; a refusal changes nothing that is believed.

    Args:
        trust_clock: forget the latest time that was seen here: the clock is right, and was wrong.

    Raises as `client.refresh`, and BoxError while somebody else refreshes.
    """
    client = _client()
    with alone(state_folder / METADATA_FOLDER):
        before = recall(state_folder)
        seen = 0.0 if trust_clock else before.seen
        now = TrustedTime(clock, seen).now()
        _write(state_folder, before, replace(before, seen=now))
        judged = now - trust.expires_grace_s
        made = client.refresh(state_folder / METADATA_FOLDER, pinned_root(trust), mirror, judged)
        after = Remembered(replace(made, at=now), now)
        _write(state_folder, before, after)
    return after


def _client() -> ModuleType:
    """Only who uses it needs tuf, and no start waits for it."""
    try:
        return importlib.import_module("edge_daemon.fleet.freshness.client")
    except ImportError as error:
        raise ConfigurationError(
            f"fleet.trust.root needs a library that is not installed: {error.name}.",
            hint="Install it: pip install 'edge-daemon[fleet]'",
        ) from error


def checked_root(trust: FleetTrust) -> None:
    """Look at the pinned root; raises ConfigurationError."""
    _client().checked_root(pinned_root(trust))


def _write(state_folder: Path, before: Remembered, after: Remembered) -> None:
    if after != before:
        write_durably(state_folder / CURRENT_FILE, write_remembered(after))


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One at a time: the files of the metadata belong together."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise unusable(folder, error) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise BoxError(
            f"Somebody else works with {folder} now.", hint="Wait until it has ended."
        ) from error
    finally:
        os.close(fd)
