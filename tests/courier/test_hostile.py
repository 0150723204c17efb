"""Peers with a certificate of the plant that lie, and strangers without one: nobody is the worse
for them but a little later."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from edge_daemon.courier.staging import Wanted
from edge_daemon.courier.torrent import BLOCK_BYTES, PIECE_BYTES, Torrent
from tests.sim.hostile_peer import Answer, HostilePeer
from tests.sim.swarm_site import NEVER_S, Station, certificates, published, site
from tests.sim.web_shelf import WebShelf

pytest.importorskip("libtorrent", reason="needs the extra fleet")


class Waiting(WebShelf):
    """An origin that describes the bundle, and gives none of it before it may."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.may_give = threading.Event()

    def answer(self, to: BaseHTTPRequestHandler) -> None:
        if not to.path.endswith(".torrent"):
            self.may_give.wait(60.0)
        super().answer(to)


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("plant"), ["cam1", "cam2", "liar"])


@pytest.fixture
def origin(plant: Path, tmp_path: Path) -> Iterator[tuple[Waiting, Torrent, Wanted]]:
    torrent, wanted = published(tmp_path / "origin", plant / "ca.pem", 1.2)
    with Waiting(tmp_path / "origin").serving() as shelf:
        yield shelf, torrent, wanted


def sent(shelf: WebShelf) -> int:
    return sum(count for path, count in shelf.sent.items() if not path.endswith(".torrent"))


def liar_of(plant: Path) -> tuple[Path, Path]:
    return plant / "liar-swarm.pem", plant / "liar-swarm.key"


def poisoned(peer: HostilePeer, piece: int, begin: int, length: int) -> None:
    peer.piece(piece, begin, os.urandom(length))


def short(peer: HostilePeer, piece: int, begin: int, length: int) -> None:
    peer.piece(piece, begin, os.urandom(length // 2))


def long(peer: HostilePeer, piece: int, begin: int, length: int) -> None:
    peer.piece(piece, begin, os.urandom(length + BLOCK_BYTES))


def of_nowhere(peer: HostilePeer, _: int, begin: int, length: int) -> None:
    peer.piece(0x7FFFFFFF, begin, os.urandom(length))


def beyond_the_end(peer: HostilePeer, piece: int, _: int, length: int) -> None:
    peer.piece(piece, 0xFFFFC000, os.urandom(length))


def silent(_: HostilePeer, __: int, ___: int, ____: int) -> None:
    """It has everything, and gives nothing."""


ANSWERS: tuple[Answer, ...] = (poisoned, short, long, of_nowhere, beyond_the_end, silent)
GREETINGS = (
    b"\xff\xff\xff\xff\x05",  # a message of 4 GiB
    b"\x00\x00\x01\x01\x05" + b"\xff" * 256,  # more pieces than there are
    b"\x00\x00\x00\x05\x04\xff\xff\xff\xff",  # a piece that there is not
    os.urandom(4096),
)


def test_peers_that_poison_lie_and_keep_silent_cost_time_and_no_byte_of_the_bundle(
    plant: Path, origin: tuple[Waiting, Torrent, Wanted], tmp_path: Path
) -> None:
    shelf, torrent, wanted = origin
    with site(tmp_path / "site", plant, shelf.url) as made, ExitStack() as liars:
        station = made.add("cam1", "127.0.0.2", first_wait_s=1.0)
        station.courier.want(wanted)
        assert made.wait(lambda: station.progress.phase == "fetching" and bool(shelf.asked))
        where = ("127.0.0.2", station.progress.port)
        for number, greeting in enumerate(GREETINGS):
            source = f"127.0.2.{number + 1}"
            liar = HostilePeer(source, where, torrent, liar_of(plant), greeting=greeting)
            liars.enter_context(closing(liar))
            assert made.wait(lambda liar=liar: liar.is_shown_out)  # type: ignore[misc]
        for number, answer in enumerate(ANSWERS):
            liar = HostilePeer(f"127.0.1.{number + 1}", where, torrent, liar_of(plant), answer)
            liars.enter_context(closing(liar))
            assert made.wait(lambda liar=liar: liar.asked > 0), number  # type: ignore[misc]
        shelf.may_give.set()
        assert made.wait(lambda: station.has_it), made.told()
        check(station, wanted, torrent)


def check(station: Station, wanted: Wanted, torrent: Torrent) -> None:
    """It has the right bytes, from the origin, once; and it is the same process."""
    assert station.digest() == wanted.sha256
    assert station.courier.starts == 1
    # Each liar may give some blocks before it is shown out; what they gave is thrown away.
    assert station.progress.peers < 2 * BLOCK_BYTES * len(ANSWERS)
    # A piece of which a liar gave some blocks, while the origin gave it, comes once more.
    assert station.progress.origin <= torrent.size + 2 * PIECE_BYTES
    assert list((station.store / ".swarm").iterdir()) == []


def test_one_that_opens_a_hundred_connections_and_strangers_that_hold_them_keep_nobody_out(
    plant: Path, origin: tuple[Waiting, Torrent, Wanted], tmp_path: Path
) -> None:
    """A peer of the plant has one connection; who shows no certificate has none for long."""
    shelf, torrent, wanted = origin
    with site(tmp_path / "site", plant, shelf.url) as made, ExitStack() as crowd:
        shelf.may_give.set()
        giver = made.add("cam1", "127.0.0.2")
        giver.courier.want(wanted)
        assert made.wait(lambda: giver.has_it), made.told()
        had, where = sent(shelf), ("127.0.0.2", giver.progress.port)
        many = [
            crowd.enter_context(closing(HostilePeer("127.0.1.1", where, torrent, liar_of(plant))))
            for _ in range(30)
        ]
        for number in range(100):
            stranger = HostilePeer(f"127.0.3.{number + 1}", where, torrent, None)
            crowd.enter_context(closing(stranger))
        assert made.wait(lambda: any(each.is_in for each in many))
        second = made.add("cam2", "127.0.0.3", settle_s=NEVER_S, first_wait_s=NEVER_S)
        assert made.know_each_other(), made.told()
        second.courier.want(wanted)
        assert made.wait(lambda: second.has_it), made.told()
        assert second.progress.peers >= torrent.size
        assert giver.progress.neighbours <= 2
        assert sent(shelf) == had
        assert (giver.courier.starts, second.courier.starts) == (1, 1)
