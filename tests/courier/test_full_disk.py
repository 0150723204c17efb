"""A store's disk that is full: nothing is half there, and the bundle comes when there is room."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from edge_daemon.courier.staging import Wanted
from edge_daemon.courier.torrent import PIECE_BYTES, Torrent
from tests.sim.small_disk import small_disk
from tests.sim.swarm_site import Station, certificates, published, site
from tests.sim.web_shelf import WebShelf

pytest.importorskip("libtorrent", reason="needs the extra fleet")

MB = 1 << 20
DISK_MB = 100


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("plant"), ["cam1"])


@pytest.fixture
def origin(plant: Path, tmp_path: Path) -> Iterator[tuple[WebShelf, Torrent, Wanted]]:
    torrent, wanted = published(tmp_path / "origin", plant / "ca.pem", 2.0)
    with WebShelf(tmp_path / "origin").serving() as shelf:
        yield shelf, torrent, wanted


def weights_in(station: Station) -> list[Path]:
    return [each for each in station.store.rglob("weights.pt") if each.stat().st_blocks]


def ballast(disk: Path, left_mb: int) -> Path:
    """A file that leaves so many megabytes free."""
    file = disk / "ballast"
    with file.open("wb") as into:
        into.writelines(bytes(MB) for _ in range(DISK_MB - left_mb))
    return file


def test_a_disk_that_is_full_at_the_start_and_has_room_later(
    plant: Path, origin: tuple[WebShelf, Torrent, Wanted], tmp_path: Path
) -> None:
    shelf, _, wanted = origin
    with (
        small_disk(tmp_path / "disk", DISK_MB) as disk,
        site(disk / "site", plant, shelf.url) as made,
    ):
        file = ballast(disk, left_mb=60)
        station = made.add("cam1", "127.0.0.2")
        station.courier.want(wanted)
        assert made.wait(lambda: "no room for" in station.progress.why), made.told()
        assert station.progress.phase == "fetching"
        assert weights_in(station) == []
        assert station.progress.origin == 0
        file.unlink()
        assert made.wait(lambda: station.has_it), made.told()
        assert station.digest() == wanted.sha256
        assert station.courier.starts == 1


def test_a_disk_that_fills_while_it_comes(
    plant: Path, origin: tuple[WebShelf, Torrent, Wanted], tmp_path: Path
) -> None:
    """Its own room is taken already, and the store's door finds none: what came is not lost, and
    nothing of the store's copy is left."""
    shelf, torrent, wanted = origin
    weights = "bottle/1.4.0/weights.pt"
    shelf.most[weights] = 3 * PIECE_BYTES
    with (
        small_disk(tmp_path / "disk", DISK_MB) as disk,
        site(disk / "site", plant, shelf.url) as made,
    ):
        station = made.add("cam1", "127.0.0.2")
        station.courier.want(wanted)
        there = list(range(torrent.files[-1].first + 3))
        assert made.wait(lambda: station.on_disk(torrent) == there), made.told()
        file = disk / "ballast"
        with file.open("wb", buffering=0) as into, suppress(OSError):
            while into.write(bytes(64 << 10)):
                pass  # until there is no room for one more byte
        del shelf.most[weights]
        assert made.wait(lambda: "No space" in station.progress.why), made.told()
        assert station.progress.phase == "fetching"
        assert not (station.store / "bottle").exists()
        came = station.progress.origin
        file.unlink()
        assert made.wait(lambda: station.has_it), made.told()
        assert station.digest() == wanted.sha256
        assert station.progress.origin == came == torrent.size
        assert station.courier.starts == 1
        assert list((station.store / ".swarm").iterdir()) == []
