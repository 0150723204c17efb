"""Stations of a site bring a bundle from the origin once, and give it to each other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_daemon.courier import election
from edge_daemon.courier.landing import Wanted
from edge_daemon.courier.torrent import Torrent
from tests.sim.swarm_site import Site, certificates, published, site
from tests.sim.web_shelf import WebShelf

pytest.importorskip("libtorrent", reason="needs the extra fleet")

NAMES = ["cam1", "cam2", "cam3", "cam4"]
MB = 2.0


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("plant"), NAMES)


@pytest.fixture(scope="module")
def offered(
    plant: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[WebShelf, Torrent, Wanted]]:
    root = tmp_path_factory.mktemp("origin")
    torrent, wanted = published(root, plant / "ca.pem", MB)
    with WebShelf(root).serving() as shelf:
        yield shelf, torrent, wanted


@pytest.fixture
def origin(offered: tuple[WebShelf, Torrent, Wanted]) -> tuple[WebShelf, Torrent, Wanted]:
    shelf, _, _ = offered
    shelf.sent.clear()
    shelf.asked.clear()
    return offered


def sent(shelf: WebShelf) -> int:
    """Bytes of files of the bundle that left the origin."""
    return sum(count for path, count in shelf.sent.items() if not path.endswith(".torrent"))


def filled(made: Site, wanted: Wanted) -> None:
    for number, name in enumerate(NAMES):
        made.add(name, f"127.0.0.{2 + number}")
    for station in made.stations:
        station.courier.want(wanted)


def test_four_stations_take_a_bundle_from_the_origin_once(
    plant: Path, origin: tuple[WebShelf, Torrent, Wanted], tmp_path: Path
) -> None:
    shelf, torrent, wanted = origin
    with site(tmp_path / "site", plant, shelf.url) as made:
        filled(made, wanted)
        assert made.wait(lambda: all(s.has_it for s in made.stations), torrent), made.told()

        first = election.order(wanted.infohash, dict.fromkeys(NAMES, 0.0))[0]
        for station in made.stations:
            assert station.digest() == wanted.sha256
            if station.name != first:
                assert station.progress.peers >= 0.9 * torrent.size
        assert sent(shelf) <= 1.2 * torrent.size
