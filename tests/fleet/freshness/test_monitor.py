"""What is current is refreshed in its time, and a station says what people should know of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edge_daemon.config.fleet import FleetTrust
from edge_daemon.core.fleet.campaign import digest
from edge_daemon.fleet.freshness.mirror import FolderMirror
from edge_daemon.fleet.freshness.monitor import PATIENCE_S, FreshnessMonitor
from edge_daemon.fleet.freshness.refresh import METADATA_FOLDER, alone, refresh_once
from edge_daemon.fleet.freshness.refresher import AGAIN_S, EVERY_S, LATELY_S, Refreshed, Refresher
from tests.sim.campaigns import START, campaign
from tests.sim.clock import SimClock
from tests.sim.fleet_metadata import Publisher
from tests.sim.web_shelf import WebShelf

DAY = 86_400.0
MADE = campaign()
THIS = (MADE.id, digest(MADE))


class Station:
    """A monitor and a refresher whose threads are the test."""

    def __init__(self, publisher: Publisher, folder: Path, metadata: str | None) -> None:
        folder.mkdir()
        self.folder, self.clock = folder, SimClock(utc=START + 10.0)
        self.trust = FleetTrust(root=publisher.root, metadata=metadata)
        self.said: list[Refreshed] = []
        self.monitor = self.begin()

    def begin(self) -> FreshnessMonitor:
        self.refresher = Refresher(self.trust, self.folder, self.clock, self.told)
        self.monitor = FreshnessMonitor(self.trust, self.folder, self.clock, self.refresher)
        return self.monitor

    def told(self, refreshed: Refreshed) -> None:
        self.said.append(refreshed)
        self.monitor.told(refreshed)

    def look(self) -> None:
        self.refresher.look()
        self.monitor.look()


@pytest.fixture
def station(publisher: Publisher, tmp_path: Path) -> Station:
    return Station(publisher, tmp_path / "state", str(publisher.metadata))


def test_nothing_is_asked_at_the_start(publisher: Publisher, tmp_path: Path) -> None:
    with WebShelf(publisher.metadata).serving() as web:
        station = Station(publisher, tmp_path / "state", web.url)
        assert station.monitor.why_not(*THIS) == "no fresh word of the fleet has come yet"
        assert station.monitor.problems() == ()
        assert not web.asked
        station.look()
        assert web.asked
        asked = len(web.asked)
        assert station.monitor.why_not(*THIS) == ""
        assert station.begin().why_not(*THIS) == ""  # after a restart, from the file
        assert len(web.asked) == asked


def test_a_campaign_that_is_not_listed_is_not_current(station: Station) -> None:
    station.look()
    other = campaign(id="other", serial=200)
    changed = campaign(waves=[1.0])  # the same id, another text
    for each in (other, changed):
        assert "none of the campaigns" in station.monitor.why_not(each.id, digest(each))


def test_expiry_ends_it_and_says_since_when(publisher: Publisher, station: Station) -> None:
    station.look()
    assert station.monitor.fresh_until() == START + DAY
    station.clock.advance(DAY)
    assert "no fresh word since 2026-09-21T14" in station.monitor.why_not(*THIS)
    station.look()
    (problem,) = station.monitor.problems()
    assert problem.startswith("no fresh word since 2026-09-21T14")
    assert "so no campaign is begun: " in problem
    assert "it has expired" in problem
    publisher.now += DAY
    publisher.renew()
    station.clock.advance(AGAIN_S)
    station.look()
    assert station.monitor.problems() == ()
    assert station.monitor.why_not(*THIS) == ""


def test_it_asks_again_in_its_time(publisher: Publisher, tmp_path: Path) -> None:
    with WebShelf(publisher.metadata).serving() as web:
        station = Station(publisher, tmp_path / "state", web.url)
        station.look()
        asked = len(web.asked)
        station.look()
        station.clock.advance(EVERY_S - 1.0)
        station.look()
        assert len(web.asked) == asked
        station.clock.advance(1.0)
        station.look()
        assert [path for path, _ in web.asked[asked:]] == ["2.root.json", "timestamp.json"]


def test_before_a_campaign_it_is_looked_at_again_and_then_what_is_kept_counts(
    publisher: Publisher, tmp_path: Path
) -> None:
    """What was taken from the list meanwhile is not begun; a server that is away stops nothing."""
    with WebShelf(publisher.metadata).serving() as web:
        station = Station(publisher, tmp_path / "state", web.url)
        station.look()
        publisher.start(campaign(id="next", serial=119))  # and nothing else is listed any more
        station.clock.advance(LATELY_S)
        assert station.monitor.why_not(*THIS) == ""
        station.monitor.ask()
        assert station.monitor.why_not(*THIS) == "what is current is being looked at"
        station.look()
        assert "none of the campaigns" in station.monitor.why_not(*THIS)
        asked = len(web.asked)
        station.monitor.ask()
        station.look()  # so soon again, and the last answer is the answer
        assert len(web.asked) == asked
        assert "none of the campaigns" in station.monitor.why_not(*THIS)
    newer = campaign(id="next", serial=119)
    station.clock.advance(LATELY_S)
    station.monitor.ask()
    station.look()
    assert station.said[-1].why
    assert not station.said[-1].is_refusal
    assert station.monitor.why_not(newer.id, digest(newer)) == ""


def test_one_that_answers_no_more_holds_a_campaign_up_for_a_while_only(station: Station) -> None:
    """The courier died, say."""
    station.look()
    station.monitor.ask()
    station.clock.advance(PATIENCE_S - 1.0)
    assert station.monitor.why_not(*THIS) != ""
    station.clock.advance(1.0)
    assert station.monitor.why_not(*THIS) == ""


def test_a_heard_timestamp_is_looked_at_at_once(publisher: Publisher, station: Station) -> None:
    station.look()
    newer = campaign(id="next", serial=119)
    publisher.start(newer)
    station.look()
    assert station.monitor.why_not(newer.id, digest(newer)) != ""
    station.monitor.hear(publisher.repository.timestamp())
    station.look()
    assert station.monitor.why_not(newer.id, digest(newer)) == ""


def test_a_heard_timestamp_renews_while_the_server_is_away(
    publisher: Publisher, tmp_path: Path
) -> None:
    with WebShelf(publisher.metadata).serving() as web:
        station = Station(publisher, tmp_path / "state", web.url)
        station.look()
    publisher.now += DAY / 2
    station.monitor.hear(publisher.renew())
    station.look()
    assert station.monitor.fresh_until() == START + 1.5 * DAY
    assert station.monitor.problems() == ()


def test_a_timestamp_by_a_new_key_brings_the_new_root(
    publisher: Publisher, station: Station
) -> None:
    station.look()
    publisher.change_keys(
        "online", "root-1", "root-2", add="online-2", remove="online", online="online-2"
    )
    station.monitor.hear(publisher.repository.timestamp())
    station.look()
    assert station.monitor.problems() == ()
    assert station.monitor.why_not(*THIS) == ""
    assert (station.folder / METADATA_FOLDER / "root_history" / "2.root.json").exists()


def test_a_timestamp_that_came_before_or_is_none_is_left_alone(
    publisher: Publisher, station: Station
) -> None:
    old = publisher.repository.timestamp()
    publisher.renew()
    station.look()
    before = station.monitor.fresh_until()
    for said in (old, b"", b"{", b"[]", b'{"signed": {"version": "9"}}', b"x" * 20_000):
        station.monitor.hear(said)
        station.look()
    assert station.monitor.problems() == ()
    assert station.monitor.fresh_until() == before


def test_a_forged_timestamp_is_told_and_changes_nothing(
    publisher: Publisher, station: Station, tmp_path: Path
) -> None:
    station.look()
    stranger = Publisher(tmp_path / "stranger")
    for _ in range(4):
        stranger.renew()
    station.monitor.hear(stranger.repository.timestamp())
    station.look()
    (problem,) = station.monitor.problems()
    assert "too few of the keys that count signed it" in problem
    assert station.monitor.why_not(*THIS) == ""


def test_without_a_server_a_stick_and_messages_are_enough(
    publisher: Publisher, tmp_path: Path
) -> None:
    station = Station(publisher, tmp_path / "state", None)
    station.look()
    assert station.monitor.why_not(*THIS) != ""
    shutil.copytree(publisher.metadata, tmp_path / "stick")
    stick = FolderMirror(tmp_path / "stick")
    refresh_once(station.trust, station.folder, stick, station.clock)  # what a person types
    station.look()
    assert station.monitor.why_not(*THIS) == ""
    publisher.now += DAY / 2
    station.monitor.hear(publisher.renew())
    station.look()
    assert station.monitor.fresh_until() == START + 1.5 * DAY


def test_while_a_person_refreshes_the_thread_waits_its_turn(station: Station) -> None:
    with alone(station.folder / METADATA_FOLDER):
        station.look()
        (problem,) = station.monitor.problems()
        assert "Somebody else" in problem
    station.clock.advance(AGAIN_S)
    station.look()
    assert station.monitor.problems() == ()


def test_a_clock_that_is_behind_is_told_with_the_way_out(station: Station) -> None:
    station.look()
    station.clock.step_wall(-2 * DAY)
    (problem,) = station.begin().problems()
    assert "it was later here before" in problem
    assert "--trust-clock" in problem
    assert station.monitor.why_not(*THIS) == ""


def test_its_thread_ends_while_a_server_keeps_it_waiting(
    publisher: Publisher, tmp_path: Path
) -> None:
    asked, may_answer = threading.Event(), threading.Event()

    class Stuck(WebShelf):
        def answer(self, to: object) -> None:
            asked.set()
            may_answer.wait(30.0)

    with Stuck(publisher.metadata).serving() as web:
        station = Station(publisher, tmp_path / "state", web.url)
        station.refresher.start()
        assert asked.wait(30.0)
        assert station.monitor.why_not(*THIS) == "no fresh word of the fleet has come yet"
        station.refresher.stop()
        may_answer.set()


def test_who_pins_no_root_needs_no_tuf() -> None:
    """It is an extra: the daemon, its commands and a start never import it."""
    rooms = "edge_daemon.fleet.follower, edge_daemon.fleet.freshness.monitor, edge_daemon.cli.fleet"
    rooms += ", edge_daemon.courier.__main__"
    code = f"import sys, {rooms}; print([each for each in sys.modules if each[:3] == 'tuf'])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"
