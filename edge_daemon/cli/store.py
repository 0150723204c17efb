"""The store of the device that is meant, where this user may read it."""

from __future__ import annotations

import os

from edge_daemon.config import Settings
from edge_daemon.errors import BoxError, SenderError
from edge_daemon.models.store import Store


def open_store(settings: Settings) -> Store:
    """The device's store; raises SenderError where it is not there, BoxError where it is closed."""
    root = settings.models.store
    if not root.is_dir():
        raise SenderError(
            f"The store {root} is not there.",
            hint=f"mkdir -p {root}, or correct models.store in the settings.",
        )
    if not os.access(root, os.R_OK | os.X_OK):
        raise BoxError(
            f"The store {root} cannot be read by this user.",
            hint="Run it as root, or as a member of the daemon's group.",
        )
    return Store(root, floor=settings.models.floor)
