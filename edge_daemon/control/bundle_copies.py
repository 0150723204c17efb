"""Private copies of bundles, as they were verified: what workers read is never the store's."""

from __future__ import annotations

import shutil
from pathlib import Path

from edge_daemon.core.values import StoredBundle
from edge_daemon.errors import BundleError, Code
from edge_daemon.models.bundle import Verified, verified_copy
from edge_daemon.models.store import Store
from edge_daemon.models.trust import Trust


class BundleCopies:
    """One copy for each place: a slot, or a check without one."""

    def __init__(self, store: Store, trust: Trust, scratch: Path) -> None:
        self._store = store
        self._trust = trust
        self._scratch = scratch
        self._copies: dict[str, Verified] = {}

    def verify(self, target: StoredBundle, place: str, token: int) -> Verified:
        """A verified private copy of the files that a worker may read; raises BundleError.

        It takes the place of the one before.
        """
        manifest = self._store.manifest(target.ref)
        if manifest.weights.sha256 != target.sha256:
            raise BundleError(
                f"{target.ref} is not the bundle it was: its weights changed in the store.",
                hint="Versions are immutable; publish the change as a new version.",
                code=Code.DIGEST_MISMATCH,
            )
        self.clear(place)
        folder = self._scratch / f"{place}-{token}"
        verified = verified_copy(manifest, self._store.find(target.ref), folder, self._trust)
        self._copies[place] = verified
        verified.leave_weights_and_images()
        return verified

    def find(self, target: StoredBundle, place: str) -> Verified | None:
        """The copy that is there, if it is one of this bundle."""
        verified = self._copies.get(place)
        if verified is None or not verified.weights.exists():
            return None
        same = verified.manifest.ref == target.ref and verified.sha256 == target.sha256
        return verified if same else None

    def clear(self, place: str) -> None:
        """Delete the copy; nothing happens where there is none."""
        copy = self._copies.pop(place, None)
        if copy is not None:
            shutil.rmtree(copy.folder, ignore_errors=True)

    def clear_all(self) -> None:
        for place in list(self._copies):
            self.clear(place)
