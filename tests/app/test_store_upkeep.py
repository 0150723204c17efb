"""The store keeps within its quota, and nobody misses what went."""

from __future__ import annotations

import os
from collections.abc import Iterator, Set
from pathlib import Path

import pytest

from edge_daemon.app.store_upkeep import StoreUpkeep
from edge_daemon.core.values import BundleRef
from tests.sim.bundles import make_bundle
from tests.sim.station import Plan, Station

VERSIONS = tuple(f"bottle@{number}.0.0" for number in range(1, 7))


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    for ref in VERSIONS:  # in the order of their arrival
        make_bundle(tmp_path / "store", ref, golden=1)
    with Station(tmp_path, Plan(bundles=VERSIONS)) as made:
        yield made.run()


def keep(
    station: Station, quota_bytes: int | None, pinned: Set[BundleRef] = frozenset()
) -> list[str]:
    """Look once, and say what is left."""
    upkeep = StoreUpkeep(
        station.store, quota_bytes, station.mailbox, station.driver, station.recorder
    )
    upkeep.pinned = lambda: pinned
    upkeep.look()
    station.ask("hold")  # the driver has come past it
    station.ask("release")
    upkeep.look()
    return [str(known.ref) for known in station.store.available()]


def test_without_a_quota_nothing_ever_goes(station: Station) -> None:
    """The setting's default."""
    assert keep(station, None) == list(VERSIONS)


def test_the_oldest_that_nothing_needs_go(station: Station) -> None:
    """Active and confirmed stay; each removal is one row of the trail, and the chain is whole."""
    each = station.store.size_bytes() // len(VERSIONS)
    assert keep(station, each * 4 + 100) == [VERSIONS[0], *VERSIONS[3:]]
    rows = [link.row for link in station.journal.audit_rows(100)]
    removed = [row.body for row in rows if row.kind == "removal"]
    assert [b"bottle@2.0.0" in body or b"bottle@3.0.0" in body for body in removed] == [True, True]
    assert station.journal.audit_faults() == []
    assert not any((station.folder / "store" / ".leaving").iterdir())


def test_what_an_open_campaign_names_stays(station: Station) -> None:
    """Neighbours may still fetch it from here, and its wave may open."""
    each = station.store.size_bytes() // len(VERSIONS)
    pinned = {BundleRef.parse(VERSIONS[1])}
    assert keep(station, each * 4 + 100, pinned) == [*VERSIONS[:2], *VERSIONS[4:]]


def test_a_quota_of_nothing_leaves_what_the_line_needs(station: Station) -> None:
    """Active, confirmed before, the newest: a swap, a rollback and a restart still work."""
    assert station.ask("swap", model="bottle@3.0.0")["status"] == "succeeded"
    station.until_event("confirmed", model="bottle@3.0.0")
    assert keep(station, 1) == [VERSIONS[0], VERSIONS[2], VERSIONS[5]]
    assert station.ask("rollback")["status"] == "succeeded"
    with station.restarted() as again:
        again.run("bottle@1.0.0")
        assert again.ask("swap", model="bottle")["status"] == "succeeded"


def test_what_somebody_puts_at_the_lock_does_not_end_the_station(station: Station) -> None:
    """The quota waits, requests are answered as before, and the next look catches up."""
    lock = station.folder / "store" / ".lock"
    lock.unlink(missing_ok=True)
    os.mkfifo(lock)
    assert keep(station, 1) == list(VERSIONS)
    lock.unlink()
    assert keep(station, 1) == [VERSIONS[0], VERSIONS[5]]
