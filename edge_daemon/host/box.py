"""The box in figures: processors and memory."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def usual_threads() -> int:
    """Half of the cores, so that a bundle that is being proven does not take those of the lane."""
    return max(1, min(4, len(os.sched_getaffinity(0)) // 2))


def available_memory_bytes() -> int:
    """What the kernel says could be used without swapping; 0 when it does not say."""
    value = _field("/proc/meminfo", "MemAvailable")
    return int(value.split()[0]) << 10 if value else 0


def processor() -> str:
    """The processor's model, as Linux says it."""
    return _field("/proc/cpuinfo", "model name") or platform.machine()


def _field(file: str, name: str) -> str:
    """The value of the first line `name: value`; empty where there is none."""
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    pairs = (line.partition(":") for line in lines)
    return next((value.strip() for key, _, value in pairs if key.strip() == name), "")
