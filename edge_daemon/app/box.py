"""Facts of the box that the composition root asks for."""

from __future__ import annotations

import os
from pathlib import Path

from edge_daemon.config import Settings


def usual_threads() -> int:
    """Half of the cores, so that a bundle that is being proven does not take those of the lane."""
    return max(1, min(4, len(os.sched_getaffinity(0)) // 2))


def runtime_folder(settings: Settings) -> Path:
    """Where the control socket lies: systemd's runtime folder, else the state's."""
    given = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    return Path(given) if given else settings.state_folder


def available_memory_bytes() -> int:
    """What the kernel says could be used without swapping; 0 when it does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    kib = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), "0")
    return int(kib) << 10
