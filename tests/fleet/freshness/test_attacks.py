"""The attacks that TUF names, each against a station: refused in one sentence, nothing changed.

Named as in python-tuf's test_updater_* where there is one of that name. The attacker has the server
and the network; where a key is stolen the test says so.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_daemon.core.fleet.campaign import canonical, digest
from edge_daemon.errors import SenderError
from edge_daemon.fleet.freshness.client import LIMITS
from edge_daemon.fleet.freshness.files import Files
from edge_daemon.fleet.freshness.mirror import FolderMirror, Mirror, WebMirror
from edge_daemon.sources.source import SourceAway
from tests.sim.campaigns import START, campaign
from tests.sim.fleet_metadata import (
    Publisher,
    Reader,
    Tampered,
    moment,
    monitor_of,
    reader_of,
    refused,
    stolen_online_key,
)
from tests.sim.web_shelf import WebShelf

DAY = 86_400.0
MADE = campaign()
NEXT = campaign(id="next", serial=119)


# --------------------------------------------------------------------------- software


def test_arbitrary_software(publisher: Publisher, reader: Reader, tmp_path: Path) -> None:
    """A repository of somebody else, made as ours is."""
    stranger = Publisher(tmp_path / "stranger")
    stranger.start(NEXT)
    stranger.renew()
    stranger.renew()
    refused(reader, "too few of the keys", FolderMirror(stranger.metadata))


def test_a_campaign_that_nobody_listed(publisher: Publisher, reader: Reader) -> None:
    reader.refresh()
    monitor = monitor_of(reader)
    assert monitor.why_not(MADE.id, digest(MADE)) == ""
    changed = campaign(sha256="0" * 64)
    assert "none of the campaigns" in monitor.why_not(changed.id, digest(changed))


def test_replayed_campaign(publisher: Publisher, reader: Reader) -> None:
    """An old one is no longer listed once there is a newer one, and cannot be listed again."""
    publisher.start(NEXT)
    reader.refresh()
    monitor = monitor_of(reader)
    assert "none of the campaigns" in monitor.why_not(MADE.id, digest(MADE))
    with pytest.raises(SenderError, match="has serial 119"):
        publisher.repository.stage_campaign(MADE.id, MADE.serial, canonical(MADE), publisher.now)


def test_campaigns_outside_the_paths_of_their_role(publisher: Publisher, reader: Reader) -> None:
    """QA's keys list bundles; a campaign among those is none."""
    repository, path = publisher.repository, f"campaigns/{NEXT.id}.json"
    repository.stage_campaign(NEXT.id, NEXT.serial, canonical(NEXT), publisher.now)
    target = Files(repository.folder).waiting()["campaigns"].signed.targets[path]
    Files(repository.folder).unstage("campaigns")
    repository.stage_bundle("bottle", "1.4.0", b"model", publisher.now)
    publisher.publish("qa")
    publisher.forge("2.bundles.json", "qa", targets={path: target})
    stolen_online_key(publisher)
    assert NEXT.id not in reader.refresh().campaigns


# --------------------------------------------------------------------------- rollback


def test_new_timestamp_version_rollback(publisher: Publisher, reader: Reader) -> None:
    old = publisher.repository.timestamp()
    publisher.renew()
    reader.refresh()
    refused(reader, "its version may not follow", Tampered(reader.mirror, timestamp=old))


def test_new_timestamp_snapshot_rollback(publisher: Publisher, reader: Reader) -> None:
    """With the stolen online key."""
    made = Files(publisher.repository.folder).newest("timestamp").signed
    made.snapshot_meta.version -= 1
    publisher.forge("timestamp.json", "online", version=made.version + 1,
                    snapshot_meta=made.snapshot_meta)  # fmt: skip
    refused(reader, "its version may not follow")


@pytest.mark.parametrize("role", ["targets", "campaigns"])
def test_new_snapshot_version_rollback(publisher: Publisher, reader: Reader, role: str) -> None:
    """With the stolen online key: an older list of campaigns, or of delegations."""
    publisher.start(NEXT)
    publisher.change_keys("campaigns", "root-1", "root-2", add="ops-2")
    reader.refresh()
    files = Files(publisher.repository.folder)
    newest = publisher.metadata / f"{files.version(role)}.{role}.json"
    newest.unlink()
    stolen_online_key(publisher)
    refused(reader, "its version may not follow")


def test_new_snapshot_misses_a_role(publisher: Publisher, reader: Reader) -> None:
    """With the stolen online key: no list of campaigns at all, so that none would be refused."""
    files = Files(publisher.repository.folder)
    made = files.snapshot(publisher.key("online"), publisher.now)
    left = {name: meta for name, meta in made.signed.meta.items() if "campaigns" not in name}
    publisher.forge(f"{made.signed.version}.snapshot.json", "online", meta=left)
    files.timestamp(publisher.key("online"), publisher.now, 24.0)
    refused(reader, "it is not what the rest of it says")


# --------------------------------------------------------------------------- fast forward


def test_new_timestamp_fast_forward_recovery(publisher: Publisher, reader: Reader) -> None:
    """A stolen online key made the version huge; revoking the key brings stations back."""
    publisher.forge("timestamp.json", "online", version=2**40)
    assert reader.refresh().timestamp == 2**40
    publisher.forge("timestamp.json", "online", version=3)
    refused(reader, "its version may not follow")
    publisher.new_key("online-2")
    publisher.repository.stage_keys("online", publisher.public("online-2"), "online", publisher.now)
    publisher.publish("root-1", "root-2", online="online-2")
    current = reader.refresh()
    assert current.timestamp == 4
    assert current.root == 2


def test_new_snapshot_fast_forward_recovery(publisher: Publisher, reader: Reader) -> None:
    files, online = Files(publisher.repository.folder), publisher.key("online")
    made = files.snapshot(online, publisher.now)
    huge = publisher.metadata / f"{2**40}.snapshot.json"
    (publisher.metadata / f"{made.signed.version}.snapshot.json").rename(huge)
    publisher.forge(huge.name, "online", version=2**40)
    files.timestamp(online, publisher.now, 24.0)
    reader.refresh()
    huge.unlink()
    stolen_online_key(publisher)
    refused(reader, "its version may not follow")
    publisher.change_keys(
        "online", "root-1", "root-2", add="online-2", remove="online", online="online-2"
    )
    assert reader.refresh().campaigns


def test_fast_forward_of_the_campaigns_recovers(publisher: Publisher, reader: Reader) -> None:
    """With ops', release's and the online key stolen: all three are revoked."""
    huge = publisher.metadata / f"{2**40}.campaigns.json"
    shutil.copy(publisher.metadata / "2.campaigns.json", huge)
    publisher.forge(huge.name, "ops", "release", version=2**40)
    stolen_online_key(publisher)
    reader.refresh()
    huge.unlink()
    for old in ("ops", "release"):
        publisher.new_key(f"{old}-2")
        publisher.repository.stage_keys(
            "campaigns", publisher.public(f"{old}-2"), old, publisher.now
        )
    publisher.publish("root-1", "root-2", "ops-2", "release-2")
    refused(reader, "its version may not follow")  # the snapshot's key is as it was
    publisher.change_keys(
        "online", "root-1", "root-2", add="online-2", remove="online", online="online-2"
    )
    assert list(reader.refresh().campaigns) == [MADE.id]


# --------------------------------------------------------------------------- freeze, endless, slow


def test_expired_timestamp(publisher: Publisher, reader: Reader) -> None:
    """Freeze: the server gives the same old words for ever."""
    publisher.now += DAY / 2
    frozen = reader.mirror
    reader.clock.advance(DAY)
    refused(reader, "it has expired", frozen)
    monitor = monitor_of(reader)
    assert monitor.why_not(MADE.id, digest(MADE)).startswith("no fresh word since")


@pytest.mark.parametrize("role", ["snapshot", "targets", "campaigns"])
def test_expired_metadata(publisher: Publisher, reader: Reader, role: str) -> None:
    """A timestamp that is renewed does not keep the rest alive."""
    signers = {"snapshot": ("online",), "targets": ("root-1", "root-2"),
               "campaigns": ("ops", "release")}[role]  # fmt: skip
    files = Files(publisher.repository.folder)
    number = files.version(role)
    newer = publisher.metadata / f"{number + 1}.{role}.json"
    if role != "snapshot":
        shutil.copy(publisher.metadata / f"{number}.{role}.json", newer)
        publisher.forge(newer.name, *signers, version=number + 1, expires=moment(START))
        stolen_online_key(publisher)
    else:
        files.snapshot(publisher.key("online"), publisher.now)
        publisher.forge(newer.name, *signers, expires=moment(START))
        files.timestamp(publisher.key("online"), publisher.now, 24.0)
    refused(reader, "it has expired")


def test_final_root_expired(publisher: Publisher, reader: Reader) -> None:
    publisher.now += 730 * DAY
    publisher.renew()
    reader.clock.advance(730 * DAY)
    refused(reader, "it has expired")


class Endless(Tampered):
    """Gives one of its files without an end."""

    def __init__(self, rest: Mirror, name: str) -> None:
        super().__init__(rest)
        self.name, self.given = name, 0

    def chunks(self, name: str) -> Iterator[bytes]:
        if name.endswith(self.name):
            while True:
                self.given += 4_096
                yield b"[" * 4_096
        yield from super().chunks(name)


LENGTHS = {
    "2.root.json": LIMITS.root_max_length,
    "timestamp.json": LIMITS.timestamp_max_length,
    "snapshot.json": LIMITS.snapshot_max_length,
    "targets.json": LIMITS.targets_max_length,
    "campaigns.json": LIMITS.targets_max_length,
}


@pytest.mark.parametrize("name", LENGTHS)
def test_endless_data(publisher: Publisher, tmp_path: Path, name: str) -> None:
    fresh = reader_of(publisher, tmp_path / "fresh")
    endless = Endless(fresh.mirror, name)
    refused(fresh, "it is longer than it may be", endless)
    assert endless.given <= LENGTHS[name] + 4_096


def test_endless_nesting_is_no_end_of_the_station(publisher: Publisher, reader: Reader) -> None:
    deep = b'{"signed":' + b"[" * 15_000
    refused(reader, "it is not what the rest", Tampered(reader.mirror, timestamp=deep))


def test_slow_retrieval(publisher: Publisher, tmp_path: Path) -> None:
    """A server that sends each piece half a minute after the last; the clock is the test's."""
    moments = itertools.count(0.0, 30.0)
    fresh = reader_of(publisher, tmp_path / "fresh")
    with WebShelf(publisher.metadata).serving() as web:
        slow = WebMirror(web.url, now=lambda: next(moments))
        with pytest.raises(SourceAway, match="slower than 1000 bytes a second") as caught:
            fresh.refresh(slow)
    assert "USB" in caught.value.hint
    assert fresh.current is None


# --------------------------------------------------------------------------- mixed and changed


def test_mix_and_match(publisher: Publisher, reader: Reader) -> None:
    """The campaigns of yesterday beside the snapshot of today."""
    old = (publisher.metadata / "2.campaigns.json").read_bytes()
    newer = campaign(id="2026-49-bottle-again", serial=119)
    publisher.start(newer)
    refused(reader, "another length or digest", Tampered(reader.mirror, **{"3_campaigns": old}))
    assert list(reader.refresh().campaigns) == [newer.id]


@pytest.mark.parametrize("role", ["snapshot", "campaigns"])
@pytest.mark.parametrize("change", ["longer", "shorter", "another byte"])
def test_wrong_length_and_wrong_hash(
    publisher: Publisher, reader: Reader, role: str, change: str
) -> None:
    publisher.start(NEXT)
    number = Files(publisher.repository.folder).version(role)
    content = (publisher.metadata / f"{number}.{role}.json").read_bytes()
    spoiled = {
        "longer": content + b" ",
        "shorter": content[:-1],
        "another byte": content.replace(b'"version"', b'"Version"', 1),
    }[change]
    why = "longer than it may be" if change == "longer" else "another length or digest"
    refused(reader, why, Tampered(reader.mirror, **{f"{number}_{role}": spoiled}))
    assert reader.refresh().campaigns


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"[]", b"\xff\xfe", b'{"signed": {}}'])
@pytest.mark.parametrize("name", ["2_root", "timestamp"])
def test_what_is_no_metadata(reader: Reader, name: str, content: bytes) -> None:
    refused(reader, "it is not what the rest", Tampered(reader.mirror, **{name: content}))


def test_one_role_passes_for_another(publisher: Publisher, reader: Reader) -> None:
    snapshot = (publisher.metadata / "2.snapshot.json").read_bytes()
    refused(reader, "it is not what the rest", Tampered(reader.mirror, timestamp=snapshot))
