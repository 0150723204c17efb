"""Pulls that are spoilt, and pulls that are cut off: how many are refused, and what it costs.

Every kind of source gives out the same bundle. A cut is the death of the pulling process at a
random byte, as by `kill -9`: nothing is flushed and nobody says goodbye.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from edge_daemon.errors import BoxError, BundleError
from edge_daemon.models.bundle import vouched_reader
from edge_daemon.models.store import Store
from edge_daemon.models.trust import Trust, generate_keypair
from edge_daemon.sources.fetch import PullTarget, fetch, look
from edge_daemon.sources.folder import FolderSource
from edge_daemon.sources.http import Http
from edge_daemon.sources.mlflow import MlflowSource
from edge_daemon.sources.oci import OciSource
from edge_daemon.sources.pace import Pace
from edge_daemon.sources.pins import Pins
from edge_daemon.sources.source import Source
from edge_daemon.sources.web import WebSource
from tests.sim import mlflow_server, s3
from tests.sim import registry as debian
from tests.sim.bundles import make_bundle, noise
from tests.sim.mlflow import Bucket, MlflowShelf
from tests.sim.registry import Registry
from tests.sim.web_shelf import WebShelf

KINDS = (
    "folder",
    "http",
    "oci",
    "mlflow",
    "mlflow bucket",
    "mlflow server",
    "mlflow server bucket",
)
"""The last two are MLflow itself, where there is one; the two before them are simulated."""
MOST_AGAIN = 8 << 20
REF = "bottle@1.0.0"


class File(Protocol):
    """A path, or what has no path."""

    def read_bytes(self) -> bytes: ...

    def write_bytes(self, data: bytes, /) -> object: ...


@dataclass(frozen=True)
class BucketFile:
    """An object."""

    bucket: s3.S3Station
    key: str

    def read_bytes(self) -> bytes:
        return self.bucket.get(self.key)

    def write_bytes(self, data: bytes) -> None:
        self.bucket.put(self.key, data)


@dataclass
class Shelf:
    """One kind of source; `file` is where it keeps a file of the bundle, after `offer`."""

    source: Source
    which: str
    offer: Callable[[Path], None]
    file: Callable[[str], File]


@dataclass
class Report:
    """How often each fault was tried, and how often it ended as it should."""

    tried: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    listed: list[str] = field(default_factory=list)
    """Faults whose bundle was in the store afterwards."""


@dataclass
class Cuts:
    """Bytes that came twice, for each cut; `pulls`: how many bundles came whole in the end."""

    again: list[int] = field(default_factory=list)
    pulls: int = 0


class Plant:
    """A station that takes signed bundles only, and one shelf."""

    def __init__(self, folder: Path, shelf: Shelf, keys: tuple[Path, Path]) -> None:
        self._folder, self.shelf, self._key = folder, shelf, keys[0]
        self._trust = Trust([keys[1]], required=True)
        self._pins = Pins()
        self._made = 0
        self._touched: dict[File, bytes] = {}

    def make(self, size: int, golden: int = 2, *, key: bool = True) -> Path:
        """A bundle of this version, other bytes each time."""
        self._made += 1
        place = self._folder / f"made{self._made}"
        made = noise(str(self._made), size)
        return make_bundle(place, REF, weights=made, golden=golden, key=self._key if key else None)

    def touch(self, file: File) -> bytes:
        """The content of a file that is spoilt until the next `empty`: a registry keeps one file
        for all bundles that have the same."""
        self._touched[file] = file.read_bytes()
        return self._touched[file]

    def empty(self) -> None:
        """A new store that knows nothing, and a shelf that is whole again."""
        for file, content in self._touched.items():
            file.write_bytes(content)
        self._touched.clear()
        shutil.rmtree(self._folder / "store", ignore_errors=True)
        self._pins = Pins()

    @property
    def store(self) -> Store:
        return Store(self._folder / "store", None, None, vouched_reader(self._trust))

    def pull(self, tell: Callable[[int, int], None] = lambda *_: None) -> None:
        """What the shelf offers now, as the daemon does it."""
        target = PullTarget(self.store, self._trust, self._pins, tell)
        pace = Pace(wait=lambda _: False)
        for offered in self.shelf.source.offered("bottle", self.shelf.which):
            manifest = look(self.shelf.source, offered, "bottle", target, pace)
            fetch(self.shelf.source, offered, manifest, target, pace)

    def listed(self) -> bool:
        return bool(self.store.available())

    def saved(self) -> int:
        """Bytes of the weights that count after a cut."""
        for notes in (self._folder / "store/.pulls").glob("*.json"):
            return int(json.loads(notes.read_text())["bytes"].get("weights.pt", 0))
        return 0


@contextmanager
def plant(kind: str, folder: Path) -> Iterator[Plant]:
    """One kind of source, and a station that pulls from it."""
    folder.mkdir(parents=True, exist_ok=True)
    keys = generate_keypair(folder)
    with _shelf(kind, folder / "shelf") as shelf:
        yield Plant(folder, shelf, keys)


def is_there(kind: str) -> bool:
    """Whether this machine has what this kind needs."""
    if kind.startswith("mlflow server"):
        return mlflow_server.is_installed()
    return kind != "oci" or debian.is_installed()


def spoil(plant: Plant, count: int, chance: random.Random) -> Report:
    """So many times each fault, each in a new store."""
    report = Report()
    faults = {
        "flipped byte": _flip,
        "short body": _shorten,
        "no signature": _unsign,
        "other version": _replace,
    }
    for fault, put in faults.items():
        for _ in range(count):
            plant.empty()
            before = put(plant, chance)
            report.tried[fault] += 1
            try:
                plant.pull()
            except (BundleError, BoxError):
                report.refused[fault] += 1
            if plant.listed() != before:
                report.listed.append(fault)
    return report


def cut(plant: Plant, count: int, chance: random.Random, size: int) -> Cuts:
    """So many deaths at a random byte, of as many pulls as it takes."""
    cuts = Cuts()
    while len(cuts.again) < count:
        plant.empty()
        plant.shelf.offer(plant.make(size, golden=0))
        while not plant.listed():
            at = chance.randrange(1, size) if len(cuts.again) < count else None
            before, came = plant.saved(), _die(plant, at)
            if plant.listed():
                break
            cuts.again.append(before + came - plant.saved())
        cuts.pulls += 1
    return cuts


def _die(plant: Plant, at: int | None) -> int:
    """Pull in a process that dies once so many bytes came; how many came."""
    context = multiprocessing.get_context("fork")
    came = context.Value("q", 0, lock=False)

    def tell(chunk: int, _total: int) -> None:
        came.value += chunk
        if at is not None and came.value >= at:
            os._exit(9)

    def pull() -> None:
        try:
            plant.pull(tell)
        finally:
            os._exit(0)

    process = context.Process(target=pull)
    process.start()
    process.join()
    return int(came.value)


# --------------------------------------------------------------------------- faults


def _flip(plant: Plant, chance: random.Random) -> bool:
    """One bit of one byte, of any file that the signature covers. Whether one is listed then."""
    plant.shelf.offer(plant.make(4096))
    name = chance.choice(("weights.pt", "golden/0000.png", "golden/0001.png", "model.yaml"))
    file = plant.shelf.file(name)
    content = bytearray(plant.touch(file))
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    file.write_bytes(content)
    return False


def _shorten(plant: Plant, chance: random.Random) -> bool:
    plant.shelf.offer(plant.make(4096))
    file = plant.shelf.file(chance.choice(("weights.pt", "golden/0000.png", "model.yaml")))
    content = plant.touch(file)
    file.write_bytes(content[: chance.randrange(len(content))])
    return False


def _unsign(plant: Plant, _chance: random.Random) -> bool:
    plant.shelf.offer(plant.make(4096, key=False))
    return False


def _replace(plant: Plant, _chance: random.Random) -> bool:
    """Another bundle under a version that came before: the first one stays."""
    plant.shelf.offer(plant.make(4096))
    plant.pull()
    plant.shelf.offer(plant.make(4096))
    return True


# --------------------------------------------------------------------------- kinds


@contextmanager
def _shelf(kind: str, folder: Path) -> Iterator[Shelf]:
    folder.mkdir()
    place = folder / "bottle/1.0.0"

    def offer(made: Path) -> None:
        shutil.rmtree(folder / "bottle", ignore_errors=True)
        place.parent.mkdir()
        shutil.copytree(made, place)
        (place.parent / "versions.txt").write_text("1.0.0\n")

    usual = Shelf(FolderSource(folder), "newest", offer, place.joinpath)
    if kind == "folder":
        yield usual
    elif kind == "http":
        with WebShelf(folder).serving() as server:
            yield replace(usual, source=WebSource(Http(server.url)))
    elif kind == "mlflow server":
        yield from _mlflow(folder)
    elif kind == "mlflow server bucket":
        yield from _mlflow_bucket(folder)
    elif kind.startswith("mlflow"):
        with Bucket(folder).serving() as bucket, MlflowShelf(folder).serving() as server:
            assert isinstance(server, MlflowShelf)
            if kind == "mlflow bucket":
                server.keep_in(bucket.url)
            server.versions["bottle-model", "1"] = "mlflow-artifacts:/bottle/1.0.0"
            source = MlflowSource(Http(server.url))
            yield replace(usual, source=source, which="bottle-model/1")
    else:
        yield from _registry(folder)


def _mlflow(folder: Path) -> Iterator[Shelf]:
    """MLflow's own server. Each bundle is logged by its client once; then its files change."""
    kept = folder / "kept"
    with mlflow_server.running(folder, str(kept)) as server:
        place: list[Path] = []

        def offer(made: Path) -> None:
            if not place:
                place.append(kept / server.register(made))
            shutil.rmtree(place[0])
            shutil.copytree(made, place[0])

        source = MlflowSource(Http(server.url))
        yield Shelf(source, "bottle-model@champion", offer, lambda name: place[0] / name)


def _mlflow_bucket(folder: Path) -> Iterator[Shelf]:
    """The same with all that it keeps in a bucket."""
    with s3.s3_station() as bucket:
        bucket.let_anybody_in()
        keys = {"AWS_ACCESS_KEY_ID": bucket.key_id, "AWS_SECRET_ACCESS_KEY": bucket.secret}
        told = {**keys, "MLFLOW_S3_ENDPOINT_URL": bucket.endpoint}
        with mlflow_server.running(folder, f"s3://{s3.BUCKET}/kept", **told) as server:
            place: list[str] = []

            def offer(made: Path) -> None:
                if not place:
                    place.append(f"kept/{server.register(made)}")
                kept = bucket.objects()
                bucket.let_anybody_in()
                for key in kept:
                    bucket.delete(key)
                for path in made.rglob("*"):
                    if path.is_file():
                        key = f"{place[0]}/{path.relative_to(made)}"
                        bucket.put(key, path.read_bytes())

            source = MlflowSource(Http(server.url))
            yield Shelf(
                source,
                "bottle-model@champion",
                offer,
                lambda name: BucketFile(bucket, f"{place[0]}/{name}"),
            )


def _registry(folder: Path) -> Iterator[Shelf]:
    """Debian's docker-registry; it gives out what lies on its disk, and checks nothing."""
    with Registry(folder).running() as registry:
        layers: dict[str, Path] = {}

        def offer(made: Path) -> None:
            digest = registry.push(made, "line3/bottle", "stable")
            manifest = json.loads(registry.get(f"line3/bottle/manifests/{digest}"))
            for layer in manifest["layers"]:
                name = layer["annotations"][debian.TITLE]
                layers[name] = registry.blob_file(layer["digest"])

        yield Shelf(OciSource(registry.url), "line3/bottle:stable", offer, layers.__getitem__)
