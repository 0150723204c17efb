"""A station believes of the fleet's metadata what enough keys signed, until it expires."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from edge_daemon.core.fleet.campaign import digest
from edge_daemon.errors import BoxError, ConfigurationError, SenderError
from edge_daemon.fleet.freshness import client
from edge_daemon.fleet.freshness.current import (
    Current,
    Remembered,
    TrustedTime,
    parse_remembered,
    write_remembered,
)
from edge_daemon.fleet.freshness.mirror import FolderMirror, HeardTimestamp, WebMirror, mirror_of
from edge_daemon.fleet.freshness.refresh import METADATA_FOLDER, alone, pinned_root, recall
from edge_daemon.sources.source import SourceAway
from tests.sim.campaigns import START, campaign
from tests.sim.clock import SimClock
from tests.sim.fleet_metadata import Publisher, Reader, reader_of
from tests.sim.web_shelf import WebShelf

DAY = 86_400.0
MADE = campaign()


@pytest.fixture
def reader(publisher: Publisher, tmp_path: Path) -> Reader:
    return reader_of(publisher, tmp_path / "state")


def test_a_campaign_is_current_when_the_metadata_lists_its_digest(reader: Reader) -> None:
    current = reader.refresh()
    assert dict(current.campaigns) == {MADE.id: digest(MADE)}
    assert current.until == START + DAY
    assert reader.current == current


def test_the_metadata_is_read_from_a_web_server_a_folder_and_a_stick(
    publisher: Publisher, tmp_path: Path
) -> None:
    with WebShelf(publisher.metadata).serving() as web:
        by_web = reader_of(publisher, tmp_path / "a").refresh(mirror_of(web.url))
    shutil.copytree(publisher.metadata, tmp_path / "stick")
    by_stick = reader_of(publisher, tmp_path / "b").refresh(mirror_of(str(tmp_path / "stick")))
    assert by_web == by_stick
    assert by_web.campaigns


def test_a_mirror_that_is_away_changes_nothing(reader: Reader, tmp_path: Path) -> None:
    before = reader.refresh()
    for mirror in (FolderMirror(tmp_path / "nowhere"), WebMirror("http://127.0.0.1:9")):
        with pytest.raises(SourceAway):
            reader.refresh(mirror)
    assert reader.current == before


def test_a_heard_timestamp_renews_without_a_server(publisher: Publisher, reader: Reader) -> None:
    reader.refresh()
    publisher.now += 3_600.0
    heard = publisher.renew()
    reader.clock.advance(3_600.0)
    assert reader.refresh(HeardTimestamp(heard, None)).until == START + 3_600.0 + DAY


def test_a_heard_timestamp_of_news_needs_the_server(publisher: Publisher, reader: Reader) -> None:
    reader.refresh()
    publisher.start(campaign(id="next", serial=119))
    heard = publisher.repository.timestamp()
    with pytest.raises(SourceAway):
        reader.refresh(HeardTimestamp(heard, None))
    assert list(reader.refresh(HeardTimestamp(heard, reader.mirror)).campaigns) == ["next"]


def test_what_expired_is_refused_and_a_grace_puts_it_off(reader: Reader) -> None:
    reader.refresh()
    reader.clock.advance(DAY)
    with pytest.raises(SenderError, match="expired"):
        reader.refresh()
    reader.grace_s = 3_600
    assert reader.refresh().until == START + DAY
    reader.clock.advance(3_600.0)
    with pytest.raises(SenderError, match="expired"):
        reader.refresh()


# --------------------------------------------------------------------------- the time


def test_a_box_without_a_clock_goes_on_from_the_latest_time_that_it_saw(reader: Reader) -> None:
    reader.clock.advance(DAY / 2)
    reader.refresh()
    reader.clock = SimClock(at=0.0, utc=0.0)  # it starts in 1970
    with_floor = reader.refresh()
    assert with_floor.at == START + 10.0 + DAY / 2
    saw = recall(reader.folder).seen
    time = TrustedTime(reader.clock, saw)
    reader.clock.advance(DAY)
    assert time.now() == saw + DAY  # so that metadata expires there too
    reader.clock.step_wall(2 * saw)
    assert time.now() == reader.clock.now().utc


def test_a_clock_that_was_ahead_once_is_put_right_by_a_person(reader: Reader) -> None:
    good = reader.clock
    reader.clock = SimClock(utc=START + 100 * DAY)
    with pytest.raises(SenderError, match="expired"):
        reader.refresh()
    reader.clock = good
    with pytest.raises(SenderError, match="expired"):
        reader.refresh()
    assert reader.refresh(trust_clock=True).campaigns


# --------------------------------------------------------------------------- the disk


def test_each_file_is_durable_before_the_next_is_asked_for(
    publisher: Publisher, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    durably = client.write_durably

    def count(path: Path, content: bytes) -> None:
        durably(path, content)
        written.append(str(path.relative_to(reader.kept)))

    monkeypatch.setattr(client, "write_durably", count)
    reader.refresh()
    lying = {
        str(path.relative_to(reader.kept))
        for path in reader.kept.rglob("*.json")
        if not path.is_symlink()
    }
    assert set(written) == lying  # python-tuf itself writes without fsync
    assert written == [
        "root_history/1.root.json",
        *(f"{role}.json" for role in ("timestamp", "snapshot", "targets", "campaigns")),
    ]
    written.clear()
    reader.refresh()
    assert written == []


def test_a_refresh_that_is_killed_at_any_write_leaves_a_usable_state(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root, timestamp, snapshot, targets and campaigns are all new: each write is the last once."""

    class Killed(BaseException):
        pass

    left = 0
    durably = client.write_durably

    def dying(path: Path, content: bytes) -> None:
        nonlocal left
        if left == 0:
            raise Killed
        left -= 1
        durably(path, content)

    readers = [reader_of(publisher, tmp_path / f"station-{n}") for n in range(6)]
    for reader in readers:
        reader.refresh()
    newer = campaign(id="next", serial=119)
    publisher.change_keys("root", "root-1", "root-2", add="root-4", remove="root-3")
    publisher.change_keys("campaigns", "root-1", "root-2", add="ops-2")
    publisher.start(newer)
    monkeypatch.setattr(client, "write_durably", dying)
    killed = 0
    for dies_at, reader in enumerate(readers):
        before, left = reader.current, dies_at
        try:
            reader.refresh()
        except Killed:
            killed += 1
            assert reader.current == before
        left = 99
        assert dict(reader.refresh().campaigns) == {newer.id: digest(newer)}
    assert killed == 5


@pytest.mark.parametrize("name", ["timestamp", "snapshot", "targets", "campaigns"])
@pytest.mark.parametrize("content", [b"", b"{", b"\0" * 400])
def test_a_file_that_a_power_cut_spoiled_is_fetched_again(
    reader: Reader, name: str, content: bytes
) -> None:
    before = reader.refresh()
    (reader.kept / f"{name}.json").write_bytes(content)
    assert reader.refresh() == before


def test_what_is_believed_survives_as_a_file_and_nothing_else_passes_for_it() -> None:
    kept = Remembered(Current(1.0, 2.0, {"a": "b"}, 3, 4), 5.0)
    assert parse_remembered(write_remembered(kept)) == kept
    assert parse_remembered(write_remembered(Remembered())) == Remembered()
    for content in (b"", b"{", b"[]", b"{}", b'{"seen": "x", "current": null}', b"\xff"):
        with pytest.raises(ValueError, match=r"."):
            parse_remembered(content)


# --------------------------------------------------------------------------- the pinned root


def test_a_pinned_root_that_is_none_is_said_so(publisher: Publisher, reader: Reader) -> None:
    unsigned = json.loads(publisher.root.read_bytes())
    unsigned["signatures"] = unsigned["signatures"][:1]
    for content in (b"", b"no json", json.dumps(unsigned).encode(), publisher.renew()):
        publisher.root.write_bytes(content)
        with pytest.raises(ConfigurationError, match="no root of a fleet"):
            reader.refresh()
    os.unlink(publisher.root)
    with pytest.raises(ConfigurationError, match=r"fleet\.trust\.root"):
        pinned_root(reader.trust)


def test_two_do_not_refresh_at_once(reader: Reader) -> None:
    with alone(reader.folder / METADATA_FOLDER), pytest.raises(BoxError, match="Somebody else"):
        reader.refresh()
