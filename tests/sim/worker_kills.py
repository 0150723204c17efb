"""SIGKILL of the judging worker, of the fork server and of the spare, in turns; and the reckoning.

    python -m tests.sim.worker_kills --n 1000

Each frame must be judged in the end, and nothing may be left over: the processes, descriptors,
threads and megabytes of the whole tree stay level.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from edge_daemon.core.values import BundleRef
from edge_daemon.errors import SlotLost
from edge_daemon.host.memory import FrameAddress, FrameMemory, FrameShape
from edge_daemon.slots.child import WorkerSpec
from edge_daemon.slots.process import ProcessSlot
from edge_daemon.slots.slot import LoadOrder
from edge_daemon.slots.spare import SparePool
from edge_daemon.slots.starter import Start
from tests.sim.engine import Behaviour, write_weights
from tests.sim.proctree import Hold, fork_servers, look, slopes, workers

ENGINE = "tests.sim.engine:SimEngine"
GENEROUS_S = 60.0
PROCESSES = 3
"""The fork server, the judging worker, the spare."""


@dataclass
class Reckoning:
    """What came of a run; `holds` are looks at the quiet tree, and after how many kills."""

    kills: dict[str, int] = field(default_factory=lambda: {"judge": 0, "server": 0, "spare": 0})
    judged: int = 0
    longest_s: float = 0.0
    holds: list[tuple[float, Hold]] = field(default_factory=list)

    def __str__(self) -> str:
        told = ", ".join(f"{count} of the {name}" for name, count in self.kills.items())
        grown = ", ".join(f"{name} {slope:+.4f}" for name, slope in slopes(self.holds).items())
        return (
            f"kills: {told}; {self.judged} frames judged; longest {self.longest_s:.2f} s; "
            f"growth a kill: {grown}"
        )


def rage(pool: SparePool, slot: ProcessSlot, order: LoadOrder, kills: int) -> Reckoning:
    """Kill, and have a frame judged after each kill. Raises SlotLost for a frame that is not."""
    found = Reckoning()
    memory = FrameMemory.allocate(FrameShape(48, 64), places=1)
    slot.load(order, GENEROUS_S)
    every = max(1, kills // 10)
    try:
        for number in range(1, kills + 1):
            name, victim = _kill_one(number, pool, slot)
            found.kills[name] += 1
            began = time.monotonic()
            found.judged += _judge(slot, FrameAddress(memory, 0), order)
            found.longest_s = max(found.longest_s, time.monotonic() - began)
            if number % every == 0:
                until(lambda dead=victim: _is_quiet(pool, dead), "the tree is whole again")
                gc.collect()
                found.holds.append((number, look(os.getpid())))
    finally:
        memory.close()
    return found


def _judge(slot: ProcessSlot, frame: FrameAddress, order: LoadOrder) -> int:
    """As the daemon does: a frame whose worker is lost is judged by the next one."""
    with suppress(SlotLost):
        return len(slot.infer(frame, GENEROUS_S).detections)
    slot.load(order, GENEROUS_S)
    return len(slot.infer(frame, GENEROUS_S).detections)


def _kill_one(number: int, pool: SparePool, slot: ProcessSlot) -> tuple[str, int]:
    """In turns; what is not there at this moment comes soon."""
    server = pool.fork_server
    assert server is not None
    name, pid_of = (
        ("judge", lambda: slot.pid),
        ("server", lambda: server.pid),
        ("spare", lambda: next((spare.pid for spare in pool.spares), None)),
    )[number % 3]
    until(lambda: pid_of() is not None, f"a {name}")
    victim = pid_of()
    os.kill(victim, signal.SIGKILL)
    return name, victim


def _is_quiet(pool: SparePool, dead: int) -> bool:
    """Whether the last victim was waited for, and is replaced."""
    if Path(f"/proc/{dead}").exists():
        return False
    server = pool.fork_server
    whole = server is not None and server.is_ready and len(pool.spares) == 1
    whole = whole and all(spare.is_alive for spare in pool.spares)
    pid = os.getpid()
    return whole and len(fork_servers(pid)) + len(workers(pid)) == PROCESSES


def until(holds: Callable[[], bool], what: str) -> None:
    deadline_at = time.monotonic() + GENEROUS_S
    while not holds():
        assert time.monotonic() < deadline_at, f"{what} did not come to pass"
        time.sleep(0.01)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=100, help="kills")
    given = parser.parse_args()
    quiet = structlog.make_filtering_bound_logger(logging.ERROR)
    structlog.configure(wrapper_class=quiet)
    with tempfile.TemporaryDirectory(prefix="edk-") as name:
        folder = Path(name)
        weights = write_weights(folder, Behaviour.GOOD)
        ref = BundleRef("bottle", "1.0.0")
        order = LoadOrder(ref, "00", folder, weights, "detect", ("bottle",), 320, 0.25)
        pool = SparePool(WorkerSpec(ENGINE, readable=(name,)), Start.FORK)
        slot = ProcessSlot("A", pool)
        try:
            reckoning = rage(pool, slot, order, given.n)
        finally:
            slot.close()
            pool.close()
    sys.stdout.write(f"{reckoning}\n")
    return 0 if reckoning.judged == given.n else 1


if __name__ == "__main__":
    sys.exit(main())
