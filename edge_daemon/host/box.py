"""The box: its processors and memory, and how a thread gives way on it."""

from __future__ import annotations

import os
import platform
import threading
from contextlib import suppress
from pathlib import Path

FEWEST_SLOTS = 2
_MORE_SLOTS = 2
_ROOM_BYTES = 2 << 30  # for the daemon, the first two models and whatever else runs here
_SLOT_BYTES = 1 << 30  # a large model, with its inference


def usual_threads() -> int:
    """Half of the cores, so that a bundle that is being proven does not take those of the lane."""
    return max(1, min(4, len(os.sched_getaffinity(0)) // 2))


def yield_to_judging() -> None:
    """Give this thread, and on Linux it alone, a niceness of 10: judging comes first."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


def usual_slots(available_bytes: int, device: str) -> int:
    """Two, and more where a CPU's memory has room: a model that stays resident is judged with at
    once when its product comes back.

    A device's memory is not known before a model is loaded, so a GPU has two.
    """
    room = (available_bytes - _ROOM_BYTES) // _SLOT_BYTES if device == "cpu" else 0
    return FEWEST_SLOTS + max(0, min(_MORE_SLOTS, room))


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
