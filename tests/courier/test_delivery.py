"""One bundle, from the origin through the library's own swarm into the store."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from edge_daemon.courier import delivery
from edge_daemon.courier.delivery import Delivery, DeliveryTools
from edge_daemon.courier.election import patience_s
from edge_daemon.courier.origin import WebOrigin
from edge_daemon.courier.site import Site
from edge_daemon.courier.staging import Wanted, is_there
from edge_daemon.courier.torrent import Torrent, normal
from edge_daemon.courier.wire import Progress, Share
from edge_daemon.models.store import Store
from edge_daemon.models.trust import Trust
from edge_daemon.sources.http import Http
from edge_daemon.sources.web import WebSource
from tests.sim.swarm_site import NEVER_S, certificates, published
from tests.sim.web_shelf import WebShelf

pytest.importorskip("libtorrent", reason="needs the extra fleet")

from edge_daemon.courier.swarm import Swarm

SPOILED = 4
"""A piece in the middle of the weights."""


class SpoilingSwarm(Swarm):
    """The first time a piece is put into it, a neighbour's wrong byte is in it."""

    def __init__(self, share: Share) -> None:
        super().__init__(share.interface, share)
        self.tries = Counter[int]()

    def put(self, piece: int, content: bytes) -> None:
        self.tries[piece] += 1
        if piece == SPOILED and self.tries[piece] == 1:
            content = bytes([content[0] ^ 1]) + content[1:]
        super().put(piece, content)


@dataclass
class Bench:
    """A station without neighbours."""

    swarm: SpoilingSwarm
    torrent: Torrent
    wanted: Wanted
    tools: DeliveryTools
    has_it: threading.Event


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    plant = certificates(tmp_path / "plant", ["cam1"])
    ca = plant / "ca.pem"
    torrent, wanted = published(tmp_path / "origin", ca, 1.2)
    files = [str(plant / each) for each in ("cam1-swarm.pem", "cam1-swarm.key", "ca.pem")]
    share = Share("127.0.0.2", *files, port=0, up_mbit=40.0, down_mbit=80.0, local=False)
    has_it = threading.Event()

    def tell(progress: Progress) -> None:
        if progress.phase == "have":
            has_it.set()

    store, swarm = Store(tmp_path / "store"), SpoilingSwarm(share)
    with WebShelf(tmp_path / "origin").serving() as shelf:
        origin = WebOrigin(Http(shelf.url), wanted.ref)
        tools = DeliveryTools(
            Site("cam1"), store, Trust(), [origin], [], swarm, normal(ca.read_bytes()), 400.0,
            0.0, patience_s, lambda: False, tell,
        )  # fmt: skip
        yield Bench(swarm, torrent, wanted, tools, has_it)
        swarm.leave()


@contextmanager
def delivering(bench: Bench) -> Iterator[None]:
    made = Delivery(bench.wanted, bench.tools)
    made.start()
    try:
        yield
    finally:
        made.cancel()


def until(holds: Callable[[], bool]) -> bool:
    """Whether it comes to that in time."""
    pause = threading.Event()
    return any(holds() or pause.wait(0.02) for _ in range(3000))


def test_a_piece_that_a_neighbour_spoiled_is_taken_again_when_that_is_seen(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not when it is late: nobody would have it before."""
    monkeypatch.setattr(delivery, "LATE_S", NEVER_S)
    with delivering(bench):
        assert bench.has_it.wait(60.0), bench.swarm.tries
    assert is_there(bench.tools.store, bench.wanted)
    assert bench.swarm.tries == Counter([*range(bench.torrent.pieces), SPOILED])


def test_a_bundle_that_no_source_has_yet_is_waited_for(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`share: none`: a campaign may be started before its bundle is published."""
    monkeypatch.setattr(delivery, "FIRST_AGAIN_S", 0.05)
    told: list[Progress] = []
    came = threading.Event()

    def tell(progress: Progress) -> None:
        told.append(progress)
        if "has no" in progress.why:
            came.set()

    published_at = tmp_path / "origin" / "bottle"
    hidden = published_at.rename(tmp_path / "hidden")
    (origin,) = bench.tools.origins
    sources = [(WebSource(Http(origin.where)), bench.wanted.ref.version)]
    bench.tools = replace(bench.tools, swarm=None, sources=sources, tell=tell)
    with delivering(bench):
        assert came.wait(60.0), told
        hidden.rename(published_at)
        assert until(lambda: told[-1].phase == "have")
    assert "refused" not in {each.phase for each in told}
    assert is_there(bench.tools.store, bench.wanted)


def test_another_bundle_under_the_campaigns_name_is_refused(bench: Bench) -> None:
    told: list[Progress] = []
    (origin,) = bench.tools.origins
    sources = [(WebSource(Http(origin.where)), bench.wanted.ref.version)]
    bench.wanted = replace(bench.wanted, sha256="0" * 64)
    bench.tools = replace(bench.tools, swarm=None, sources=sources, tell=told.append)
    with delivering(bench):
        assert until(lambda: bool(told) and told[-1].phase == "refused")
    assert "has another bottle@1.4.0 than the campaign names" in told[-1].why
