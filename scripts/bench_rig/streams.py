"""How many streams one box carries: daemons side by side, until one of them loses a frame.

Lossless and with its usual buffer, so a frame is lost once the buffer is full: a stream counts as
carried when nothing was lost and the latency at the end is not above that of the start.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace

from bench_rig.lines import Setup
from bench_rig.ours import DaemonLine, Store
from bench_rig.records import Run
from edge_daemon.cli.drill_run import quantile

WATCH_S = 12.0
BUFFER = 16


@dataclass(frozen=True)
class Load:
    """So many streams at once, and how they fared."""

    streams: int
    lost: int
    p50_ms: float
    p99_ms: float
    carried: bool

    def plain(self) -> dict[str, object]:
        return vars(self)


def climb(setup: Setup, store: Store, most: int) -> list[Load]:
    """One stream more each time, until they are too many."""
    found = []
    for streams in range(1, most + 1):
        found.append(_together(streams, setup, store))
        if not found[-1].carried:
            break
    return found


def _together(streams: int, setup: Setup, store: Store) -> Load:
    source = f"conveyor:?fps={setup.fps:g}&size={setup.size}"
    settings = {
        "camera": {"source": source, "buffer_frames": BUFFER},
        "slots": {"count": 2, "threads": setup.threads, "spare": "off"},
    }
    lines = [DaemonLine("process", replace(setup), store, settings) for _ in range(streams)]
    with ExitStack() as stack:
        for line in lines:
            stack.callback(line.close)
        for line in lines:
            line.await_ready()
        began_at = time.monotonic() + 1.0
        time.sleep(WATCH_S + 1.0)
        until = time.monotonic()
        runs = [line.finish() for line in lines]
    lost = sum(run.lost(began_at, until - 0.5) for run in runs)
    latencies = [ms for run in runs for ms in run.latencies_ms(began_at, until)]
    steady = all(_is_steady(run, began_at, until) for run in runs)
    return Load(
        streams, lost, round(quantile(latencies, 0.5) or 0.0, 1),
        round(quantile(latencies, 0.99) or 0.0, 1), lost == 0 and steady,
    )  # fmt: skip


def _is_steady(run: Run, since: float, until: float) -> bool:
    """Whether the queue does not grow: the last third's median is near the first third's."""
    third = (until - since) / 3
    first = quantile(run.latencies_ms(since, since + third), 0.5) or 0.0
    last = quantile(run.latencies_ms(until - third, until), 0.5) or 0.0
    return last <= first + 2 * run.period_ms
