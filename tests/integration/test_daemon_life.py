"""The whole daemon with real workers at a real broker, as one who subscribes sees it."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_daemon.app.daemon import Daemon
from edge_daemon.slots.process import ProcessSlot
from tests.sim.brokers import wait_for
from tests.sim.line import RunningDaemon
from tests.sim.mosquitto import Mosquitto

pytestmark = pytest.mark.broker

B1, B2, B3, CAN = "bottle@1.0.0", "bottle@2.0.0", "bottle@3.0.0", "can@1.0.0"


@pytest.fixture
def mill(tmp_path: Path, broker: Mosquitto) -> Iterator[RunningDaemon]:
    with RunningDaemon(tmp_path, broker) as made:
        yield made
        made.stop()
        made.until_settled()
        made.check_books()


def active_worker(daemon: Daemon) -> int:
    slot = daemon.frames.active_slot.pointer.slot
    assert isinstance(slot, ProcessSlot)
    assert slot.pid is not None
    return slot.pid


def test_a_shift_from_start_to_stop(mill: RunningDaemon) -> None:
    """Start, swap, rollback, order, stop: every frame has one result, by the right model."""
    mill.start()
    assert mill.ask("swap", model=B2, by="kim")["status"] == "succeeded"
    mill.until_judged_by(B2)
    mill.until_event("confirmed", model=B2)
    assert mill.ask("rollback")["receipt"]["to"] == B1
    mill.until_judged_by(B1)
    mill.order("CAN", "WO-1")
    mill.until_judged_by(CAN)
    cans = [r for r in mill.ear.results if r["product"] == "CAN"]
    assert {r["model"] for r in cans} == {CAN}
    assert {r["job_order"] for r in cans} == {"WO-1"}
    mill.stop()
    mill.until_settled()
    tally = mill.ear.books.tally()
    assert tally.frames == tally.inspected, "a frame was dropped or not inspected"
    assert tally.cutovers == 3


def test_a_killed_worker_costs_no_frame(mill: RunningDaemon) -> None:
    """SIGKILL of the active worker: its frame is judged again, and the line goes on."""
    daemon = mill.start()
    os.kill(active_worker(daemon), signal.SIGKILL)
    mill.until_event("restored", model=B1)
    mill.until_judged_by(B1)
    mill.stop()
    mill.until_settled()
    tally = mill.ear.books.tally()
    assert tally.frames == tally.inspected
    assert tally.by_model == {B1: tally.frames}


def test_a_bundle_that_kills_its_worker_is_refused(mill: RunningDaemon) -> None:
    """It dies at its first inference, beside the line; no frame notices."""
    mill.start()
    outcome = mill.ask("swap", model=B3)
    assert outcome["status"] in ("rejected", "failed")
    mill.stop()
    mill.until_settled()
    tally = mill.ear.books.tally()
    assert tally.by_model == {B1: tally.frames}


def test_the_next_start_goes_on_with_what_was_confirmed(mill: RunningDaemon) -> None:
    """Model and selection survive; an id that was answered before is answered the same."""
    mill.start()
    first = mill.ask("swap", model=B2, id="swap-1")
    mill.until_event("confirmed", model=B2)
    mill.stop()
    mill.start(B2)
    mill.ear.heard.clear()
    assert mill.ask("swap", model=B2, id="swap-1") == first
    assert len({r["boot"] for r in mill.ear.results}) == 2
    state = [body for topic, body in mill.ear.heard if topic == "model/state"]
    if state:
        assert state[-1]["selected"] == {"bottle": "2.0.0"}


def test_a_stop_leaves_nothing_behind(tmp_path: Path, broker: Mosquitto) -> None:
    """No thread, no process, no open file more than before."""
    with RunningDaemon(tmp_path, broker) as mill:
        mill.start()  # what a process opens once and for all
        mill.stop()
        before = inventory()
        for _ in range(2):
            mill.start()
            mill.ask("swap", model=B2)
            mill.ask("swap", model=B1)
            mill.stop()
        assert inventory() == before


def inventory() -> tuple[list[str], int, list[str]]:
    """Threads, open files, and child processes of this process."""
    gc.collect()  # closed clients hold their socket pairs until then
    children = [
        child
        for task in Path("/proc/self/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
    alive = [c for c in children if "edge_daemon" in _command(c)]
    names = sorted(thread.name for thread in threading.enumerate())
    return names, len(list(Path("/proc/self/fd").iterdir())), alive


def _command(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def test_a_store_that_goes_away_is_told_while_the_line_goes_on(mill: RunningDaemon) -> None:
    """An unmounted volume: health names its path until it is back; the active model judges on."""
    daemon = mill.start()
    store = mill.settings.models.store
    away = store.rename(store.parent / "away")
    (away / "stirs").touch()  # it is looked at once; without an event it would be in ten seconds
    wait_for(lambda: daemon.monitor.problems() == (f"the store {store} is not there",), "the word")
    assert b"edge_store_up 0.0" in daemon.monitor.scrape()
    results = len(mill.ear.results)
    mill.ear.until(lambda: len(mill.ear.results) > results + 20)
    away.rename(store)
    (store / "stirs").unlink()
    wait_for(lambda: daemon.monitor.problems() == (), "the end of it")
    assert mill.ask("swap", model=B2)["status"] == "succeeded"
