"""The store of the chosen device, if this user may read it."""

from __future__ import annotations

import os
from pathlib import Path

from edge_daemon.config import Settings
from edge_daemon.core.values import BundleRef
from edge_daemon.errors import BoxError, SenderError
from edge_daemon.models.bundle import Manifest, read_manifest, vouched_reader
from edge_daemon.models.store import Store
from edge_daemon.models.trust import Trust


def trust_of(settings: Settings) -> Trust:
    """Whose bundles this device takes; raises ConfigurationError for a key that cannot be read."""
    models = settings.models
    return Trust(models.trust.public_keys, models.trust.required, models.revoked)


def open_store(settings: Settings, *, as_offered: bool = False) -> Store:
    """The device's store; raises SenderError where it is not there, BoxError where it is closed.

    `as_offered`: without what the daemon does not offer because nobody vouches for it.
    """
    root = settings.models.store
    if not _is_folder(root):
        raise SenderError(
            f"The store {root} is not there.",
            hint=f"mkdir -p {root}, or correct models.store in the settings.",
        )
    if not os.access(root, os.R_OK | os.X_OK):
        raise BoxError(
            f"The store {root} cannot be read by this user.",
            hint="Run it as root, or as a member of the daemon's group.",
        )
    read = vouched_reader(trust_of(settings)) if as_offered else read_manifest
    return Store(root, floor=settings.models.floor, read=read)


def _is_folder(path: Path) -> bool:
    """True where that cannot be told: then it cannot be read either."""
    try:
        return path.is_dir()
    except PermissionError:
        return True


def find_bundle(ref: str, settings: Settings) -> tuple[Manifest, Path]:
    """A bundle's manifest and folder, by its folder or by its NAME@VERSION in the store."""
    folder = Path(ref)
    if folder.is_dir():
        return read_manifest(folder, placed=False), folder
    store, parsed = open_store(settings), BundleRef.parse(ref)
    return store.manifest(parsed), store.find(parsed)
