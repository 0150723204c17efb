"""Stations of a site bring a bundle from the origin once, and give it to each other."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge_daemon.courier import child, election, wire
from edge_daemon.courier.child import CourierProcess
from edge_daemon.courier.staging import Wanted
from edge_daemon.courier.torrent import PIECE_BYTES, Torrent
from edge_daemon.models.trust import generate_keypair
from tests.sim.swarm_site import NEVER_S, Site, Station, certificates, published, site
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
    shelf.most.clear()
    return offered


def sent(shelf: WebShelf) -> int:
    """Bytes of files of the bundle that left the origin."""
    return sum(count for path, count in shelf.sent.items() if not path.endswith(".torrent"))


def filled(made: Site, wanted: Wanted) -> list[Station]:
    """They are up and have heard of each other when a campaign comes; first to last, as they are
    elected. However slow the box is, only the second one takes the first one's place.
    """
    standing = election.order(wanted.infohash, dict.fromkeys(NAMES, 0.0))
    waits = dict.fromkeys(NAMES, NEVER_S) | {standing[1]: 1.0}
    for number, name in enumerate(standing):
        address, first_wait_s = f"127.0.0.{2 + number}", waits[name]
        made.add(name, address, settle_s=NEVER_S, first_wait_s=first_wait_s, wait_s=NEVER_S)
    assert made.know_each_other(), made.told()
    made.introduce()
    return list(made.stations)


def test_four_stations_take_a_bundle_from_the_origin_once(
    plant: Path, origin: tuple[WebShelf, Torrent, Wanted], tmp_path: Path
) -> None:
    """The second one comes late, and might else ask as well on a slow box."""
    shelf, torrent, wanted = origin
    with site(tmp_path / "site", plant, shelf.url) as made:
        first, second, *others = filled(made, wanted)
        for station in (first, *others):
            station.courier.want(wanted)
        assert made.wait(lambda: all(s.has_it for s in (first, *others))), made.told()
        assert sent(shelf) == torrent.size
        second.courier.want(wanted)
        assert made.wait(lambda: second.has_it), made.told()
        assert all(each.digest() == wanted.sha256 for each in made.stations)
        for station in others:
            assert station.progress.peers >= torrent.size
            assert station.progress.origin == 0


def test_the_next_one_goes_on_where_a_fetcher_died(
    plant: Path, origin: tuple[WebShelf, Torrent, Wanted], tmp_path: Path
) -> None:
    """Killed half way for good: the next one takes from the origin what nobody has. All that is
    lost is what was on its way: to the dead one, and to the next one before it had neighbours."""
    shelf, torrent, wanted = origin
    weights = "bottle/1.4.0/weights.pt"
    shelf.most[weights] = 4 * PIECE_BYTES + PIECE_BYTES // 2
    there = list(range(torrent.files[-1].first + 4))
    with site(tmp_path / "site", plant, shelf.url) as made:
        first, second, *others = filled(made, wanted)
        for wanting in ([first, *others], [second]):
            for station in wanting:
                station.courier.want(wanted)
            assert made.wait(
                lambda wanting=wanting: all(s.on_disk(torrent) == there for s in wanting)  # type: ignore[misc]
            ), made.told()
        made.lose(first)
        del shelf.most[weights]
        assert made.wait(lambda: all(s.has_it for s in made.stations)), made.told()
        assert all(each.digest() == wanted.sha256 for each in made.stations)
        assert [each.progress.origin for each in others] == [0, 0]
    assert sent(shelf) <= torrent.size + 2 * PIECE_BYTES


def test_a_courier_that_is_killed_at_every_stage_goes_on(
    plant: Path,
    origin: tuple[WebShelf, Torrent, Wanted],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SIGKILL before it knows the bundle, before the weights, among their pieces, before the door,
    and while it gives: each kill costs the piece that was on its way, and no other one."""
    monkeypatch.setattr(child, "FIRST_S", 0.05)
    shelf, torrent, wanted = origin
    description, weights = "bottle/1.4.0.torrent", "bottle/1.4.0/weights.pt"
    first = torrent.files[-1].first
    shelf.most = {description: 0, weights: 0}
    with site(tmp_path / "site", plant, shelf.url) as made:
        station = made.add("cam1", "127.0.0.2")

        def killed_with(pieces: int) -> None:
            """Once so many are on the disk, and the origin gives no more."""
            there = list(range(pieces))
            assert made.wait(lambda: station.on_disk(torrent) == there), made.told()
            starts = station.courier.starts
            station.kill()
            assert made.wait(lambda: station.courier.starts > starts)

        station.courier.want(wanted)
        assert made.wait(lambda: bool(shelf.asked))
        killed_with(0)
        del shelf.most[description]
        killed_with(first)
        shelf.most[weights] = 3 * PIECE_BYTES + PIECE_BYTES // 2
        killed_with(first + 3)
        with (station.store / ".lock").open("wb") as door:
            fcntl.flock(door, fcntl.LOCK_EX)
            del shelf.most[weights]
            killed_with(torrent.pieces)
        assert made.wait(lambda: station.has_it), made.told()
        killed_with(0)
        assert made.wait(lambda: station.has_it), made.told()
        assert station.digest() == wanted.sha256
        assert list((station.store / ".swarm").iterdir()) == []
    began = [asked.partition("-")[0] for path, asked in shelf.asked if path == weights]
    assert list(dict.fromkeys(began)) == ["bytes=0", f"bytes={3 * PIECE_BYTES}"]
    assert sent(shelf) == torrent.size + PIECE_BYTES // 2


def test_a_stranger_in_the_plant_gets_no_byte(
    plant: Path, origin: tuple[WebShelf, Torrent, Wanted], tmp_path: Path
) -> None:
    """Another authority's certificate, and a station's own name in place of the star."""
    shelf, _, wanted = origin
    foreign = certificates(tmp_path / "foreign", ["cam2"])
    mixed = tmp_path / "mixed"
    shutil.copytree(plant, mixed)
    for end in ("pem", "key"):
        shutil.copy(foreign / f"cam2-swarm.{end}", mixed / f"cam2-swarm.{end}")
        shutil.copy(plant / f"cam3.{end}", mixed / f"cam3-swarm.{end}")
    with site(tmp_path / "site", mixed, shelf.url) as made:
        giver = made.add("cam1", "127.0.0.2")
        giver.courier.want(wanted)
        assert made.wait(lambda: giver.has_it), made.told()
        had = sent(shelf)
        strangers = [
            made.add(name, f"127.0.0.{at}", first_wait_s=1.0)
            for at, name in ((3, "cam2"), (4, "cam3"))
        ]
        for each in strangers:
            each.courier.want(wanted)
        # They are left to the origin, which they ask when no neighbour gives anything.
        assert made.wait(lambda: sent(shelf) > had), made.told()
        assert all(each.progress.peers == 0 for each in strangers), made.told()
        assert giver.progress.given == 0


def test_an_origin_that_poisons_fills_no_store(plant: Path, tmp_path: Path) -> None:
    _, wanted = published(tmp_path / "origin", plant / "ca.pem", 0.6)
    weights = tmp_path / "origin" / "bottle" / "1.4.0" / "weights.pt"
    weights.write_bytes(bytes(weights.stat().st_size))
    with (
        WebShelf(tmp_path / "origin").serving() as shelf,
        site(tmp_path / "site", plant, shelf.url) as made,
    ):
        station = made.add("cam1", "127.0.0.2")
        station.courier.want(wanted)
        assert made.wait(lambda: "other bytes" in station.progress.why), made.told()
        assert not (station.store / "bottle").exists()
        assert station.progress.have < 1.0


def test_a_bundle_that_nobody_signed_is_refused_though_the_swarm_has_it(
    plant: Path, origin: tuple[WebShelf, Torrent, Wanted], tmp_path: Path
) -> None:
    shelf, _, wanted = origin
    key = generate_keypair(tmp_path)[1]
    with site(tmp_path / "site", plant, shelf.url, keys=(str(key),)) as made:
        station = made.add("cam1", "127.0.0.2")
        station.courier.want(wanted)
        assert made.wait(lambda: station.progress.phase == "refused"), made.told()
        assert not (station.store / "bottle").exists()
        assert list((station.store / ".swarm").iterdir()) == []


def test_nothing_comes_while_it_rests(
    plant: Path, origin: tuple[WebShelf, Torrent, Wanted], tmp_path: Path
) -> None:
    shelf, _, wanted = origin
    with site(tmp_path / "site", plant, shelf.url) as made:
        station = made.add("cam1", "127.0.0.2")
        station.courier.rest(is_on=True)
        station.courier.want(wanted)
        assert made.wait(lambda: bool(shelf.asked)), made.told()  # for the description
        made.wait(lambda: False, seconds=0.5)
        assert sent(shelf) == 0
        station.courier.rest(is_on=False)
        assert made.wait(lambda: station.has_it), made.told()


def test_without_neighbours_the_source_itself_gives_it(
    plant: Path, origin: tuple[WebShelf, Torrent, Wanted], tmp_path: Path
) -> None:
    """`share: none`."""
    shelf, _, wanted = origin
    store = tmp_path / "store"
    setup = wire.Setup("cam1", str(store), (), False, (wire.SourceSpec("http", shelf.url),))
    courier = CourierProcess(setup)
    courier.start()
    courier.want(replace(wanted, infohash="", size=None))
    station = Station("cam1", store, courier, "")
    made = Site(tmp_path, plant, shelf.url, stations=[station])
    try:
        assert made.wait(lambda: station.has_it), made.told()
        assert station.digest() == wanted.sha256
    finally:
        made.close()
