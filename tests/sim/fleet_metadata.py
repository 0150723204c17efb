"""A publisher's repository with all of its keys, and a station that reads it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import Metadata

from edge_daemon.config.fleet import FleetTrust
from edge_daemon.core.fleet.campaign import Campaign, canonical
from edge_daemon.errors import SenderError
from edge_daemon.fleet.freshness import signing
from edge_daemon.fleet.freshness.current import Current
from edge_daemon.fleet.freshness.files import Files
from edge_daemon.fleet.freshness.layout import FIRST_KEYS
from edge_daemon.fleet.freshness.mirror import FolderMirror, Mirror
from edge_daemon.fleet.freshness.monitor import FreshnessMonitor
from edge_daemon.fleet.freshness.refresh import METADATA_FOLDER, recall, refresh_once
from edge_daemon.fleet.freshness.refresher import Refresher
from edge_daemon.fleet.freshness.repository import Repository
from edge_daemon.models.trust import generate_keypair
from tests.sim.campaigns import START
from tests.sim.clock import SimClock

NAMES = tuple(name for names in FIRST_KEYS.values() for name in names)


class Publisher:
    """Makes the first metadata at once; `now` is what it takes for the time."""

    def __init__(self, folder: Path) -> None:
        self.keys, self.now = folder / "keys", START
        self.keys.mkdir(parents=True)
        for name in NAMES:
            generate_keypair(self.keys, name)
        self.repository = Repository(folder / "_tuf")
        self.metadata = folder / "_tuf" / "metadata"
        public = {role: [self.public(name) for name in names] for role, names in FIRST_KEYS.items()}
        self.repository.create(public, {}, self.now)
        self.publish("root-1", "root-2", "qa", "ops", "release")
        self.root = folder / "fleet-root.json"
        shutil.copy(self.metadata / "1.root.json", self.root)

    def public(self, name: str) -> Path:
        return self.keys / f"{name}.pub"

    def key(self, name: str) -> Any:
        return signing.signer(self.keys / f"{name}.key")

    def new_key(self, name: str) -> Path:
        return generate_keypair(self.keys, name)[1]

    def publish(self, *names: str, online: str = "online") -> None:
        """Sign what is staged with these keys, and publish it."""
        self.repository.sign([self.key(name) for name in names])
        self.repository.publish(self.key(online), self.now)

    def start(self, campaign: Campaign) -> None:
        self.repository.stage_campaign(campaign.id, campaign.serial, canonical(campaign), self.now)
        self.publish("ops", "release")

    def renew(self, online: str = "online") -> bytes:
        return self.repository.renew(self.key(online), self.now)

    def change_keys(
        self,
        role: str,
        *signers: str,
        add: str | None = None,
        remove: str | None = None,
        online: str = "online",
    ) -> None:
        added = None if add is None else self.new_key(add)
        self.repository.stage_keys(role, added, remove, self.now)
        self.publish(*signers, online=online)

    # ------------------------------------------------------------------ somebody with keys

    def forge(self, name: str, *signers: str, **changes: Any) -> Metadata[Any]:
        """A file of metadata changed and signed anew by these keys, as whoever has them could."""
        file = self.metadata / name
        made: Metadata[Any] = Metadata[Any].from_bytes(file.read_bytes())
        for key, value in changes.items():
            setattr(made.signed, key, value)
        made.signatures.clear()
        for each in signers:
            made.sign(self.key(each), append=True)
        file.write_bytes(made.to_bytes())
        return made


def moment(utc: float) -> datetime:
    return datetime.fromtimestamp(utc, timezone.utc)


@dataclass
class Reader:
    """A station's side of it, without the daemon."""

    folder: Path
    root: Path
    mirror: Mirror
    clock: SimClock = field(default_factory=lambda: SimClock(utc=START + 10.0))
    grace_s: int = 0

    @property
    def trust(self) -> FleetTrust:
        return FleetTrust(root=self.root, expires_grace_s=self.grace_s)

    @property
    def kept(self) -> Path:
        return self.folder / METADATA_FOLDER

    @property
    def current(self) -> Current | None:
        return recall(self.folder).current

    def refresh(self, mirror: Mirror | None = None, *, trust_clock: bool = False) -> Current:
        made = refresh_once(
            self.trust, self.folder, mirror or self.mirror, self.clock, trust_clock=trust_clock
        )
        assert made.current is not None
        return made.current


def reader_of(publisher: Publisher, folder: Path) -> Reader:
    folder.mkdir(parents=True, exist_ok=True)
    return Reader(folder, publisher.root, FolderMirror(publisher.metadata))


class Tampered:
    """A mirror in somebody else's hands: some files are what he likes. Implements `Mirror`."""

    where = "http://models.plant.example"

    def __init__(self, rest: Mirror, **files: bytes | None) -> None:
        self.rest = rest
        self.files = {name.replace("_", ".") + ".json": body for name, body in files.items()}
        self.asked: list[str] = []

    def chunks(self, name: str) -> Iterator[bytes]:
        self.asked.append(name)
        if name not in self.files:
            yield from self.rest.chunks(name)
            return
        body = self.files[name]
        if body is None:
            raise FileNotFoundError(2, "no such file", name)
        yield body


def refused(reader: Reader, why: str, mirror: Mirror | None = None) -> None:
    """In one sentence, and what is believed stays as it was."""
    before = reader.current
    with pytest.raises(SenderError) as caught:
        reader.refresh(mirror)
    assert why in caught.value.message
    assert caught.value.message.startswith("The fleet's metadata from ")
    assert "\n" not in caught.value.message
    assert caught.value.hint
    assert reader.current == before


def stolen_online_key(publisher: Publisher) -> None:
    """Whoever has it signs a snapshot and a timestamp of what lies there now."""
    files = Files(publisher.repository.folder)
    files.snapshot(publisher.key("online"), publisher.now)
    files.timestamp(publisher.key("online"), publisher.now, 24.0)


def monitor_of(reader: Reader) -> FreshnessMonitor:
    """What that station knows, from what it keeps."""
    refresher = Refresher(reader.trust, reader.folder, reader.clock)
    return FreshnessMonitor(reader.trust, reader.folder, reader.clock, refresher)
