"""Spares: one stands by, the next is warmed when the slots are quiet, and deaths slow it down."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from edge_daemon.errors import SlotLost
from edge_daemon.slots.child import WorkerProcess, WorkerSpec
from edge_daemon.slots.spare import SparePool
from tests.sim.clock import SimClock

ENGINE = "tests.sim.engine:SimEngine"
GENEROUS_S = 30.0


def test_a_spare_is_warm_before_it_is_asked_for() -> None:
    """A taken spare is ready at once, and another takes its place."""
    pool = SparePool(WorkerSpec(ENGINE), settle_s=0.0)
    try:
        _until(lambda: len(pool.spares) == 1)
        first = pool.take()
        first.await_ready(0.001)
        _until(lambda: len(pool.spares) == 1)
        second = pool.take()
        assert first.pid != second.pid
        first.end()
        second.end()
    finally:
        pool.close()


def test_without_spares_a_worker_is_started_on_demand() -> None:
    """With spares off, nothing stands by, and a worker is started when one is taken."""
    pool = SparePool(WorkerSpec(ENGINE), standing=0)
    try:
        worker = pool.take()
        worker.await_ready(GENEROUS_S)
        assert len(pool.spares) == 0
        worker.end()
    finally:
        pool.close()


def test_no_spare_is_warmed_while_the_slots_are_busy() -> None:
    """During a load or a gate the processors are left alone; afterwards the spare is made up."""
    pool = SparePool(WorkerSpec(ENGINE), settle_s=0.0)
    try:
        _until(lambda: len(pool.spares) == 1)
        with pool.quiet():
            pool.take().end()
            own = pool.take()  # a whole start-up goes by, and still no spare is made
            own.await_ready(GENEROUS_S)
            assert len(pool.spares) == 0
            own.end()
        _until(lambda: len(pool.spares) == 1)
    finally:
        pool.close()


def test_a_spare_is_made_up_only_when_the_slots_were_quiet_for_a_while() -> None:
    """Swaps come in rows: a spawn between two of them would cost the second one."""
    clock = SimClock()
    pool = SparePool(WorkerSpec(ENGINE), settle_s=3.0, clock=clock)
    try:
        _until(lambda: len(pool.spares) == 1)
        with pool.quiet():
            pool.take().end()
        own = pool.take()  # a whole start-up goes by on a clock that stands still
        own.await_ready(GENEROUS_S)
        assert len(pool.spares) == 0
        own.end()
        clock.advance(3.0)
        _until(lambda: len(pool.spares) == 1)
    finally:
        pool.close()


def test_a_spare_that_died_while_waiting_is_passed_over() -> None:
    """A dead spare is never handed to a slot."""
    pool = SparePool(WorkerSpec(ENGINE), settle_s=0.0)
    try:
        _until(lambda: len(pool.spares) == 1)
        (dead,) = pool.spares
        dead.kill()
        _until(lambda: not dead.is_alive)
        worker = pool.take()
        worker.await_ready(GENEROUS_S)
        assert worker.pid != dead.pid
        worker.end()
    finally:
        pool.close()


def test_a_spare_that_was_stopped_is_passed_over() -> None:
    """It would not answer a load either, and a bundle would be blamed for it."""
    pool = SparePool(WorkerSpec(ENGINE), settle_s=0.0)
    try:
        _until(lambda: len(pool.spares) == 1)
        (stopped,) = pool.spares
        os.kill(stopped.pid, signal.SIGSTOP)
        worker = pool.take()
        worker.await_ready(GENEROUS_S)
        assert worker.pid != stopped.pid
        stopped.await_end()
        assert not stopped.is_alive
        worker.end()
    finally:
        pool.close()


@pytest.mark.parametrize("fault", ["raise", "die"])
def test_workers_that_die_at_their_start_are_tried_ever_more_rarely(fault: str) -> None:
    """A broken installation costs a try now and then, not a loop, and a taker hears of it."""
    with capture_logs() as lines:
        pool = SparePool(WorkerSpec(ENGINE, {"warm_fault": fault}), settle_s=0.0)
        try:
            _until(lambda: _retries(lines) >= 2)
            worker = pool.take()
            with pytest.raises(SlotLost):
                worker.await_ready(GENEROUS_S)
            worker.end()
        finally:
            pool.close()
    waits = [line["retry_s"] for line in lines if line["event"] == "spare_failed"]
    assert waits[:2] == [1.0, 2.0]


def test_a_worker_that_never_becomes_ready_is_given_up() -> None:
    """A start that hangs is ended at its limit."""
    pool = SparePool(WorkerSpec(ENGINE, {"warm_fault": "hang"}), standing=0)
    try:
        worker = pool.take()
        with pytest.raises(SlotLost, match="within"):
            worker.await_ready(0.5)
        worker.await_end()
        assert not worker.is_alive
    finally:
        pool.close()


def test_closing_ends_the_spares() -> None:
    """No worker outlives its pool, not even one that is just being warmed."""
    pool = SparePool(WorkerSpec(ENGINE), settle_s=0.0)
    _until(lambda: len(pool.spares) == 1)
    spare: WorkerProcess = pool.spares[0]
    pool.close()
    assert not spare.is_alive
    with pytest.raises(SlotLost):
        pool.take()


def _until(holds: Callable[[], bool]) -> None:
    deadline_at = time.monotonic() + GENEROUS_S
    while not holds():
        assert time.monotonic() < deadline_at, "it did not come to pass"
        time.sleep(0.01)


def _retries(lines: list[object]) -> int:
    return sum("spare_failed" in str(line) for line in lines)
