"""Looks at the store beside the driver: requests keep their order, and no fault ends anything."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from edge_daemon.control.store_scan import Newcomers, StoreScan
from edge_daemon.core.events import StoreChanged
from edge_daemon.core.state import SlotState, State
from edge_daemon.core.values import BundleRef, ModelChoice, StoredBundle
from tests.sim.bundles import make_bundle
from tests.sim.clock import SimClock

KNOWN = StoredBundle(BundleRef("bottle", "1.0.0"), "ab")
STATE = State("boot", (SlotState("A"),), available=(KNOWN,))
PATIENCE_S = 30.0


class Driver:
    """One thread's queue of brief work, as the mailbox has it; the test takes the turns."""

    def __init__(self, store: Path) -> None:
        self.calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.offer: StoreChanged | Exception = StoreChanged((KNOWN,))
        self.said: list[str] = []
        self.store_scan = StoreScan(Newcomers(store, SimClock()), self._look, self.calls.put)

    def _look(self) -> StoreChanged:
        if isinstance(self.offer, Exception):
            raise self.offer
        return self.offer

    def ask(self, name: str) -> None:
        """A request that the store says nothing of."""
        self.store_scan.ask(lambda: self.said.append(name))

    def ask_after_a_look(self, name: str) -> None:
        def found(seen: StoreChanged | None) -> None:
            self.said.append(f"{name}: {'seen' if seen else 'not seen'}")

        self.store_scan.ask(lambda: self.store_scan.look(found))

    def take_turns(self, until: int) -> None:
        """Until so much was said."""
        while len(self.said) < until:
            self.calls.get(timeout=PATIENCE_S)()


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    made = Driver(tmp_path)
    yield made
    made.store_scan.close()


def test_what_needs_no_look_is_done_at_once(driver: Driver) -> None:
    """In the same turn."""
    driver.ask("hold")
    assert driver.said == ["hold"]


def test_a_look_is_made_elsewhere_and_its_answer_comes_back(driver: Driver) -> None:
    """On the driver's own thread, where records may be touched."""
    driver.ask_after_a_look("swap")
    assert driver.said == []
    driver.take_turns(1)
    assert driver.said == ["swap: seen"]


def test_what_is_asked_during_a_look_waits_for_it(driver: Driver) -> None:
    """A hold that came after a swap does not overtake it; each waits once."""
    driver.ask_after_a_look("swap")
    driver.ask("hold")
    driver.ask_after_a_look("prepare")
    driver.ask("release")
    assert driver.said == []
    driver.take_turns(4)
    assert driver.said == ["swap: seen", "hold", "prepare: seen", "release"]


def test_a_store_that_cannot_be_looked_at_is_told_and_the_request_goes_on(driver: Driver) -> None:
    """It is judged by what is known; the next look may see more."""
    driver.offer = OSError(5, "Input/output error")
    with capture_logs() as lines:
        driver.ask_after_a_look("swap")
        driver.ask("hold")
        driver.take_turns(2)
    assert driver.said == ["swap: not seen", "hold"]
    assert [line["event"] for line in lines] == ["store_look_failed"]


def test_after_the_end_nothing_comes_of_a_look(driver: Driver) -> None:
    """And closing waits for none."""
    driver.store_scan.close()
    with pytest.raises(RuntimeError):
        driver.ask_after_a_look("swap")
    assert driver.said == []


def test_a_version_that_is_known_needs_no_look(driver: Driver, tmp_path: Path) -> None:
    """Versions are immutable: what is known of it stays true."""
    make_bundle(tmp_path, "bottle@1.0.0", golden=0)
    assert not driver.store_scan.may_find(ModelChoice("bottle", "1.0.0"), STATE)


def test_a_version_that_lies_there_unknown_is_looked_for(driver: Driver, tmp_path: Path) -> None:
    """It came a moment ago, faster than the news of it."""
    assert not driver.store_scan.may_find(ModelChoice("bottle", "2.0.0"), STATE)
    make_bundle(tmp_path, "bottle@2.0.0", golden=0)
    assert driver.store_scan.may_find(ModelChoice("bottle", "2.0.0"), STATE)


def test_a_request_without_a_model_needs_no_look(driver: Driver) -> None:
    """Hold, release, confirm."""
    assert not driver.store_scan.may_find(None, STATE)
