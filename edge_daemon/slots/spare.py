"""Pre-warmed workers that stand by, so that no load waits for the import of torch.

A forked worker costs next to nothing, so a new spare is made at once. A spawned one is warmed when
the slots have been quiet for a while (its imports would compete with a load or a gate for the
processors). Both are made at low priority, and ever more rarely while workers die at their
start.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import structlog

from edge_daemon.errors import SlotLost
from edge_daemon.host.clock import Clock, SystemClock
from edge_daemon.slots.child import WorkerProcess, WorkerSpec
from edge_daemon.slots.forking import ForkServer
from edge_daemon.slots.scratch import Scratch
from edge_daemon.slots.starter import Start, Starter

_log = structlog.get_logger()

_FIRST_RETRY_S = 1.0
_LAST_RETRY_S = 60.0
_LOOK_S = 1.0
_ANSWER_S = 5.0
"""It answers in idle time only: on a busy box that may take a while."""


class SparePool:
    """Keeps `standing` warm workers, and starts one on demand when none stands by.

    Args:
        standing: how many to keep (spare hot or warm: 1, off: 0).
        settle_s: seconds without a load or a gate before a new spare is spawned.
        start_timeout_s: limit for a worker to become ready.
        clock: decides when it is time for a spare, and when a load is late.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        start: Start = Start.SPAWN,
        *,
        standing: int = 1,
        settle_s: float = 3.0,
        start_timeout_s: float = 60.0,
        clock: Clock | None = None,
    ) -> None:
        self.clock = clock or SystemClock()
        self._scratch = Scratch(spec.scratch)
        self._starter = Starter(replace(spec, scratch=self._scratch.path), start)
        self._standing = standing
        self._settle_s = settle_s
        self._start_timeout_s = start_timeout_s
        self._changed = threading.Condition()
        self._ready: list[WorkerProcess] = []
        self._warming: WorkerProcess | None = None
        self._busy = 0  # loads and gates going on
        self._quiet_since = float("-inf")
        self._retry_s = 0.0
        self._closed = False
        self._refiller: threading.Thread | None = None
        if standing:
            self._refiller = threading.Thread(target=self._refill, name="spares", daemon=True)
            self._refiller.start()

    @property
    def spares(self) -> tuple[WorkerProcess, ...]:
        """The warm workers that wait at this moment; the next taker gets the first."""
        with self._changed:
            return tuple(self._ready)

    @property
    def scratch(self) -> str:
        """The folder that holds its workers' own."""
        return self._scratch.path

    @property
    def fork_server(self) -> ForkServer | None:
        """What its workers are forked from; None where they are spawned."""
        return self._starter.server

    def take(self) -> WorkerProcess:
        """A worker that stands by, else the one that is warming, else a new one.

        One that stands by answers first: a dead or a stopped one would be held against the bundle.
        The other two are not warm yet: `await_ready` before use. Raises SlotLost when the box
        cannot start one.
        """
        while (spare := self._next_ready()) is not None:
            if spare.is_awake(_ANSWER_S):
                return spare
            _log.warning("spare_gave_no_answer", worker=spare.pid)
        with self._changed:
            if self._warming is not None:
                worker, self._warming = self._warming, None
                return worker
        return self._starter.new()

    def _next_ready(self) -> WorkerProcess | None:
        with self._changed:
            if self._closed:
                raise SlotLost("No worker is started while the daemon stops.")
            self._changed.notify_all()
            return self._ready.pop(0) if self._ready else None

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Warm no spare meanwhile: a load or a gate needs the processors."""
        with self._changed:
            self._busy += 1
        try:
            yield
        finally:
            with self._changed:
                self._busy -= 1
                self._quiet_since = self.clock.now().at
                self._changed.notify_all()

    def close(self) -> None:
        """End every worker that still belongs to the pool."""
        with self._changed:
            self._closed = True
            if self._warming is not None:
                self._warming.kill()
            left, self._ready = self._ready, []
            self._changed.notify_all()
        self._starter.close()
        if self._refiller is not None:
            self._refiller.join(10.0)
        for worker in left:
            worker.end()
        for worker in left:
            worker.await_end()
        self._scratch.close()

    def _refill(self) -> None:
        while self._await_need():
            self._warm_one()

    def _warm_one(self) -> None:
        worker: WorkerProcess | None = None
        try:
            worker = self._starter.new()
            self._note_warming(worker)
            worker.await_ready(self._start_timeout_s)
        except SlotLost as error:
            self._note_failure(worker, error)
        else:
            self._note_warm(worker)

    def _await_need(self) -> bool:
        """Wait until a spare is missing and the slots are quiet; False at the end."""
        with self._changed:
            while not self._closed:
                self._pass_over_dead()
                wait_s = _LOOK_S
                quick = self._starter.is_quick
                if len(self._ready) < self._standing and (quick or not self._busy):
                    pause_s = max(0.0 if quick else self._settle_s, self._retry_s)
                    wait_s = min(_LOOK_S, self._quiet_since + pause_s - self.clock.now().at)
                    if wait_s <= 0:
                        return True
                self._changed.wait(wait_s)
            return False

    def _pass_over_dead(self) -> None:
        for dead in [spare for spare in self._ready if not spare.is_alive]:
            self._ready.remove(dead)
            dead.end()
            _log.warning("spare_lost", worker=dead.pid)

    def _note_warming(self, worker: WorkerProcess) -> None:
        with self._changed:
            self._warming = worker
            if self._closed:
                worker.kill()

    def _note_warm(self, worker: WorkerProcess) -> None:
        with self._changed:
            self._retry_s = 0.0
            is_ours = self._warming is worker  # a slot may have taken it meanwhile
            self._warming = None
            if is_ours and not self._closed:
                self._ready.append(worker)
                is_ours = False
            self._changed.notify_all()
        if is_ours:
            worker.end()

    def _note_failure(self, worker: WorkerProcess | None, error: SlotLost) -> None:
        with self._changed:
            if self._closed or self._warming is not worker:
                return  # a slot has taken it meanwhile, and hears of its end itself
            self._warming = None
            self._retry_s = min(_LAST_RETRY_S, max(_FIRST_RETRY_S, self._retry_s * 2))
            self._quiet_since = self.clock.now().at
        _log.warning("spare_failed", error=str(error), retry_s=self._retry_s)
