"""`edge-daemon run`: the daemon, in the foreground."""

from __future__ import annotations

import gc
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from edge_daemon import config
from edge_daemon.cli.options import ConfigFile, config_file
from edge_daemon.errors import BoxError, Code
from edge_daemon.host import allocator, logs
from edge_daemon.host.clock import SystemClock
from edge_daemon.slots.kernel import hide_from_others
from edge_daemon.slots.pool import early_pool
from edge_daemon.slots.process import ENGINE

if TYPE_CHECKING:
    from edge_daemon.app import Daemon

POLL_S = 0.5
"""How often the parts of the daemon are checked for failure."""


def run(file: ConfigFile = None) -> None:
    """Judge frames until SIGTERM or Ctrl-C."""
    live(config_file(file))


def live(path: Path, engine: str = ENGINE) -> None:
    """Run the daemon until SIGTERM or SIGINT.

    Args:
        path: the settings; read again on SIGHUP.
        engine: what judges, as `module:factory`.

    Raises:
        BoxError: a part of the daemon failed.
    """
    gc.disable()  # what is imported and built here stays: looking for garbage takes a tenth of it
    hide_from_others()  # before it knows a secret
    settings = config.load(path)
    allocator.share_arenas()
    logs.configure(settings.log.level)
    stopping = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stopping.set())
    reloading = threading.Event()
    signal.signal(signal.SIGHUP, lambda *_: reloading.set())
    spares = early_pool(settings, engine, SystemClock())
    from edge_daemon.app import Daemon  # noqa: PLC0415 - a second, in which the workers warm

    daemon = Daemon(settings, engine=engine, spares=spares)
    gc.freeze()  # no later collection walks it, while frames wait
    gc.enable()
    daemon.start()
    try:
        while not stopping.wait(POLL_S):
            if reloading.is_set():
                reloading.clear()
                reload(daemon, path)
            if (broken := daemon.broken()) is not None:
                raise BoxError(
                    f"A part of the daemon failed: {broken!r}.",
                    hint="See the log; the service manager starts it anew.",
                    code=Code.LOAD_FAILED,
                )
    finally:
        daemon.stop()


def reload(daemon: Daemon, path: Path) -> None:
    """Read the settings again; a bad file changes nothing."""
    try:
        daemon.reload(config.load(path))
    except Exception as error:  # the boundary: what somebody edits must never end the line
        daemon.refuse_reload(error)
