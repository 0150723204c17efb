"""The client workflow of TUF, by python-tuf; what it adds is durability and the time.

python-tuf writes files atomically and not durably: after a power cut the versions against which a
rollback is noticed would be gone. Here each file is on disk before the next one is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from tuf.api import exceptions
from tuf.api.metadata import Metadata, Root, Signed, Targets
from tuf.ngclient import Updater, UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface

from edge_daemon.documents.durable import sync_folder
from edge_daemon.errors import ConfigurationError, SenderError
from edge_daemon.fleet.freshness.current import Current
from edge_daemon.fleet.freshness.layout import CAMPAIGNS, campaign_of
from edge_daemon.fleet.freshness.mirror import Mirror
from edge_daemon.host.disk import write_durably
from edge_daemon.sources.source import SourceAway

LIMITS = UpdaterConfig(
    max_root_rotations=64,
    max_delegations=4,
    root_max_length=512_000,
    timestamp_max_length=16_384,
    snapshot_max_length=2_000_000,
    targets_max_length=5_000_000,
)
"""Bytes at most where the metadata above does not say how long a file is."""


def refresh(folder: Path, root: bytes, mirror: Mirror, now_utc: float) -> Current:
    """Verify what a mirror has, and keep it in `folder`.

    Args:
        folder: of this station alone; what is there protects against older versions.
        root: the pinned first root.
        now_utc: POSIX seconds by which expiry is judged.

    Raises SenderError for metadata that must not be believed, SourceAway where the mirror cannot
    be read, ConfigurationError for a pinned root that is none, StateError for a full disk.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sync_folder(folder.parent)
        client = _Client(folder, checked_root(root), mirror, now_utc)
        return client.current(now_utc)
    except exceptions.DownloadLengthMismatchError as error:
        raise _refused(mirror, "it is longer than it may be", error) from error
    except exceptions.DownloadError as error:
        raise SourceAway(
            f"{mirror.where} has not all of the fleet's metadata: {error}.",
            hint="Is it the folder `metadata` of the repository, copied whole?",
        ) from error
    except exceptions.RepositoryError as error:
        raise _refused(mirror, _why(error), error) from error
    except OSError as error:
        raise SourceAway(f"{folder} cannot be used: {error.strerror or error}.") from error


def checked_root(content: bytes) -> bytes:
    """The same bytes; raises ConfigurationError where they are no root that its keys signed."""
    try:
        root = Metadata[Root].from_bytes(content)
        if not isinstance(root.signed, Root):
            raise exceptions.RepositoryError("it is the metadata of another role")
        root.verify_delegate(Root.type, root)
    except (exceptions.RepositoryError, ValueError) as error:
        raise ConfigurationError(
            f"The file of fleet.trust.root is no root of a fleet: {error}.",
            hint="Copy metadata/1.root.json of the repository there; compare its digest.",
        ) from error
    return content


def _why(error: exceptions.RepositoryError) -> str:
    if isinstance(error, exceptions.UnsignedMetadataError):
        return "too few of the keys that count signed it"
    if isinstance(error, exceptions.BadVersionNumberError):
        return "its version may not follow the one that is here"
    if isinstance(error, exceptions.ExpiredMetadataError):
        return "it has expired"
    if isinstance(error, exceptions.LengthOrHashMismatchError):
        return "it has another length or digest than was signed"
    return "it is not what the rest of it says"


def _refused(mirror: Mirror, why: str, error: Exception) -> SenderError:
    hint = "The station goes on as it is. Find out who wrote there before you renew anything."
    if isinstance(error, exceptions.ExpiredMetadataError):
        hint = (
            "The publisher renews it: edge-daemon fleet timestamp --repository DIR --online-key KEY"
        )
    return SenderError(
        f"The fleet's metadata from {mirror.where} is refused: {why} ({error}).", hint=hint
    )


class _Fetcher(FetcherInterface):
    """Gives a mirror's files to python-tuf, which counts their bytes."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = url.removeprefix("/")
        try:
            yield from self._mirror.chunks(name)
        except FileNotFoundError as error:
            raise exceptions.DownloadHTTPError(f"{name} is missing", 404) from error


class _Client(Updater):
    """One refresh. What of python-tuf is private and used here is held by a test."""

    def __init__(self, folder: Path, root: bytes, mirror: Mirror, now_utc: float) -> None:
        super().__init__(str(folder), "", fetcher=_Fetcher(mirror), config=LIMITS, bootstrap=root)
        self._trusted_set.reference_time = datetime.fromtimestamp(now_utc, timezone.utc)

    def _persist_file(self, filename: str, data: bytes) -> None:
        path = Path(filename)
        if not path.is_file() or path.read_bytes() != data:
            write_durably(path, data)

    def current(self, now_utc: float) -> Current:
        """Refresh, and read which campaigns are current."""
        self.refresh()
        trusted = self._trusted_set
        parts: list[Signed] = [trusted.root, trusted.timestamp, trusted.snapshot, trusted.targets]
        campaigns: dict[str, str] = {}
        if f"{CAMPAIGNS}.json" in trusted.snapshot.meta:
            listed = self._load_targets(CAMPAIGNS, Targets.type)
            parts.append(listed)
            campaigns = self._campaigns(listed)
        return Current(
            now_utc,
            min(part.expires.timestamp() for part in parts),
            campaigns,
            trusted.root.version,
            trusted.timestamp.version,
        )

    def _campaigns(self, listed: Targets) -> dict[str, str]:
        """Those that the role may list."""
        delegations = self._trusted_set.targets.delegations
        roles = (delegations.roles if delegations else None) or {}
        found = {}
        for path, target in listed.targets.items():
            name, sha256 = campaign_of(path), target.hashes.get("sha256")
            if name is not None and sha256 and roles[CAMPAIGNS].is_delegated_path(path):
                found[name] = sha256
        return found
