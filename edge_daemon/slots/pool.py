"""The spare workers that a station's settings ask for.

Apart from the daemon's own parts, which take a second to import: `run` has the workers' libraries
imported meanwhile, in the other process.
"""

from __future__ import annotations

import os

from edge_daemon.config import Settings
from edge_daemon.host.box import usual_threads
from edge_daemon.host.clock import Clock
from edge_daemon.slots.child import WorkerSpec
from edge_daemon.slots.spare import SparePool
from edge_daemon.slots.starter import Start


def engine_options(settings: Settings) -> dict[str, object]:
    """The arguments of the engine's factory."""
    return {
        "threads": settings.slots.threads or usual_threads(),
        "device": settings.slots.device,
        "headroom_mb": settings.gate.memory_headroom_mb,
    }


def spare_pool(settings: Settings, engine: str, clock: Clock) -> SparePool:
    """Where workers come from; the first begins to warm. The scratch folder must be there."""
    spec = WorkerSpec(
        engine,
        engine_options(settings),
        readable=(str(settings.scratch_folder),),
        memory_bytes=(settings.slots.memory_limit_mb or 0) << 20,
    )
    standing = 0 if settings.slots.spare == "off" else 1
    return SparePool(spec, Start(settings.workers.start), standing=standing, clock=clock)


def early_pool(settings: Settings, engine: str, clock: Clock) -> SparePool | None:
    """The same before anything else of the daemon is there.

    None where no worker is needed, or where the scratch folder is not there yet or not sound: the
    first start makes it.
    """
    folder = settings.scratch_folder
    if settings.slots.isolation == "thread" or folder.is_symlink() or not folder.is_dir():
        return None
    if not os.access(folder, os.W_OK | os.X_OK):
        return None
    return spare_pool(settings, engine, clock)
