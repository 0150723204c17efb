"""A station's thread keeps the metadata fresh, and says what people should know of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edge_daemon.config.fleet import FleetTrust
from edge_daemon.core.fleet.campaign import digest
from edge_daemon.fleet.freshness.keeper import AGAIN_S, EVERY_S, Keeper
from edge_daemon.fleet.freshness.mirror import FolderMirror
from edge_daemon.fleet.freshness.refresh import METADATA_FOLDER, alone, refresh_once
from tests.sim.campaigns import START, campaign
from tests.sim.clock import SimClock
from tests.sim.fleet_metadata import Publisher
from tests.sim.web_shelf import WebShelf

DAY = 86_400.0
MADE = campaign()
THIS = (MADE.id, digest(MADE))


class Station:
    """A keeper whose thread is the test."""

    def __init__(self, publisher: Publisher, folder: Path, metadata: str | None) -> None:
        folder.mkdir()
        self.folder, self.clock = folder, SimClock(utc=START + 10.0)
        self.trust = FleetTrust(root=publisher.root, metadata=metadata)
        self.keeper = self.begin()

    def begin(self) -> Keeper:
        self.keeper = Keeper(self.trust, self.folder, self.clock)
        return self.keeper


@pytest.fixture
def station(publisher: Publisher, tmp_path: Path) -> Station:
    return Station(publisher, tmp_path / "state", str(publisher.metadata))


def test_nothing_is_asked_at_the_start(publisher: Publisher, tmp_path: Path) -> None:
    with WebShelf(publisher.metadata).serving() as web:
        station = Station(publisher, tmp_path / "state", web.url)
        assert station.keeper.why_not(*THIS) == "no fresh word of the fleet has come yet"
        assert station.keeper.problems() == ()
        assert not web.asked
        station.keeper.look()
        assert web.asked
        asked = len(web.asked)
        assert station.keeper.why_not(*THIS) == ""
        assert station.begin().why_not(*THIS) == ""  # after a restart, from the file
        assert len(web.asked) == asked


def test_a_campaign_that_is_not_listed_is_not_current(station: Station) -> None:
    station.keeper.look()
    other = campaign(id="other", serial=200)
    changed = campaign(waves=[1.0])  # the same id, another text
    for each in (other, changed):
        assert "none of the campaigns" in station.keeper.why_not(each.id, digest(each))


def test_expiry_ends_it_and_says_since_when(publisher: Publisher, station: Station) -> None:
    station.keeper.look()
    assert station.keeper.fresh_until() == START + DAY
    station.clock.advance(DAY)
    assert "no fresh word since 2026-09-21T14" in station.keeper.why_not(*THIS)
    station.keeper.look()
    (problem,) = station.keeper.problems()
    assert problem.startswith("no fresh word since 2026-09-21T14")
    assert "so no campaign is begun: " in problem
    assert "it has expired" in problem
    publisher.now += DAY
    publisher.renew()
    station.clock.advance(AGAIN_S)
    station.keeper.look()
    assert station.keeper.problems() == ()
    assert station.keeper.why_not(*THIS) == ""


def test_it_asks_again_in_its_time(publisher: Publisher, tmp_path: Path) -> None:
    with WebShelf(publisher.metadata).serving() as web:
        station = Station(publisher, tmp_path / "state", web.url)
        station.keeper.look()
        asked = len(web.asked)
        station.keeper.look()
        station.clock.advance(EVERY_S - 1.0)
        station.keeper.look()
        assert len(web.asked) == asked
        station.clock.advance(1.0)
        station.keeper.look()
        assert [path for path, _ in web.asked[asked:]] == ["2.root.json", "timestamp.json"]


def test_a_heard_timestamp_is_looked_at_at_once(publisher: Publisher, station: Station) -> None:
    station.keeper.look()
    newer = campaign(id="next", serial=119)
    publisher.start(newer)
    station.keeper.look()
    assert station.keeper.why_not(newer.id, digest(newer)) != ""
    station.keeper.hear(publisher.repository.timestamp())
    station.keeper.look()
    assert station.keeper.why_not(newer.id, digest(newer)) == ""


def test_a_heard_timestamp_renews_while_the_server_is_away(
    publisher: Publisher, tmp_path: Path
) -> None:
    with WebShelf(publisher.metadata).serving() as web:
        station = Station(publisher, tmp_path / "state", web.url)
        station.keeper.look()
    publisher.now += DAY / 2
    station.keeper.hear(publisher.renew())
    station.keeper.look()
    assert station.keeper.fresh_until() == START + 1.5 * DAY
    assert station.keeper.problems() == ()


def test_a_timestamp_by_a_new_key_brings_the_new_root(
    publisher: Publisher, station: Station
) -> None:
    station.keeper.look()
    publisher.change_keys(
        "online", "root-1", "root-2", add="online-2", remove="online", online="online-2"
    )
    station.keeper.hear(publisher.repository.timestamp())
    station.keeper.look()
    assert station.keeper.problems() == ()
    assert station.keeper.why_not(*THIS) == ""
    assert (station.folder / METADATA_FOLDER / "root_history" / "2.root.json").exists()


def test_a_timestamp_that_came_before_or_is_none_is_left_alone(
    publisher: Publisher, station: Station
) -> None:
    old = publisher.repository.timestamp()
    publisher.renew()
    station.keeper.look()
    before = station.keeper.fresh_until()
    for said in (old, b"", b"{", b"[]", b'{"signed": {"version": "9"}}', b"x" * 20_000):
        station.keeper.hear(said)
        station.keeper.look()
    assert station.keeper.problems() == ()
    assert station.keeper.fresh_until() == before


def test_a_forged_timestamp_is_told_and_changes_nothing(
    publisher: Publisher, station: Station, tmp_path: Path
) -> None:
    station.keeper.look()
    stranger = Publisher(tmp_path / "stranger")
    for _ in range(4):
        stranger.renew()
    station.keeper.hear(stranger.repository.timestamp())
    station.keeper.look()
    (problem,) = station.keeper.problems()
    assert "too few of the keys that count signed it" in problem
    assert station.keeper.why_not(*THIS) == ""


def test_without_a_server_a_stick_and_messages_are_enough(
    publisher: Publisher, tmp_path: Path
) -> None:
    station = Station(publisher, tmp_path / "state", None)
    station.keeper.look()
    assert station.keeper.why_not(*THIS) != ""
    shutil.copytree(publisher.metadata, tmp_path / "stick")
    stick = FolderMirror(tmp_path / "stick")
    refresh_once(station.trust, station.folder, stick, station.clock)  # what a person types
    station.keeper.look()
    assert station.keeper.why_not(*THIS) == ""
    publisher.now += DAY / 2
    station.keeper.hear(publisher.renew())
    station.keeper.look()
    assert station.keeper.fresh_until() == START + 1.5 * DAY


def test_while_a_person_refreshes_the_thread_waits_its_turn(station: Station) -> None:
    with alone(station.folder / METADATA_FOLDER):
        station.keeper.look()
        (problem,) = station.keeper.problems()
        assert "Somebody else" in problem
    station.clock.advance(AGAIN_S)
    station.keeper.look()
    assert station.keeper.problems() == ()


def test_a_clock_that_is_behind_is_told_with_the_way_out(station: Station) -> None:
    station.keeper.look()
    station.clock.step_wall(-2 * DAY)
    (problem,) = station.begin().problems()
    assert "it was later here before" in problem
    assert "--trust-clock" in problem
    assert station.keeper.why_not(*THIS) == ""


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
        station.keeper.start()
        assert asked.wait(30.0)
        assert station.keeper.why_not(*THIS) == "no fresh word of the fleet has come yet"
        station.keeper.stop()
        may_answer.set()


def test_who_pins_no_root_needs_no_tuf() -> None:
    """It is an extra: the daemon, its commands and a start never import it."""
    rooms = "edge_daemon.fleet.follower, edge_daemon.fleet.freshness.keeper, edge_daemon.cli.fleet"
    code = f"import sys, {rooms}; print([each for each in sys.modules if each[:3] == 'tuf'])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"
