"""Which model.yaml each source first showed under a version; it may not show another one later."""

from __future__ import annotations

import json
from pathlib import Path

import structlog

from edge_daemon.core.values import BundleRef
from edge_daemon.documents import MALFORMED
from edge_daemon.documents.durable import write_durably
from edge_daemon.errors import BundleError
from edge_daemon.models.manifest import Manifest

_log = structlog.get_logger(__name__)

PINS_FILE = "sources.json"


class Pins:
    """Kept in a file of the daemon's own; None: for this process only. Never raises OSError."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._known = _read(file)

    def refuse_change(self, where: str, manifest: Manifest) -> None:
        """Raise BundleError where another bundle came from there under this version."""
        if self._known.get(_key(where, manifest.ref), manifest.sha256) != manifest.sha256:
            raise BundleError(
                f"{manifest.ref} is not the bundle that this source had under this version before.",
                hint="A version never changes: give the new bundle a new version.",
            )

    def has_come(self, where: str, ref: BundleRef) -> bool:
        """Whether it was fetched from there once; what was taken out of the store since, by the
        quota or by a person, does not come back by itself."""
        return _key(where, ref) in self._known

    def remember(self, where: str, manifest: Manifest) -> None:
        if self._known.setdefault(_key(where, manifest.ref), manifest.sha256) and self._file:
            try:
                write_durably(self._file, json.dumps(self._known, indent=0).encode())
            except OSError as error:
                _log.warning("source_memory_not_saved", error=str(error))


def _key(where: str, ref: BundleRef) -> str:
    return f"{where} {ref}"


def _read(file: Path | None) -> dict[str, str]:
    if file is None:
        return {}
    try:
        known = json.loads(file.read_bytes())
        return {str(key): str(value) for key, value in known.items()}
    except FileNotFoundError:
        return {}
    except (OSError, *MALFORMED) as error:
        # The store's own memory of digests still refuses a changed version.
        _log.warning("source_memory_not_read", file=str(file), error=str(error))
        return {}
