"""Whether a request may name a bundle that came to the store a moment ago.

The store is watched, but a request can be faster. A scan of the whole store is slow, and anybody
may ask for what is not there; so one folder is checked first.
"""

from __future__ import annotations

import os
from pathlib import Path

from edge_daemon.core.state import State
from edge_daemon.core.values import BundleRef, ModelChoice
from edge_daemon.host.clock import Clock
from edge_daemon.models.manifest import MANIFEST_FILE

AGAIN_S = 1.0
"""Between two scans of the store for a folder that was checked already."""


class Newcomers:
    """Only the driver's thread asks."""

    def __init__(self, store: Path, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._looked_at = float("-inf")
        self._looked_for: frozenset[BundleRef] = frozenset()

    def may_hide(self, choice: ModelChoice, state: State) -> bool:
        """Whether to scan the store before this choice is judged."""
        usable = {known.ref for known in state.available if known.ref.name == choice.name}
        if choice.version:
            usable &= {BundleRef(choice.name, choice.version)}
        # What came or went unnoticed; what was refused may have been repaired since.
        unlike = self._there(choice) ^ usable
        now = self._clock.now().at
        is_due = now - self._looked_at >= AGAIN_S
        looked_for = frozenset() if is_due else self._looked_for
        if not is_due:
            unlike -= {ref for ref, _ in state.refused}
        if not unlike - looked_for:
            return False
        self._looked_for, self._looked_at = looked_for | unlike, now
        return True

    def _there(self, choice: ModelChoice) -> set[BundleRef]:
        """The complete versions of this name.

        The requested one is included even if incomplete, so that the answer says what it lacks.
        """
        folder = self._store / choice.name
        if choice.version:
            there = os.path.isdir(folder / choice.version)  # not where nobody may look
            return {BundleRef(choice.name, choice.version)} if there else set()
        try:
            refs = [BundleRef(choice.name, version) for version in os.listdir(folder)]
        except OSError:
            return set()
        return {ref for ref in refs if os.path.exists(folder / ref.version / MANIFEST_FILE)}
