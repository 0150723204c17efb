"""How workers begin: forked from a process that is warm, or each as a program of its own.

A forked worker is ready in a tenth of a second and shares the libraries' memory with the others.
Where nothing can be forked (a library with threads of its own, no orphans to adopt), a worker is
spawned, which takes seconds and ends in the same place.
"""

from __future__ import annotations

from enum import Enum

import structlog

from edge_daemon.errors import SlotLost
from edge_daemon.slots.child import WorkerProcess, WorkerSpec, fork_server
from edge_daemon.slots.forking import ForkServer, NoFork

_log = structlog.get_logger()


class Start(str, Enum):
    """The words of `workers.start`."""

    AUTO = "auto"
    FORK = "fork"
    SPAWN = "spawn"


class Starter:
    """Starts workers of one kind.

    Args:
        spec: what kind; with a scratch folder, where workers are to be forked.
        start: how; AUTO forks where that works.
    """

    def __init__(self, spec: WorkerSpec, start: Start = Start.SPAWN) -> None:
        self._spec = spec
        self._start = start
        self.server: ForkServer | None = None  # None: every worker is spawned
        self._told = ""
        self._closed = False
        if start is not Start.SPAWN:
            self.server = fork_server(spec)
            self.server.start()

    @property
    def is_quick(self) -> bool:
        """Whether the next worker costs next to nothing."""
        return self.server is not None and self.server.is_ready

    def new(self) -> WorkerProcess:
        """A new worker, not ready yet. Raises SlotLost when the box cannot start one."""
        if self.server is None:
            return WorkerProcess.start(self._spec)
        try:
            worker = WorkerProcess.fork(self._spec, self.server)
        except NoFork as refused:
            if self._closed:
                raise SlotLost("No worker is started while the daemon stops.") from refused
            if self._start is Start.FORK:
                raise SlotLost(
                    f"No worker can be forked: {refused}.",
                    hint="Set workers.start: auto, which spawns one then.",
                ) from refused
            self._tell(str(refused))
            return WorkerProcess.start(self._spec)
        self._tell("")
        return worker

    def close(self) -> None:
        """Start no more; those that were started are their owners'."""
        self._closed = True
        if self.server is not None:
            self.server.close()

    def _tell(self, why: str) -> None:
        """Say once that workers are spawned, and once that they are forked again."""
        if why != self._told:
            self._told = why
            if why:
                _log.warning("workers_are_spawned", why=why)
            else:
                _log.info("workers_are_forked")
