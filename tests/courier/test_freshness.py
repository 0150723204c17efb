"""The courier, and nobody else, reads the fleet's metadata from its server."""

from __future__ import annotations

import os
import queue
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_daemon.config.fleet import FleetTrust
from edge_daemon.core.fleet.campaign import digest
from edge_daemon.courier import child, wire
from edge_daemon.courier.child import CourierProcess
from edge_daemon.fleet.freshness.monitor import FreshnessMonitor
from edge_daemon.fleet.freshness.refresher import Refreshed
from edge_daemon.host.clock import SystemClock
from tests.sim.campaigns import campaign
from tests.sim.fleet_metadata import Publisher
from tests.sim.web_shelf import WebShelf

pytest.importorskip("tuf", reason="needs the extra fleet")

MADE = campaign()
THIS = (MADE.id, digest(MADE))
DAY = 86_400.0


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    made = Publisher(tmp_path / "publisher")
    made.now = time.time()
    made.start(MADE)
    return made


class Box:
    """A courier and what a daemon knows by it."""

    def __init__(self, folder: Path, publisher: Publisher, url: str) -> None:
        self.state, self.words = folder / "state", queue.SimpleQueue[wire.RefreshResult]()
        self.state.mkdir()
        trust = FleetTrust(root=publisher.root, metadata=url)
        fresh = wire.FreshnessSpec(str(self.state), str(publisher.root), url)
        setup = wire.Setup("cam1", str(folder / "store"), (), False, (), fresh=fresh)
        self.courier = CourierProcess(setup, looked=self._looked)
        self.monitor = FreshnessMonitor(trust, self.state, SystemClock(), self.courier)

    def _looked(self, word: wire.RefreshResult) -> None:
        self.monitor.told(Refreshed(word.why, word.is_refusal, word.where))
        self.words.put(word)

    def word(self) -> wire.RefreshResult:
        """How the next look ended."""
        return self.words.get(timeout=100.0)


@contextmanager
def box(folder: Path, publisher: Publisher, url: str) -> Iterator[Box]:
    made = Box(folder, publisher, url)
    made.courier.start()
    try:
        yield made
    finally:
        made.courier.stop()


def test_it_looks_at_its_start_and_the_daemon_reads_what_is_kept(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timestamp that is heard is verified there as well, and a killed courier looks again."""
    monkeypatch.setattr(child, "FIRST_S", 0.05)
    with WebShelf(publisher.metadata).serving() as web, box(tmp_path, publisher, web.url) as made:
        assert made.word().why == ""
        assert made.monitor.why_not(*THIS) == ""
        assert web.asked
        publisher.now += 60.0
        before = made.monitor.fresh_until()
        made.monitor.hear(publisher.renew())
        assert made.word() == wire.RefreshResult(where="the message fleet/timestamp")
        assert before is not None
        assert made.monitor.fresh_until() == pytest.approx(before + 60.0, abs=1.0)
        assert made.courier.pid is not None
        os.kill(made.courier.pid, signal.SIGKILL)
        assert made.word().why == ""
        assert made.courier.starts == 2


def test_a_server_that_is_away_stops_no_campaign_and_a_forgery_is_told_and_not_believed(
    publisher: Publisher, tmp_path: Path
) -> None:
    stranger = Publisher(tmp_path / "stranger")
    for _ in range(6):
        stranger.renew()
    with WebShelf(publisher.metadata).serving() as web, box(tmp_path, publisher, web.url) as made:
        assert made.word().why == ""
        made.monitor.hear(stranger.repository.timestamp())
        word = made.word()
        assert word.is_refusal
        assert "too few of the keys" in word.why
        assert made.monitor.problems() == (word.why,)
        assert made.monitor.why_not(*THIS) == ""
        url = web.url
    trust = FleetTrust(root=publisher.root, metadata=url)
    fresh = wire.FreshnessSpec(str(made.state), str(publisher.root), url)
    again = CourierProcess(
        wire.Setup("cam1", str(tmp_path / "store"), (), False, (), fresh=fresh),
        looked=made.words.put,
    )
    again.start()
    try:
        word = made.word()
        assert word.why
        assert not word.is_refusal
    finally:
        again.stop()
    assert FreshnessMonitor(trust, made.state, SystemClock(), again).why_not(*THIS) == ""


def test_expired_metadata_is_told_and_changes_nothing_of_the_courier(
    publisher: Publisher, tmp_path: Path
) -> None:
    publisher.now -= 2 * DAY
    publisher.renew()
    with WebShelf(publisher.metadata).serving() as web, box(tmp_path, publisher, web.url) as made:
        word = made.word()
        assert word.is_refusal
        assert "it has expired" in word.why
        assert made.monitor.why_not(*THIS) != ""
        assert made.courier.starts == 1
        publisher.now += 2 * DAY
        made.monitor.hear(publisher.renew())
        assert made.word().why == ""
        assert made.monitor.why_not(*THIS) == ""


def test_a_courier_that_cannot_share_still_looks(publisher: Publisher, tmp_path: Path) -> None:
    """Its certificate is missing, say: that is no reason to begin old campaigns."""
    share = wire.Share("127.0.0.1", "no.pem", "no.key", "no.pem", 0, 1.0, 1.0, False)
    words = queue.SimpleQueue[wire.RefreshResult]()
    with WebShelf(publisher.metadata).serving() as web:
        fresh = wire.FreshnessSpec(str(tmp_path), str(publisher.root), web.url)
        setup = wire.Setup("cam1", str(tmp_path / "store"), (), False, (), share=share, fresh=fresh)
        courier = CourierProcess(setup, looked=words.put)
        courier.start()
        try:
            assert words.get(timeout=100.0).why == ""
            assert courier.progress().phase == "broken"
        finally:
            courier.stop()
