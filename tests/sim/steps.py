"""The daemon's durable steps: told one by one, or the k-th of them made to fail.

A step is what a power cut could fall before or after: the end of a transaction of the journal
(`commit`, before it; `committed`, after it), an upgrade of its schema, an fsync, a rename. Set in
the daemon's own process, before it starts, by `tests.sim.fork_parent`.

    record:FILE        write each step's name to FILE, a line each
    7:error            the seventh step is refused with EIO
    7:kill             the process dies there, as by a power cut
    7:hang             it takes a second, as on a disk that is dying; FILE.hung is made meanwhile
"""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from edge_daemon.host import journal_file

HANG_S = 1.0
MODES = ("error", "kill", "hang")
AFTER = ("committed",)
"""It has happened: there is nothing left to refuse."""


class Trap:
    """Counts the steps; `told` names a file for their names, `fatal` the one that fails."""

    def __init__(self, told: Path | None, fatal: int, mode: str) -> None:
        self._told = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if told else None
        self._fatal, self._mode = fatal, mode
        self._count = 0
        self._lock = threading.Lock()

    def reach(self, site: str, refuse: Callable[[], Exception]) -> None:
        """A step is about to be made; raises what `refuse` makes where it is to be refused."""
        with self._lock:
            self._count += 1
            mine = self._count == self._fatal
        if self._told is not None:
            os.write(self._told, f"{site}\n".encode())
        if not mine:
            return
        if self._mode == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self._mode == "hang":
            time.sleep(HANG_S)
        elif site not in AFTER:
            raise refuse()


def set_trap(text: str) -> None:
    """Wrap every durable step of this process."""
    first, _, rest = text.partition(":")
    told = Path(rest) if first == "record" else None
    trap = Trap(told, 0 if told else int(first), rest)
    for name in ("fsync", "replace", "rename"):
        setattr(os, name, _before(trap, name, getattr(os, name)))
    journal_file.migrate = _before_migration(trap, journal_file.migrate)

    class TrappedConnection(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            if sql != "COMMIT":
                return super().execute(sql, *values)
            trap.reach("commit", _disk_error)
            done = super().execute(sql)
            trap.reach("committed", _disk_error)
            return done

    sqlite3.connect = partial(sqlite3.connect, factory=TrappedConnection)  # type: ignore[assignment]


def _before(trap: Trap, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def trapped(*arguments: Any, **named: Any) -> Any:
        trap.reach(name, lambda: OSError(errno.EIO, os.strerror(errno.EIO)))
        return call(*arguments, **named)

    return trapped


def _before_migration(trap: Trap, migrate: Callable[..., None]) -> Callable[..., None]:
    def trapped(*arguments: Any) -> None:
        trap.reach("migrate", _disk_error)
        migrate(*arguments)

    return trapped


def _disk_error() -> Exception:
    return sqlite3.OperationalError("disk I/O error")
