"""What only a process can promise: it dies alone, with its cause told, and leaves nothing."""

from __future__ import annotations

import gc
import os
import re
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from edge_daemon.errors import BundleError, SlotLost
from edge_daemon.host.memory import FrameAddress, FrameMemory, FrameShape
from edge_daemon.slots.child import WorkerSpec
from edge_daemon.slots.process import ProcessSlot
from edge_daemon.slots.spare import SparePool
from edge_daemon.slots.starter import Start
from tests.sim.engine import Behaviour, write_weights
from tests.slots.conftest import Order

GENEROUS_S = 30.0

reading_maps = pytest.mark.skipif(os.getuid() != 0, reason="only root may look into a worker")


@pytest.fixture(scope="module", params=[Start.SPAWN, Start.FORK], ids=["spawn", "fork"])
def spares(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SparePool]:
    readable = (str(tmp_path_factory.getbasetemp()),)
    spec = WorkerSpec("tests.sim.engine:SimEngine", readable=readable)
    pool = SparePool(spec, request.param, settle_s=0.0)
    yield pool
    pool.close()


def test_a_worker_that_starts_slowly_is_not_held_against_the_bundle(
    tmp_path: Path, order: Order
) -> None:
    """The limit of a load counts from a warm worker on, however busy the box is."""
    cold = SparePool(
        WorkerSpec("tests.sim.engine:SimEngine", readable=(str(tmp_path),)), standing=0
    )
    slot = ProcessSlot("A", cold)
    try:
        loaded = slot.load(order(Behaviour.GOOD), timeout_s=0.5)  # less than Python's own start
        assert loaded.load_ms < 500
    finally:
        slot.close()
        cold.close()


@pytest.mark.parametrize(
    ("behaviour", "cause"),
    [
        (Behaviour.DIE_AT_INFER, "SIGKILL"),
        (Behaviour.SEGFAULT_AT_INFER, "SIGSEGV"),
        (Behaviour.EXIT_AT_INFER, "exit code 3"),
        (Behaviour.GARBAGE, "malformed"),
        (Behaviour.GIANT, "too long"),
        (Behaviour.AHEAD, "not asked"),
        (Behaviour.FAR_BOX, "far outside"),
        (Behaviour.NAN_BOX, "malformed"),
        (Behaviour.FOREIGN_LABEL, "class that the bundle does not have"),
    ],
)
def test_a_worker_that_dies_or_breaks_its_protocol_is_lost_with_the_cause(
    slot: ProcessSlot, frame: FrameAddress, order: Order, behaviour: Behaviour, cause: str
) -> None:
    """The slot is lost at once, the error says how, and the next worker judges the same frame."""
    slot.load(order(behaviour), GENEROUS_S)
    with pytest.raises(SlotLost, match=cause):
        slot.infer(frame, GENEROUS_S)
    assert slot.pid is None
    slot.load(order(Behaviour.GOOD), GENEROUS_S)
    assert len(slot.infer(frame, GENEROUS_S).detections) == 1


@pytest.mark.parametrize(("urgent", "yields"), [(False, True), (True, False)])
def test_a_load_that_frames_wait_for_gives_way_to_nobody(
    slot: ProcessSlot, order: Order, urgent: bool, yields: bool
) -> None:
    """The next model is loaded in the background; the one that judges is loaded again at once."""
    slot.load(replace(order(Behaviour.GOOD), urgent=urgent), GENEROUS_S)
    assert slot.pid is not None
    assert (os.sched_getscheduler(slot.pid) != os.SCHED_OTHER) is yields


def test_a_worker_that_dies_while_loading_is_lost(slot: ProcessSlot, order: Order) -> None:
    """Weights that crash the loader cost their worker and nothing else."""
    with pytest.raises(SlotLost, match="SIGKILL"):
        slot.load(order(Behaviour.DIE_AT_LOAD), GENEROUS_S)
    assert slot.pid is None


def test_more_detections_than_a_message_holds_blame_the_bundle(
    slot: ProcessSlot, frame: FrameAddress, order: Order
) -> None:
    """A model that finds thousands of objects in a frame is refused, not cut short."""
    slot.load(order(Behaviour.FLOOD), GENEROUS_S)
    with pytest.raises(BundleError, match="5000 objects"):
        slot.infer(frame, GENEROUS_S)


def test_a_lost_or_freed_worker_leaves_no_process(
    slot: ProcessSlot, frame: FrameAddress, order: Order
) -> None:
    """After free, after a refused load and after a loss the worker is gone and reaped."""
    slot.load(order(Behaviour.GOOD), GENEROUS_S)
    freed = slot.pid
    slot.free()
    slot.load(order(Behaviour.HANG_AT_INFER), GENEROUS_S)
    hung = slot.pid
    with pytest.raises(SlotLost):
        slot.infer(frame, 0.2)
    slot.free()
    assert freed is not None
    assert hung is not None
    for pid in (freed, hung):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_worker_outlives_the_thread_that_loaded_it(
    slot: ProcessSlot, frame: FrameAddress, order: Order
) -> None:
    """The kernel's death signal is tied to the forking thread, which must not be the loader's."""
    loading = threading.Thread(target=slot.load, args=(order(Behaviour.GOOD), GENEROUS_S))
    loading.start()
    loading.join()
    assert len(slot.infer(frame, GENEROUS_S).detections) == 1


@pytest.mark.parametrize("start", ["SPAWN", "FORK"])
def test_workers_die_with_the_daemon(tmp_path: Path, start: str) -> None:
    """A daemon that is killed leaves no worker behind, even one that hangs in native code."""
    weights = write_weights(tmp_path, Behaviour.GOOD)
    program = f"""
import pathlib, signal
from edge_daemon.core.values import BundleRef
from edge_daemon.slots.child import WorkerSpec
from edge_daemon.slots.process import ProcessSlot
from edge_daemon.slots.slot import LoadOrder
from edge_daemon.slots.spare import SparePool
from edge_daemon.slots.starter import Start
folder = pathlib.Path({str(tmp_path)!r})
spec = WorkerSpec("tests.sim.engine:SimEngine", readable=(str(folder),))
slot = ProcessSlot("A", SparePool(spec, Start.{start}, standing=0))
weights = pathlib.Path({str(weights)!r})
slot.load(LoadOrder(BundleRef("b", "1"), "00", folder, weights, "detect", ("b",), 320, 0.2), 30)
print("<<the worker is " + str(slot.pid) + ">>", flush=True)
signal.pause()
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p or "." for p in sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment
    ) as daemon:
        assert daemon.stdout is not None
        try:
            lines = iter(daemon.stdout.readline, "")  # the log's lines may be mixed with ours
            told = (re.search(r"<<the worker is (\d+)>>", line) for line in lines)
            watched = os.pidfd_open(next(int(found[1]) for found in told if found))
        finally:
            daemon.kill()
    assert _ended(watched)


@reading_maps
def test_frames_are_mapped_read_only(slot: ProcessSlot, frame: FrameAddress, order: Order) -> None:
    """A worker has no writable view of the frames."""
    slot.load(order(Behaviour.GOOD), GENEROUS_S)
    slot.infer(frame, GENEROUS_S)
    assert _frame_maps(slot) == ["r--s"]


@reading_maps
def test_frame_memory_is_given_back_when_its_owner_drops_it(
    slot: ProcessSlot, frame: FrameAddress, order: Order
) -> None:
    """Old frames are unmapped in a worker as soon as the daemon holds them no more."""
    slot.load(order(Behaviour.GOOD), GENEROUS_S)
    memory = FrameMemory.allocate(FrameShape(8, 8), places=1)
    slot.infer(FrameAddress(memory, 0), GENEROUS_S)
    slot.infer(frame, GENEROUS_S)
    assert len(_frame_maps(slot)) == 2
    memory.close()
    del memory
    gc.collect()
    slot.infer(frame, GENEROUS_S)
    assert len(_frame_maps(slot)) == 1


def test_a_worker_gives_way_until_it_is_promoted(
    slot: ProcessSlot, frame: FrameAddress, order: Order
) -> None:
    """Loading and gating run in the background; from the cutover on the worker is as any other."""
    slot.load(order(Behaviour.GOOD), GENEROUS_S)
    before = _places_in_queue(slot)
    slot.promote()
    slot.infer(frame, GENEROUS_S)
    assert _places_in_queue(slot) == {(os.getpriority(os.PRIO_PROCESS, 0), os.SCHED_OTHER)}
    assert before != _places_in_queue(slot)


def test_what_a_worker_writes_reaches_the_log(
    slot: ProcessSlot, frame: FrameAddress, order: Order
) -> None:
    """A worker's own events keep their names and swap id; whatever else is written is text."""
    with capture_logs() as lines:
        slot.load(order(Behaviour.CHATTER), GENEROUS_S)
        slot.infer(frame, GENEROUS_S)
        pid = slot.pid
        slot.free()
    loaded = next(line for line in lines if line["event"] == "bundle_loaded")
    assert (loaded["swap_id"], loaded["worker"]) == ("s1", pid)
    said = [line["text"] for line in lines if line["event"] == "worker_said"]
    assert said[:3] == ["a library says something"] * 3
    assert said[3].startswith('{"event": "model_noted"')


def test_no_load_begins_before_the_memory_of_the_last_one_is_given_back(
    slot: ProcessSlot, order: Order
) -> None:
    """Whoever let go did not wait for the worker's end; the next load does."""
    slot.load(order(Behaviour.GOOD), GENEROUS_S)
    left = slot.pid
    slot.let_go()
    slot.load(order(Behaviour.GOOD), GENEROUS_S)
    assert slot.pid not in (left, None)
    assert not Path(f"/proc/{left}").exists()


def test_ctrl_c_is_for_the_daemon_alone(
    slot: ProcessSlot, frame: FrameAddress, order: Order
) -> None:
    """The signals that end a daemon do not end its workers: the daemon does, when it is done."""
    slot.load(order(Behaviour.GOOD), GENEROUS_S)
    assert slot.pid is not None
    os.kill(slot.pid, signal.SIGINT)
    os.kill(slot.pid, signal.SIGTERM)
    assert len(slot.infer(frame, GENEROUS_S).detections) == 1
    assert os.getpgid(slot.pid) != os.getpgid(0)


def test_a_worker_gives_way_to_the_daemon_and_not_to_itself_alone(
    slot: ProcessSlot, order: Order
) -> None:
    """Linux shares processors among sessions first: in its own, a worker would yield to none."""
    slot.load(order(Behaviour.GOOD), GENEROUS_S)
    assert slot.pid is not None
    assert os.getsid(slot.pid) == os.getsid(0)
    shares = [Path(f"/proc/{pid}/autogroup") for pid in (slot.pid, os.getpid())]
    if shares[0].exists():
        of_worker, of_daemon = (path.read_text(encoding="ascii") for path in shares)
        assert of_worker == of_daemon


def _frame_maps(slot: ProcessSlot) -> list[str]:
    """The access rights of each mapping of frames in the worker."""
    lines = Path(f"/proc/{slot.pid}/maps").read_text(encoding="utf-8").splitlines()
    return [line.split()[1] for line in lines if "edge-daemon-frames" in line]


def _places_in_queue(slot: ProcessSlot) -> set[tuple[int, int]]:
    """(nice value, scheduling policy) of the worker's threads."""
    threads = [int(name) for name in os.listdir(f"/proc/{slot.pid}/task")]
    return {
        (os.getpriority(os.PRIO_PROCESS, thread), os.sched_getscheduler(thread))
        for thread in threads
    }


def _ended(pidfd: int) -> bool:
    readable, _, _ = select.select([pidfd], [], [], GENEROUS_S)
    os.close(pidfd)
    return bool(readable)
