"""Stolen keys and withheld roots: below the threshold they list nothing and hide nothing."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import Any

import pytest

from edge_daemon.errors import EdgeDaemonError
from edge_daemon.fleet.freshness.files import Files
from tests.sim.campaigns import campaign
from tests.sim.fleet_metadata import (
    Publisher,
    Reader,
    Tampered,
    reader_of,
    refused,
    stolen_online_key,
)

MADE = campaign()


TWO_KEYS = list(itertools.combinations(["ops", "release", "qa", "root-1", "online", "thief"], 2))


@pytest.mark.parametrize("signers", [(), ("ops",), ("release",), ("ops", "ops"), *TWO_KEYS])
def test_two_key_matrix(publisher: Publisher, reader: Reader, signers: tuple[str, ...]) -> None:
    """Only ops and release together list a campaign, whoever else signs, even with the online key
    stolen."""
    publisher.new_key("thief")
    stolen = Files(publisher.repository.folder).newest("campaigns").signed
    made = publisher.metadata / "3.campaigns.json"
    shutil.copy(publisher.metadata / "2.campaigns.json", made)
    publisher.forge(made.name, *signers, version=stolen.version + 1)
    stolen_online_key(publisher)
    if set(signers) == {"ops", "release"}:
        assert reader.refresh().campaigns
    else:
        refused(reader, "too few of the keys that count signed it")


def forge_root(publisher: Publisher, number: int, *signers: str, **changes: Any) -> None:
    made = publisher.metadata / f"{number}.root.json"
    shutil.copy(publisher.metadata / "1.root.json", made)
    publisher.forge(made.name, *signers, **{"version": number, **changes})


@pytest.mark.parametrize("signers", [("root-1",), ("root-1", "qa"), ("ops", "release"), ()])
def test_key_compromise_below_the_threshold(
    publisher: Publisher, reader: Reader, signers: tuple[str, ...]
) -> None:
    forge_root(publisher, 2, *signers)
    refused(reader, "too few of the keys that count signed it")
    (publisher.metadata / "2.root.json").unlink()
    assert reader.refresh().root == 1


def test_new_root_that_the_old_keys_did_not_sign(
    publisher: Publisher, reader: Reader, tmp_path: Path
) -> None:
    stranger = Publisher(tmp_path / "stranger")
    stranger.change_keys("root", "root-1", "root-2", add="root-4")
    root = (stranger.metadata / "2.root.json").read_bytes()
    refused(reader, "too few of the keys", Tampered(reader.mirror, **{"2_root": root}))


@pytest.mark.parametrize("version", [1, 3])
def test_new_root_nonconsecutive_version(
    publisher: Publisher, reader: Reader, version: int
) -> None:
    """The old root again as the next one, or a root with a gap before it."""
    forge_root(publisher, 2, "root-1", "root-2", version=version)
    refused(reader, "its version may not follow")


def test_a_root_with_a_gap_is_never_reached(publisher: Publisher, tmp_path: Path) -> None:
    """The server withholds 2.root.json, so that a revoked key would count on."""
    publisher.change_keys(
        "online", "root-1", "root-2", add="online-2", remove="online", online="online-2"
    )
    publisher.change_keys("root", "root-1", "root-2", add="root-4", online="online-2")
    fresh = reader_of(publisher, tmp_path / "fresh")
    refused(fresh, "too few of the keys", Tampered(fresh.mirror, **{"2_root": None}))
    assert fresh.refresh().root == 3


def test_a_revoked_key_lists_nothing_any_more(publisher: Publisher, reader: Reader) -> None:
    publisher.new_key("release-2")
    publisher.repository.stage_keys(
        "campaigns", publisher.public("release-2"), "release", publisher.now
    )
    publisher.publish("root-1", "root-2", "ops", "release-2")
    assert reader.refresh().campaigns
    thief = publisher.metadata / "4.campaigns.json"
    shutil.copy(publisher.metadata / "3.campaigns.json", thief)
    publisher.forge(thief.name, "ops", "release", version=4)
    stolen_online_key(publisher)
    refused(reader, "too few of the keys that count signed it")


def test_one_key_in_two_files_is_one_key(publisher: Publisher, tmp_path: Path) -> None:
    shutil.copy(publisher.public("ops"), publisher.keys / "ops-copy.pub")
    with pytest.raises(EdgeDaemonError, match="1 key, and 2 must sign"):
        publisher.repository.stage_keys(
            "campaigns", publisher.keys / "ops-copy.pub", "release", publisher.now
        )


def test_a_station_that_was_away_for_many_roots_finds_the_way(
    publisher: Publisher, reader: Reader
) -> None:
    for number in range(4, 12):
        publisher.change_keys(
            "root", "root-1", "root-2", add=f"root-{number}", remove=f"root-{number - 1}"
        )
    assert reader.refresh().root == 9
