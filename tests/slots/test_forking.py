"""The process that workers are forked from: what it holds, what it survives, what survives it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from structlog.testing import capture_logs

from edge_daemon.core.values import BundleRef
from edge_daemon.errors import SlotLost
from edge_daemon.host.memory import FrameAddress
from edge_daemon.slots.child import WorkerProcess, WorkerSpec
from edge_daemon.slots.forking import ForkServer, NoFork
from edge_daemon.slots.kernel import possible_yielding
from edge_daemon.slots.process import ProcessSlot
from edge_daemon.slots.slot import LoadOrder
from edge_daemon.slots.spare import SparePool
from edge_daemon.slots.starter import Start
from tests.sim.device import wait_until
from tests.sim.engine import Behaviour, write_weights
from tests.sim.proctree import descendants
from tests.sim.worker_kills import rage

ENGINE = "tests.sim.engine:SimEngine"
GENEROUS_S = 60.0
KILLS = int(os.environ.get("EDGE_TEST_KILLS", "51"))

reading = pytest.mark.skipif(os.getuid() != 0, reason="only root may look into a worker")
MakePool = Callable[..., SparePool]


@pytest.fixture
def make_pool(tmp_path: Path) -> Iterator[MakePool]:
    pools: list[SparePool] = []

    def made(engine: str = ENGINE, start: Start = Start.FORK, standing: int = 0) -> SparePool:
        spec = WorkerSpec(engine, readable=(str(tmp_path),))
        pools.append(SparePool(spec, start, standing=standing, settle_s=0.0))
        return pools[-1]

    yield made
    for pool in pools:
        pool.close()


@pytest.fixture
def order(tmp_path: Path) -> LoadOrder:
    weights = write_weights(tmp_path, Behaviour.GOOD)
    ref = BundleRef("bottle", "1.0.0")
    return LoadOrder(ref, "00", tmp_path, weights, "detect", ("bottle",), 320, 0.25)


def server_of(pool: SparePool) -> ForkServer:
    assert pool.fork_server is not None
    return pool.fork_server


def ready(pool: SparePool) -> WorkerProcess:
    """A worker that has begun to serve: it still reads its own memory after it said `Ready`."""
    worker = pool.take()
    worker.await_ready(GENEROUS_S)
    assert worker.is_awake(GENEROUS_S)
    return worker


def end(*workers: WorkerProcess) -> None:
    for worker in workers:
        worker.end()
        worker.await_end()


# --------------------------------------------------------------------------- what is forked


def test_a_worker_is_a_child_of_the_daemon_and_of_its_session(make_pool: MakePool) -> None:
    """So the kernel ends it with the daemon, and shares the processors as for a spawned one."""
    pool = make_pool()
    worker = ready(pool)
    fields = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(") ")[2].split()
    assert int(fields[1]) == os.getpid()
    assert os.getsid(worker.pid) == os.getsid(0)
    assert os.sched_getscheduler(worker.pid) in (os.SCHED_IDLE, os.SCHED_BATCH)
    assert b"edge_daemon.slots.worker" in Path(f"/proc/{worker.pid}/cmdline").read_bytes()
    assert Path(f"/proc/{worker.pid}/comm").read_text() == "edge-worker\n"
    end(worker)


@reading
def test_descriptors_are_handed_over_and_not_kept(make_pool: MakePool) -> None:
    """A worker has its log, its socket and nothing of another one; the server has its own only."""
    pool = make_pool()
    workers = [ready(pool), ready(pool)]
    held = [_descriptors(worker.pid) for worker in workers]
    # It closes what it handed over after the worker has begun.
    wait_until(lambda: len(_descriptors(server_of(pool).pid)) == 3, "the server's own descriptors")
    servers = _descriptors(server_of(pool).pid)
    end(*workers)
    assert [sorted(map(_kind, each)) for each in held] == [["null", "pipe", "socket"]] * 2
    assert held[0] & held[1] == {"/dev/null"}
    assert sorted(map(_kind, servers)) == ["null", "pipe", "socket"]
    assert not servers & (held[0] | held[1]) - {"/dev/null"}


@reading
def test_the_server_is_in_a_cage_itself(make_pool: MakePool) -> None:
    """One thread, filtered, without new privileges, capabilities or the daemon's environment."""
    pool = make_pool()
    end(ready(pool))
    pid = server_of(pool).pid
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
    assert (status["Threads"], status["Seccomp"], status["NoNewPrivs"]) == ("1", "2", "1")
    assert int(status["CapEff"], 16) & ~(1 << 2 | 1 << 23) == 0
    names = {line.split("=")[0] for line in Path(f"/proc/{pid}/environ").read_text().split("\0")}
    assert (
        not names
        - {"", "PATH", "HOME", "TMPDIR", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ"}
        - {name for name in names if name.startswith(("XDG_", "OPENCV_", "PYTHON", "CUDA_", "LD_"))}
        - {"OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"}
    )


def test_workers_share_what_was_prepared_and_draw_their_own_numbers(
    make_pool: MakePool, order: LoadOrder
) -> None:
    """The library is imported once, in the server; its one thread is not the workers' limit."""
    pool = make_pool("tests.sim.unfit:Prepared")
    slots = [ProcessSlot(name, pool) for name in "AB"]
    told = [slot.load(order, GENEROUS_S).classes for slot in slots]
    server = str(server_of(pool).pid)
    for slot in slots:
        slot.close()
    assert [each[0] for each in told] == [server, server]
    assert told[0][1] != told[1][1]  # Python's own
    assert told[0][2] != told[1][2]  # numpy's
    assert {each[-1] for each in told} == {os.environ.get("OMP_NUM_THREADS", "none")}


@pytest.mark.parametrize("start", [Start.SPAWN, Start.FORK])
def test_what_a_gpu_needs_of_proc_stays_open_to_its_own_worker(
    tmp_path: Path, order: LoadOrder, start: Start
) -> None:
    """CUDA names its threads there as it starts; another process's names stay closed."""
    engine = "tests.sim.unfit:NamesItsThreads"
    pool = SparePool(
        WorkerSpec(engine, {"device": "cuda:0"}, readable=(str(tmp_path),)), start, standing=0
    )
    slot = ProcessSlot("A", pool)
    try:
        assert slot.load(order, GENEROUS_S).classes == ("PermissionError",)
        assert Path(f"/proc/{slot.pid}/comm").read_text() == "cuda:0\n"
    finally:
        slot.close()
        pool.close()


def test_a_spare_is_forked_at_once_and_replaced_when_it_dies(tmp_path: Path) -> None:
    """It costs next to nothing, so that no load and no gate has to be over first."""
    spec = WorkerSpec(ENGINE, readable=(str(tmp_path),))
    pool = SparePool(spec, Start.FORK, settle_s=1e6)
    try:
        _until(lambda: len(pool.spares) == 1)
        with pool.quiet():
            taken = pool.take()
            _until(lambda: len(pool.spares) == 1)
            (dead,) = pool.spares
            dead.kill()
            _until(lambda: dead not in pool.spares and len(pool.spares) == 1)
        end(taken)
    finally:
        pool.close()


# --------------------------------------------------------------------------- where it cannot be


@pytest.mark.parametrize(
    ("engine", "why"),
    [
        ("tests.sim.unfit:ThreadedLibrary", "1 threads"),
        ("tests.sim.unfit:BrokenLibrary", "libsomething"),
        ("tests.sim.unfit:BadChild", "a forked process ended with 70"),
    ],
)
def test_where_nothing_can_be_forked_workers_are_spawned(
    make_pool: MakePool, engine: str, why: str
) -> None:
    """Threads, a failed import or a child that cannot go on: today's way remains, and it is said
    once; who insists on forking is refused."""
    with capture_logs() as lines:
        pool = make_pool(engine, Start.AUTO)
        end(ready(pool), ready(pool))
        said = [line for line in lines if line["event"] == "workers_are_spawned"]
    assert len(said) == 1
    assert why in said[0]["why"]
    assert why in server_of(pool).trouble
    with pytest.raises(SlotLost, match=r"can be forked.*workers\.start"):
        make_pool(engine, Start.FORK).take()


def test_spawn_forks_nothing(make_pool: MakePool) -> None:
    """Whoever asks for it gets each worker as a program of its own, and no server."""
    pool = make_pool(start=Start.SPAWN)
    end(ready(pool))
    assert pool.fork_server is None


# --------------------------------------------------------------------------- what dies when


def test_workers_outlive_their_server_and_keep_their_blame(
    make_pool: MakePool, order: LoadOrder, frame: FrameAddress
) -> None:
    """A server that is killed takes no worker along; how a worker ends later is known all the
    same, and the next one comes from a new server."""
    pool = make_pool()
    slot, other = ProcessSlot("A", pool), ProcessSlot("B", pool)
    slot.load(order, GENEROUS_S)
    first = server_of(pool).pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    other.load(order, GENEROUS_S)
    assert server_of(pool).pid not in (None, first)
    assert len(slot.infer(frame, GENEROUS_S).detections) == 1
    assert slot.pid is not None
    os.kill(slot.pid, signal.SIGKILL)
    with pytest.raises(SlotLost, match="SIGKILL"):
        slot.infer(frame, GENEROUS_S)
    slot.close()
    other.close()


def test_a_server_that_was_stopped_is_replaced(make_pool: MakePool) -> None:
    """It answers no request; past the limit another one takes its place."""
    pool = make_pool()
    end(ready(pool))
    stopped = server_of(pool).pid
    assert stopped is not None
    os.kill(stopped, signal.SIGSTOP)
    worker = ready(pool)
    assert server_of(pool).pid not in (None, stopped)
    end(worker)


def test_closing_ends_the_server_and_every_thread(make_pool: MakePool) -> None:
    """A pool that is closed leaves no process and no thread behind."""
    before = descendants(os.getpid())  # tests of other files may have left what nobody waited for
    pool = make_pool(standing=1)
    _until(lambda: len(pool.spares) == 1)
    pool.close()
    assert set(descendants(os.getpid())) <= set(before)
    _until(lambda: not _own_threads())


def test_a_pool_that_is_closed_at_once_does_not_wait_for_its_server(make_pool: MakePool) -> None:
    """A daemon that stops while it starts is not held up, and starts nothing any more."""
    before = descendants(os.getpid())
    pool = make_pool(standing=1)
    pool.close()
    with pytest.raises(SlotLost):
        pool.take()
    _until(lambda: set(descendants(os.getpid())) <= set(before))


def test_a_server_without_a_folder_is_an_answer_and_no_thread_that_breaks(tmp_path: Path) -> None:
    """Its folder is gone where a daemon is closed while the server's thread begins."""

    def launch(_end: object, _folder: str) -> NoReturn:
        raise AssertionError("nothing is started")

    server = ForkServer(launch, str(tmp_path / "gone"))
    server.start()
    with pytest.raises(NoFork, match="could not be started"):
        server.fork("", {}, 0)
    server.close()


def test_no_frame_is_lost_whoever_is_killed(make_pool: MakePool, order: LoadOrder) -> None:
    """The judging worker, the server and the spare in turns: each frame is judged in the end, and
    nothing is left over: no process, descriptor, thread or folder."""
    pool = make_pool(standing=1)
    slot = ProcessSlot("A", pool)
    found = rage(pool, slot, order, KILLS)
    slot.close()
    assert found.judged == KILLS
    holds = [hold for _, hold in found.holds]
    assert len({hold.processes for hold in holds}) == 1
    assert max(hold.threads for hold in holds) - holds[0].threads <= 3  # of a worker that ends
    assert max(hold.descriptors for hold in holds) - holds[0].descriptors <= 4
    assert holds[-1].memory_mb - holds[0].memory_mb < 24.0  # a look differs from the next by 15
    _until(lambda: len(list(Path(pool.scratch).iterdir())) <= 2)  # the server's, the spare's


def test_the_first_server_takes_its_place_among_the_processors_and_later_ones_give_way(
    make_pool: MakePool, order: LoadOrder
) -> None:
    """A station that starts has nothing else to do; one whose server died judges frames."""
    with capture_logs() as log:
        pool = make_pool()
        slot = ProcessSlot("A", pool)
        slot.load(order, GENEROUS_S)
        os.kill(server_of(pool).pid or 0, signal.SIGKILL)
        _until(lambda: len([each for each in log if each["event"] == "fork_server_ready"]) == 2)
        slot.close()
    first, later = (each["yielding"] for each in log if each["event"] == "fork_server_ready")
    assert first is None
    assert later == possible_yielding().value


# --------------------------------------------------------------------------- how it is seen


def _descriptors(pid: int | None) -> set[str]:
    return {os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()}


def _kind(target: str) -> str:
    return target.removeprefix("/dev/").partition(":")[0]


def _own_threads() -> list[str]:
    prefixes = ("fork-server", "worker-", "spares")
    names = [thread.name for thread in threading.enumerate()]
    return [n for n in names if n.startswith(prefixes) and "spawner" not in n]


def _until(holds: Callable[[], bool]) -> None:
    deadline_at = time.monotonic() + GENEROUS_S
    while not holds():
        assert time.monotonic() < deadline_at, "it did not come to pass"
        time.sleep(0.01)
