"""A bundle is found a moment after it came; what is not there costs no look at the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_daemon.control.store_scan import AGAIN_S, Newcomers
from edge_daemon.core.state import State
from edge_daemon.core.values import BundleRef, ModelChoice, Refusal, StoredBundle
from edge_daemon.errors import Code
from tests.sim.clock import SimClock
from tests.sim.folders import lent_folder, nobody

B1 = BundleRef("bottle", "1.0.0")


class Store:
    """Folders, and what the planner knows of them."""

    def __init__(self, folder: Path, *known: BundleRef) -> None:
        self.folder = folder
        self.clock = SimClock()
        self.newcomers = Newcomers(folder, self.clock)
        self.known = list(known)
        self.refused: list[BundleRef] = []
        for ref in known:
            self.add(ref)

    def add(self, ref: BundleRef) -> None:
        (self.folder / ref.name / ref.version).mkdir(parents=True)
        (self.folder / ref.name / ref.version / "model.yaml").touch()

    def may_hide(self, name: str, version: str | None = None) -> bool:
        state = State(
            "b",
            (),
            available=tuple(StoredBundle(ref, "0" * 64) for ref in self.known),
            refused=tuple((ref, Refusal(Code.INVALID_BUNDLE, "y")) for ref in self.refused),
        )
        return self.newcomers.may_hide(ModelChoice(name, version), state)


def test_what_is_not_there_is_not_looked_for(tmp_path: Path) -> None:
    """However often it is asked for; nor is what is known already."""
    store = Store(tmp_path, B1)
    (tmp_path / "bottle" / "3.0.0").mkdir()  # still being copied: model.yaml comes last
    for _ in range(1000):
        assert not store.may_hide("bottle", "2.0.0")
        assert not store.may_hide("bottle")
        assert not store.may_hide("jar")
        store.clock.advance(0.01)


def test_each_newcomer_is_found_at_once(tmp_path: Path) -> None:
    """Also the second within a second, by its version or as the newest."""
    store = Store(tmp_path, B1)
    for version in ("1.1.0", "1.2.0"):
        new = BundleRef("bottle", version)
        store.add(new)
        assert store.may_hide("bottle", version)
        store.known.append(new)
    new = BundleRef("bottle", "1.3.0")
    store.add(new)
    assert store.may_hide("bottle")
    store.known.append(new)
    assert not store.may_hide("bottle")


@pytest.mark.parametrize("mode", [0o000, 0o744])
def test_what_may_not_be_read_is_not_there(mode: int) -> None:
    store = Store(lent_folder("store"))
    store.add(B1)
    (store.folder / "bottle").chmod(mode)
    with nobody():
        assert not store.may_hide("bottle")
        assert not store.may_hide("bottle", "1.0.0")


def test_what_was_refused_is_looked_at_once_a_second(tmp_path: Path) -> None:
    """It may have been mended; so may a folder that no look makes known."""
    store = Store(tmp_path)
    store.add(B1)
    for make_known in (lambda: None, lambda: store.refused.append(B1)):
        make_known()
        store.clock.advance(AGAIN_S)
        assert [store.may_hide("bottle", "1.0.0") for _ in range(3)] == [True, False, False]
        store.clock.advance(AGAIN_S / 2)
        assert not store.may_hide("bottle")


def test_a_version_that_is_gone_is_noticed_before_it_is_chosen(tmp_path: Path) -> None:
    """The newest of what is still there is meant."""
    store = Store(tmp_path, B1)
    store.known.append(BundleRef("bottle", "2.0.0"))
    assert store.may_hide("bottle")


def test_a_version_that_is_named_is_looked_at_though_it_is_not_complete(tmp_path: Path) -> None:
    """The answer says what it lacks, instead of that it is not there; once a second at most."""
    store = Store(tmp_path)
    (tmp_path / "bottle" / "3.0.0").mkdir(parents=True)
    looks = 0
    for _ in range(1000):
        looks += store.may_hide("bottle", "3.0.0")
        store.clock.advance(0.01)
    assert 1 <= looks <= 11
    assert not store.may_hide("bottle")
