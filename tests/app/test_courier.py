"""The courier at a station: what campaigns ask of it, what neighbours hear, and when it rests."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from edge_daemon.app.courier import CourierWatch
from edge_daemon.config import Settings
from edge_daemon.core.fleet.campaign import Campaign
from edge_daemon.courier import wire
from edge_daemon.courier.peers import peer_topic
from edge_daemon.courier.staging import Wanted
from edge_daemon.host.clock import SystemClock
from edge_daemon.messaging.messages import Incoming
from edge_daemon.messaging.payloads import ModelState
from tests.sim.campaigns import campaign
from tests.sim.status import NOW, station
from tests.sim.swarm_site import certificates, published
from tests.sim.web_shelf import WebShelf

pytest.importorskip("libtorrent", reason="needs the extra fleet")

TOPIC = peer_topic("hall-2", "cam1")


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("plant"), ["cam1"])


@pytest.fixture
def offered(plant: Path, tmp_path: Path) -> Iterator[tuple[WebShelf, Wanted]]:
    _, wanted = published(tmp_path / "origin", plant / "ca.pem", 0.3)
    with WebShelf(tmp_path / "origin").serving() as shelf:
        yield shelf, wanted


def settings(folder: Path, plant: Path, url: str, certificate: str = "cam1-swarm.pem") -> Settings:
    share = {
        "interface": "127.0.0.1",
        "port": 0,
        "peers": "none",
        "certificate": str(plant / certificate),
        "key": str(plant / "cam1-swarm.key"),
        "ca": str(plant / "ca.pem"),
    }
    return Settings.model_validate(
        {
            "device": "cam1",
            "camera": {"source": "conveyor:"},
            "models": {"store": str(folder / "store"), "trust": {"required": False}},
            "state_dir": str(folder / "state"),
            "fleet": {"site": "hall-2", "sources": [{"http": url}], "share": share},
        }
    )


def campaign_of(wanted: Wanted) -> Campaign:
    return campaign(
        model=str(wanted.ref),
        sha256=wanted.sha256,
        infohash=wanted.infohash,
        size=wanted.size,
        manifest_sha256=wanted.manifest_sha256,
    )


def until(holds: Callable[[], bool], watch: CourierWatch, **status: object) -> None:
    """Second after second, until it holds."""
    end = time.monotonic() + 100.0
    while not holds():
        assert time.monotonic() < end, watch.problem()
        watch.hear(station(**status))
        time.sleep(0.05)


def test_it_fetches_what_a_campaign_names_tells_neighbours_and_takes_its_word_back(
    plant: Path,
    offered: tuple[WebShelf, Wanted],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While the station is held, nothing comes."""
    monkeypatch.setattr(wire, "Share", partial(wire.Share, settle_s=0.0))  # it has no neighbours
    shelf, wanted = offered
    configured = settings(tmp_path, plant, shelf.url)
    said: list[tuple[str, bytes]] = []
    assert configured.fleet is not None
    watch = CourierWatch(
        configured, configured.fleet, SystemClock(), lambda *given: said.append(given) or True
    )
    watch.start()
    try:
        held = ModelState(held=True)
        watch.hear(station(model=held))
        until(lambda: bool(said), watch, model=held)
        made = campaign_of(wanted)
        watch.want(made)
        for _ in range(10):
            watch.hear(station(model=held))
            time.sleep(0.05)
        assert not watch.brought(made).bytes
        until(lambda: sum(watch.brought(made).bytes.values()) == wanted.size, watch)
        until(lambda: json.loads(said[-1][1])["have"] == 1.0, watch)
        assert json.loads(said[-1][1])["swarm"] == wanted.infohash
        assert {topic for topic, _ in said} == {TOPIC}
        watch.came(Incoming(TOPIC, b"nonsense", NOW))
        watch.hear(station())
        assert watch.problem() == ()
        spoken = len(said)
        watch.hear(station())
        assert len(said) == spoken
        watch.online()
        watch.hear(station())
        assert len(said) == spoken + 1
        assert json.loads(said[-1][1])["have"] == 1.0
    finally:
        watch.stop()
    assert said[-1] == (TOPIC, b"")


def test_a_certificate_that_is_missing_is_a_problem_of_health_and_of_nothing_else(
    plant: Path, offered: tuple[WebShelf, Wanted], tmp_path: Path
) -> None:
    shelf, wanted = offered
    configured = settings(tmp_path, plant, shelf.url, "nobodys.pem")
    assert configured.fleet is not None
    watch = CourierWatch(configured, configured.fleet, SystemClock(), lambda *_: True)
    watch.start()
    try:
        until(lambda: bool(watch.problem()), watch)
        assert "nobodys.pem cannot be read" in watch.problem()[0]
        assert "nobodys.pem" in watch.brought(campaign_of(wanted)).why
    finally:
        watch.stop()
