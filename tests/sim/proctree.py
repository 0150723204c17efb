"""What a process and its descendants hold: memory, descriptors, threads, processes; and slopes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

WARMING = 0.3
"""The share of the samples at the beginning that a slope does not look at."""


@dataclass(frozen=True)
class Hold:
    """One look at a whole tree. `memory_mb` is proportional: shared pages count once."""

    memory_mb: float
    descriptors: int
    threads: int
    processes: int


def descendants(pid: int) -> list[int]:
    """The process and all below it."""
    found = [pid]
    for parent in found:
        for task in _list(Path(f"/proc/{parent}/task")):
            try:
                children = (task / "children").read_text().split()
            except OSError:
                continue
            found += [int(child) for child in children]
    return found


def look(pid: int) -> Hold:
    """The tree below `pid`, now; a process that ends meanwhile counts as far as it was seen."""
    memory_kb = descriptors = threads = 0
    pids = descendants(pid)
    for each in pids:
        memory_kb += _memory_kb(each)
        descriptors += len(_list(Path(f"/proc/{each}/fd")))
        threads += len(_list(Path(f"/proc/{each}/task")))
    return Hold(memory_kb / 1024, descriptors, threads, len(pids))


def workers(pid: int) -> list[int]:
    """The worker processes below `pid`."""
    return _running(pid, b"edge_daemon.slots.worker")


def fork_servers(pid: int) -> list[int]:
    """The processes below `pid` that workers are forked from."""
    return _running(pid, b"edge_daemon.slots.forkserver")


def _running(pid: int, module: bytes) -> list[int]:
    found = []
    for each in descendants(pid)[1:]:
        try:
            command = Path(f"/proc/{each}/cmdline").read_bytes()
        except OSError:
            continue
        if module in command:
            found.append(each)
    return found


def slopes(samples: Sequence[tuple[float, Hold]]) -> dict[str, float]:
    """Growth of each figure per unit of `at`, by least squares over what is not warming up."""
    steady = samples[int(len(samples) * WARMING) :]
    names = [field.name for field in fields(Hold)]
    columns = zip(*(astuple(hold) for _, hold in steady), strict=True)
    at = [moment for moment, _ in steady]
    return {name: _slope(at, column) for name, column in zip(names, columns, strict=True)}


def _slope(at: Sequence[float], values: Sequence[float]) -> float:
    mean_at, mean = sum(at) / len(at), sum(values) / len(values)
    spread = sum((a - mean_at) ** 2 for a in at)
    shared = sum((a - mean_at) * (v - mean) for a, v in zip(at, values, strict=True))
    return shared / spread if spread else 0.0


def _memory_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def _list(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
