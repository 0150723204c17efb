"""What was first seen under each version, so that a changed bundle is noticed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import structlog

from edge_daemon.core.values import BundleRef
from edge_daemon.documents.durable import write_durably
from edge_daemon.errors import BundleError, Code, StateError
from edge_daemon.models.manifest import Manifest

_log = structlog.get_logger()

_SIGNED = " signed"


class FirstSeen:
    """The manifest digest of each bundle when it was first seen; durable where a file is given.

    `vouched`: whether a key vouches for each bundle now. What was seen then counts apart: a bundle
    that nobody signed, seen before that was asked, keeps no signed one from its version.

    Raises StateError when the file cannot be read.
    """

    def __init__(self, file: Path | None, vouched: Callable[[], bool] = lambda: False) -> None:
        self._file = file
        self._vouched = vouched
        self._seen = _read(file) if file else {}
        self._saved = dict(self._seen)

    def __len__(self) -> int:
        return len({key.removesuffix(_SIGNED) for key in self._seen})

    def refuse_change(self, manifest: Manifest) -> None:
        """Raise BundleError(digest_mismatch) if another bundle was seen under this version."""
        if self._seen.get(self._key(manifest.ref), manifest.sha256) != manifest.sha256:
            raise BundleError(
                f"{manifest.ref} is not the bundle that was first seen under this version.",
                hint="A version never changes: give the new bundle a new version.",
                code=Code.DIGEST_MISMATCH,
            )

    def knows(self, ref: BundleRef) -> bool:
        """Whether this version was ever offered here."""
        return self._key(ref) in self._seen

    def remember(self, manifest: Manifest) -> None:
        """Take it as the one bundle of this version, unless another one is."""
        self._seen.setdefault(self._key(manifest.ref), manifest.sha256)

    def _key(self, ref: BundleRef) -> str:
        return f"{ref}{_SIGNED}" if self._vouched() else str(ref)

    def save(self) -> None:
        """Write what is new to the file; never raises."""
        if self._file is None or self._saved == self._seen:
            return
        content = json.dumps(self._seen, indent=0, sort_keys=True).encode()
        try:
            write_durably(self._file, content)
        except OSError as error:
            # Still known in this process; the next look tries again.
            _log.warning("bundle_memory_not_saved", error=str(error))
            return
        self._saved = dict(self._seen)


def parse_seen(content: bytes) -> dict[str, str]:
    """Ref (` signed` after it, where a key vouched) -> digest, as `save` wrote it.

    Raises ValueError for anything else.
    """
    try:
        seen = json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    if not isinstance(seen, dict) or not all(isinstance(each, str) for each in seen.values()):
        raise ValueError("not a digest for each bundle")
    return seen


def _read(file: Path) -> dict[str, str]:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return parse_seen(file.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StateError(
            f"{file} cannot be read: {error}.",
            hint="Restore it, or remove it to accept all bundles as they are now.",
        ) from error
