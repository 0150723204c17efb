"""A site of stations that share: real couriers on addresses of this machine, a web server as the
origin, and a plant's own certificates."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from edge_daemon.core.values import BundleRef
from edge_daemon.courier import wire
from edge_daemon.courier.child import CourierProcess
from edge_daemon.courier.peers import STEP
from edge_daemon.courier.site import Neighbour
from edge_daemon.courier.staging import Wanted
from edge_daemon.courier.torrent import Torrent, describe, folder_files
from edge_daemon.models.bundle import read_manifest
from tests.sim.bundles import make_bundle, noise

REF = "bottle@1.4.0"
ROOT = Path(__file__).parents[2]


def certificates(folder: Path, names: list[str]) -> Path:
    """A plant's authority, and a swarm certificate of each station."""
    script = ROOT / "scripts" / "make_certificates"
    subprocess.run([str(script), str(folder), *names], check=True, capture_output=True)
    return folder


def published(
    shelf: Path, ca: Path, megabytes: float, key: Path | None = None, ref: str = REF
) -> tuple[Torrent, Wanted]:
    """A bundle that an origin gives out, and what a campaign says of it."""
    weights = noise(ref, int(megabytes * 1e6))
    folder = make_bundle(shelf, ref, weights=weights, key=key)
    torrent = describe(folder.name, folder_files(folder), ca.read_bytes())
    (folder.parent / f"{folder.name}.torrent").write_bytes(torrent.content)
    manifest = read_manifest(folder)
    wanted = Wanted(
        BundleRef.parse(ref), manifest.weights.sha256, torrent.infohash, torrent.size,
        manifest.sha256,
    )  # fmt: skip
    return torrent, wanted


@dataclass
class Station:
    """One courier with a store of its own."""

    name: str
    store: Path
    courier: CourierProcess
    address: str

    def kill(self) -> None:
        """SIGKILL, whatever it does now; it is started again."""
        if (pid := self.courier.pid) is not None:
            os.kill(pid, signal.SIGKILL)

    @property
    def progress(self) -> wire.Progress:
        return self.courier.progress()

    @property
    def has_it(self) -> bool:
        return self.progress.phase == "have"

    def on_disk(self, torrent: Torrent) -> list[int]:
        """The pieces that a courier which begins now would find of a bundle under way."""
        root = self.store / ".swarm" / torrent.infohash[:32] / torrent.name
        return [piece for piece in range(torrent.pieces) if _is_there(root, torrent, piece)]

    def digest(self, file: str = "weights.pt", ref: str = REF) -> str:
        parsed = BundleRef.parse(ref)
        content = (self.store / parsed.name / parsed.version / file).read_bytes()
        return hashlib.sha256(content).hexdigest()


def _is_there(root: Path, torrent: Torrent, piece: int) -> bool:
    file, at, size = torrent.place_of(piece)
    with suppress(FileNotFoundError), (root / file.path).open("rb") as content:
        content.seek(at)
        return torrent.is_piece(piece, content.read(size))
    return False


NEVER_S = 1e6
_NOBODY = "127.255.0.1"


def _said(station: Station) -> Neighbour:
    """What a station tells: what it has in steps, as it does on a broker."""
    told = station.progress
    have = int(told.have / STEP) * STEP
    return Neighbour(station.name, station.address, told.port, told.infohash, have)


def _here(setup: wire.Setup, _prefix: tuple[str, ...]) -> CourierProcess:
    return CourierProcess(setup)


@dataclass
class Site:
    """Stations that know of each other as a broker would tell them."""

    folder: Path
    certificates: Path
    origin: str
    keys: tuple[str, ...] = ()
    stations: list[Station] = field(default_factory=list)
    gone: list[Neighbour] = field(default_factory=list)
    begin: Callable[[wire.Setup, tuple[str, ...]], CourierProcess] = _here

    def setup(self, name: str, address: str, **changed: object) -> wire.Setup:
        """What the daemon of a station would say first."""
        at = self.certificates
        share = {
            "interface": address,
            "certificate": str(at / f"{name}-swarm.pem"),
            "key": str(at / f"{name}-swarm.key"),
            "ca": str(at / "ca.pem"),
            "port": 0,
            "up_mbit": 200.0,
            "down_mbit": 400.0,
            "local": False,
            "settle_s": 0.0,  # most sites have one station
            **changed,
        }
        return wire.Setup(
            name, str(self.folder / name / "store"), self.keys, bool(self.keys),
            (wire.SourceSpec("http", self.origin),), (), wire.Share(**share),  # type: ignore[arg-type]
            float(share["down_mbit"]),  # type: ignore[arg-type]
        )  # fmt: skip

    def add(
        self, name: str, address: str, prefix: tuple[str, ...] = (), **changed: object
    ) -> Station:
        store = self.folder / name / "store"
        store.mkdir(parents=True)
        courier = self.begin(self.setup(name, address, **changed), prefix)
        station = Station(name, store, courier, address)
        self.stations.append(station)
        courier.start()
        return station

    def know_each_other(self, apart: tuple[str, ...] = ()) -> bool:
        """As stations do that are up before a campaign begins; whether all are, in time."""
        return self.wait(lambda: all(each.progress.port for each in self.stations), apart)

    def lose(self, station: Station) -> None:
        """It dies for good; a broker goes on giving out what it said last."""
        self.gone.append(_said(station))
        self.stations.remove(station)
        station.courier.stop()

    def introduce(self, apart: tuple[str, ...] = ()) -> None:
        """Each hears of all others that share; those `apart` are heard of and reach nobody."""
        there = [*self.gone, *map(_said, self.stations)]
        cut_off = [replace(each, address=_NOBODY, port=1) for each in there]
        known = [
            away if each.device in apart else each
            for each, away in zip(there, cut_off, strict=True)
            if each.port
        ]
        for station in self.stations:
            station.courier.know(cut_off if station.name in apart else known)

    def wait(
        self, until: Callable[[], bool], apart: tuple[str, ...] = (), seconds: float = 100.0
    ) -> bool:
        """Tell the news of the site until something holds; whether it did in time."""
        end = time.monotonic() + seconds
        while not until():
            if time.monotonic() > end:
                return False
            self.introduce(apart)
            time.sleep(0.1)
        return True

    def close(self) -> None:
        for station in self.stations:
            station.courier.stop()

    def told(self) -> str:
        """What each says, for a failure's message."""
        return "\n".join(f"{each.name}: {each.progress}" for each in self.stations)


@contextmanager
def site(folder: Path, certificates: Path, origin: str, **given: object) -> Iterator[Site]:
    """The couriers end with it."""
    made = Site(folder, certificates, origin, **given)  # type: ignore[arg-type]
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)
        sys.stdout.flush()
