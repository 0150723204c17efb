"""The files of a repository: what is published, what is staged, and the two that one key renews."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner
from tuf.api import exceptions
from tuf.api.metadata import Metadata, MetaFile, Snapshot, Timestamp

from edge_daemon.documents import DocumentError, read_bytes
from edge_daemon.errors import SenderError
from edge_daemon.fleet.freshness.layout import (
    BUNDLES,
    CAMPAIGNS,
    DAYS,
    ROOT,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
)
from edge_daemon.host.disk import unusable, write_durably

MOST_BYTES = 5_000_000
STAGEABLE = (ROOT, TARGETS, BUNDLES, CAMPAIGNS)
"""In the order in which they are published."""
Made = Metadata[Any]

_VERSIONED = re.compile(r"(\d+)\.([a-z]+)\.json")


def later(now_utc: float, days: float) -> datetime:
    """So many days after a time in POSIX seconds."""
    return datetime.fromtimestamp(now_utc, timezone.utc) + timedelta(days=days)


class Files:
    """One repository's folder. Everything raises SenderError for a file that is no metadata, and
    StateError where one cannot be written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.metadata, self.staged = folder / "metadata", folder / "staged"

    def version(self, role: str) -> int:
        """Of the newest one that is published; 0: none is."""
        if role == TIMESTAMP:
            there = (self.metadata / f"{TIMESTAMP}.json").is_file()
            return int(_load(self.metadata / f"{TIMESTAMP}.json").signed.version) if there else 0
        names = (path.name for path in self.metadata.glob(f"*.{role}.json"))
        found = (_VERSIONED.fullmatch(name) for name in names)
        return max((int(each[1]) for each in found if each is not None), default=0)

    def newest(self, role: str) -> Made:
        """The one that stations read; raises SenderError where nothing is published."""
        return _load(self._place(role, self.version(role)))

    def content(self, role: str) -> bytes:
        """The newest one as it lies there."""
        return _read(self._place(role, self.version(role)))

    def waiting(self) -> dict[str, Made]:
        """What is staged, in the order in which it is published."""
        files = {role: self.staged / f"{role}.json" for role in STAGEABLE}
        return {role: _load(file) for role, file in files.items() if file.is_file()}

    def stage(self, role: str, made: Made) -> None:
        self._write(self.staged / f"{role}.json", made.to_bytes())

    def unstage(self, role: str) -> None:
        (self.staged / f"{role}.json").unlink(missing_ok=True)

    def publish(self, role: str, made: Made) -> bytes:
        """Write it where stations read it; its bytes."""
        content = made.to_bytes()
        self._write(self._place(role, made.signed.version), content)
        return content

    def keep_target(self, path: str, sha256: str, content: bytes) -> None:
        """A listed text, under the name by which any client of TUF asks for it."""
        place = self.folder / "targets" / path
        self._write(place.with_name(f"{sha256}.{place.name}"), content)

    def snapshot(self, online: CryptoSigner, now_utc: float) -> Made:
        """A new one of what is published now."""
        meta = {}
        for role in (TARGETS, BUNDLES, CAMPAIGNS):
            version = self.version(role)
            meta[f"{role}.json"] = MetaFile.from_data(version, self.content(role), ["sha256"])
        expires = later(now_utc, DAYS[SNAPSHOT])
        made = Metadata(Snapshot(self.version(SNAPSHOT) + 1, expires=expires, meta=meta))
        made.sign(online)
        self.publish(SNAPSHOT, made)
        return made

    def timestamp(self, online: CryptoSigner, now_utc: float, hours: float) -> bytes:
        """A new one of the newest snapshot."""
        named = MetaFile.from_data(self.version(SNAPSHOT), self.content(SNAPSHOT), ["sha256"])
        expires = later(now_utc, hours / 24.0)
        made = Metadata(Timestamp(self.version(TIMESTAMP) + 1, None, expires, named))
        made.sign(online)
        return self.publish(TIMESTAMP, made)

    def _place(self, role: str, version: int) -> Path:
        name = f"{role}.json" if role == TIMESTAMP else f"{version}.{role}.json"
        return self.metadata / name

    def _write(self, file: Path, content: bytes) -> None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unusable(file.parent, error) from error
        write_durably(file, content)


def _read(file: Path) -> bytes:
    try:
        return read_bytes(file, MOST_BYTES)
    except DocumentError as error:
        raise SenderError(
            f"{file} {error.message}.",
            hint="Make the repository: edge-daemon fleet keys init DIR --keys FOLDER",
        ) from error


def _load(file: Path) -> Made:
    try:
        return Metadata[Any].from_bytes(_read(file))
    except exceptions.RepositoryError as error:
        raise SenderError(f"{file} is no metadata: {error}.") from error
