"""What a worker costs that is forked, beside one that is spawned: time and memory, in one run.

    python -m tests.sim.births --n 100 --kills 20

Both ways take turns on the demo's small model, on the CPU, one thread each, without a spare. A
spawned worker imports torch anew, so there is one of them for each ten that are forked; its later
inferences are compared with those of a forked one, which are made in turns.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import structlog

from edge_daemon.core.values import BundleRef
from edge_daemon.demo.stage import BUNDLES
from edge_daemon.host.memory import FrameAddress, FrameMemory, FrameShape
from edge_daemon.slots.child import WorkerSpec
from edge_daemon.slots.process import ENGINE, ProcessSlot
from edge_daemon.slots.slot import LoadOrder
from edge_daemon.slots.spare import SparePool
from edge_daemon.slots.starter import Start
from tests.sim.line import RunningDaemon
from tests.sim.mosquitto import Mosquitto, new_mosquitto

BUNDLE = BUNDLES / "bottle" / "1.0.0"
CLASSES = ("bottle", "scratch", "dent")
GENEROUS_S = 120.0
RESIDENTS = (1, 2, 4, 8)
LATER = 10
"""Inferences after the first one."""
ORDER = LoadOrder(
    BundleRef("bottle", "1.0.0"),
    "",
    BUNDLE,
    BUNDLE / "weights.pt",
    "detect",
    CLASSES,
    320,
    0.25,
    urgent=True,
)
UNITS = {"private": "MB"}
PROMISES = {"ready": 150.0, "judged again": 400.0, "private": 60.0}
"""Name -> what a forked worker stays below: the 99th percentile, in ms; of memory the median."""

Figures = dict[str, list[float]]


@contextmanager
def slot_of(start: Start) -> Iterator[tuple[SparePool, ProcessSlot]]:
    """A slot whose workers begin that way; a first one was there, so that all is in the cache."""
    spec = WorkerSpec(ENGINE, {"threads": 1}, readable=(str(BUNDLE),))
    with ExitStack() as stack:
        pool = SparePool(spec, start, standing=0)
        stack.callback(pool.close)
        slot = ProcessSlot("A", pool)
        stack.callback(slot.close)
        _ready_ms(pool)
        yield pool, slot


def measure(pool: SparePool, slot: ProcessSlot, frame: FrameAddress, figures: Figures) -> None:
    """One worker that is only asked for, and one that judges; it stays, loaded."""
    figures["ready"].append(_ready_ms(pool))
    began = time.perf_counter()
    loaded = slot.load(ORDER, GENEROUS_S)
    first = slot.infer(frame, GENEROUS_S)
    figures["ready, loaded and judged"].append((time.perf_counter() - began) * 1e3)
    figures["load"].append(loaded.load_ms)
    figures["first inference"].append(first.inference_ms)
    if slot.pid is not None and (held := _smaps_mb(slot.pid, "Private_")):
        figures["private"].append(held)


def residents(pool: SparePool, frame: FrameAddress) -> dict[str, float]:
    """What so many resident models take, their fork server included, in MB.

    Shared pages count by their shares, so that the sum is what the box has less.
    """
    server = pool.fork_server
    taken: dict[str, float] = {}
    with ExitStack() as stack:
        pids: list[int] = []
        for number in range(1, max(RESIDENTS) + 1):
            slot = ProcessSlot(f"R{number}", pool)
            stack.callback(slot.close)
            slot.load(ORDER, GENEROUS_S)
            slot.infer(frame, GENEROUS_S)
            pids.append(slot.pid or 0)
            if number in RESIDENTS:
                own = [server.pid] if server is not None and server.pid is not None else []
                taken[str(number)] = sum(_smaps_mb(pid, "Pss:") for pid in [*own, *pids])
    return taken


def kill_judges(folder: Path, broker: Mosquitto, start: Start, kills: int) -> list[float]:
    """How long the frame waited whose worker was killed under the whole daemon, in ms each.

    No frame may be lost: the books say so, or the run ends.
    """
    waited: list[float] = []
    for life in range(kills):  # a life each: after the second loss in a minute the daemon waits
        home = folder / f"{start.value}-{life}"
        shutil.copytree(BUNDLES, home / "store")
        settings = {
            "camera": {"source": "conveyor:?size=640x480&fps=5", "buffer_frames": 256},
            "slots": {"count": 2, "spare": "off", "threads": 1},
            "workers": {"start": start.value},
        }
        with RunningDaemon(home, broker, **settings) as mill:
            daemon = mill.start(engine=ENGINE)
            slot = daemon.frames.active_slot.pointer.slot
            assert isinstance(slot, ProcessSlot)
            assert slot.pid is not None
            seen = len(mill.ear.results)
            os.kill(slot.pid, signal.SIGKILL)
            mill.ear.until(lambda: _restored(mill) == 1)
            enough = len(mill.ear.results) + 10
            mill.ear.until(lambda n=enough: len(mill.ear.results) >= n)
            spans = [each["latency_ms"] for each in mill.ear.results[seen:]]
            waited.append(max(span["queue"] + span["inference"] for span in spans))
            mill.stop()
            mill.until_settled()
            assert mill.ear.books.faults == []
            tally = mill.ear.books.tally()
            # A busy box ends before it has judged all that waits in the ring; nothing else may be.
            assert set(tally.by_reason) <= {"stopped"}, tally
    return waited


def _restored(mill: RunningDaemon) -> int:
    return sum(body.get("type") == "restored" for _, body in mill.ear.heard)


def _ready_ms(pool: SparePool) -> float:
    began = time.perf_counter()
    worker = pool.take()
    worker.await_ready(GENEROUS_S)
    took_ms = (time.perf_counter() - began) * 1e3
    worker.end()
    worker.await_end()
    return took_ms


def _smaps_mb(pid: int, kind: str) -> float:
    """What a process holds of this kind, as `Private_` of its own; 0 where we may not ask."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith(kind)) / 1024


def tell(figures: dict[Start, Figures]) -> dict[str, dict[str, float]]:
    """A line a figure, with the ratio to the same figure of spawned workers."""
    plain: dict[str, dict[str, float]] = {}
    _say(f"{'':26} {'n':>5} {'median':>9} {'p99':>9}    spawned: n, median   ratio")
    for name, forked in figures[Start.FORK].items():
        spawned = figures[Start.SPAWN][name]
        middle, usual = median(forked), median(spawned)
        p99 = sorted(forked)[min(len(forked) - 1, int(len(forked) * 0.99))]
        unit = UNITS.get(name, "ms")
        _say(
            f"{name:26} {len(forked):5} {middle:7.1f} {unit} {p99:7.1f} {unit}"
            f"    {len(spawned):10} {usual:9.1f} {middle / usual:7.3f}"
        )
        plain[name] = {"n": len(forked), "median": middle, "p99": p99, "spawned": usual}
    return plain


def check(plain: dict[str, dict[str, float]]) -> bool:
    """Whether each promise holds that was measured."""
    kept = True
    for name, limit in PROMISES.items():
        if name in plain:
            found = plain[name]["median" if name in UNITS else "p99"]
            kept &= found <= limit
            word = "holds" if found <= limit else "DOES NOT HOLD"
            _say(f"{name}: {found:.0f} of {limit:.0f} {UNITS.get(name, 'ms')}: {word}")
    return kept


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=30, help="forked workers")
    parser.add_argument("--kills", type=int, default=0, help="killed judges of each kind")
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    quiet = structlog.make_filtering_bound_logger(logging.ERROR)
    structlog.configure(wrapper_class=quiet)
    figures: dict[Start, Figures] = {s: defaultdict(list) for s in (Start.FORK, Start.SPAWN)}
    memory = FrameMemory.allocate(FrameShape(480, 640), 1)
    with slot_of(Start.FORK) as forked, slot_of(Start.SPAWN) as spawned:
        frame = FrameAddress(memory, 0)
        for number in range(given.n):
            if number % 10 == 0:
                measure(*spawned, frame, figures[Start.SPAWN])
            measure(*forked, frame, figures[Start.FORK])
            for _ in range(LATER):
                for start, (_, slot) in ((Start.FORK, forked), (Start.SPAWN, spawned)):
                    took_ms = slot.infer(frame, GENEROUS_S).inference_ms
                    figures[start]["later inference"].append(took_ms)
        taken = residents(forked[0], frame)
    if given.kills:
        with tempfile.TemporaryDirectory(prefix="edb-") as folder, new_mosquitto() as broker:
            for start, found in figures.items():
                kills = given.kills if start is Start.FORK else max(2, given.kills // 5)
                found["judged again"] = kill_judges(Path(folder), broker, start, kills)
    plain = tell(figures)
    shown = ", ".join(f"{count}: {megabytes:.0f} MB" for count, megabytes in taken.items())
    _say(f"resident models with what they are forked from: {shown}")
    plain["resident models"] = taken
    if given.json:
        given.json.write_text(json.dumps(plain, indent=1))
    return 0 if check(plain) else 1


if __name__ == "__main__":
    sys.exit(main())
