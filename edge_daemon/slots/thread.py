"""A slot in this process: the same interface for boxes with too little memory for workers.

One thread owns the engine and every call of it. What a process gives is missing here: a load that
hangs cannot be ended, only abandoned with its memory (and ultralytics holds a process-wide lock
while it reads a checkpoint, so that later loads may wait behind it), a fault of the GPU or a
crash of native code ends the daemon, and loading competes with the live frames for the
interpreter's lock. And there is no cage: what a model's code may do, it may do to the daemon.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, InvalidStateError, wait
from concurrent.futures import TimeoutError as FutureTimeoutError  # its own class before 3.11
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

import structlog

from edge_daemon.errors import Code, EdgeDaemonError, SlotLost
from edge_daemon.host.memory import FrameAddress, FrameMemory
from edge_daemon.models.blame import brief
from edge_daemon.slots.resident import Resident, engine_of
from edge_daemon.slots.slot import HUNG_S, Inference, Loaded, LoadOrder

_log = structlog.get_logger()
_R = TypeVar("_R")


class ThreadSlot:
    """Implements `Slot` with a thread of this process; `engine` is `module:factory`, `options` are
    the factory's arguments."""

    def __init__(self, name: str, engine: str, options: Mapping[str, object] | None = None) -> None:
        self.name = name
        self._factory = engine
        self._options = dict(options or {})
        self._owner: _Owner | None = None
        self._loaded: Loaded | None = None

    @property
    def is_lost(self) -> bool:
        """A thread does not die alone; one that hangs shows itself at a call."""
        return False

    def load(self, order: LoadOrder, timeout_s: float) -> Loaded:
        self.free()
        owner = self._owner = _Owner(
            self.name, lambda: Resident(engine_of(self._factory, self._options))
        )
        try:
            loaded = owner.call(lambda resident: resident.load(order), timeout_s)
        except EdgeDaemonError as error:
            self.free()
            if isinstance(error.__cause__, FutureTimeoutError):
                raise SlotLost(
                    f"The weights were not in memory within {timeout_s:g} s.",
                    hint="Restart the daemon to get the abandoned memory back.",
                    code=Code.LOAD_TIMEOUT,
                ) from error
            raise
        self._loaded = loaded
        return loaded

    def infer(self, frame: FrameAddress, timeout_s: float) -> Inference:
        return self._ask(lambda owner: owner.call(lambda r: r.judge(frame.pixels), timeout_s))

    def infer_file(self, path: Path, timeout_s: float) -> Inference:
        return self._ask(lambda owner: owner.call(lambda r: r.judge_file(path), timeout_s))

    def infer_picture(self, picture: FrameAddress, patience_s: float) -> Inference | None:
        return self._ask(
            lambda owner: owner.call_briefly(lambda r: r.judge(picture.pixels), patience_s)
        )

    def decode(self, path: Path, timeout_s: float) -> FrameMemory | None:
        """There is no cage: this very process decodes."""
        pixels = self._ask(lambda owner: owner.call(lambda r: r.decode(path), timeout_s))
        return FrameMemory.holding(pixels)

    def promote(self) -> None:
        """Nothing to do: all threads of the daemon have one priority."""

    def free(self) -> None:
        owner, self._owner, self._loaded = self._owner, None, None
        if owner is not None:
            owner.stop()

    def let_go(self) -> None:
        """Its thread must have ended before another one may load."""
        self.free()

    def kill(self) -> None:
        owner = self._owner
        if owner is not None:
            owner.abandon("The slot was killed.")

    def memory_bytes(self) -> int:
        loaded = self._loaded
        return loaded.memory_bytes if loaded else 0

    def close(self) -> None:
        self.free()

    def _ask(self, ask: Callable[[_Owner], _R]) -> _R:
        owner = self._owner
        if owner is None or self._loaded is None:
            raise SlotLost(f"Slot {self.name} is empty.")
        try:
            return ask(owner)
        except SlotLost:
            self.free()
            raise


class _Owner:
    """The one thread that may touch the engine, from its making to its end."""

    def __init__(self, name: str, make: Callable[[], Resident]) -> None:
        self._name = name
        self._make = make
        self._calls: SimpleQueue[Callable[[Resident], None] | None] = SimpleQueue()
        self._fail: Callable[[SlotLost], None] = lambda _: None  # of the waiting call
        self._abandoned: SlotLost | None = None
        self._owed: tuple[Future[Any], float] | None = None  # what is not wanted any more
        self._thread = threading.Thread(target=self._serve, name=f"slot-{name}", daemon=True)
        self._thread.start()

    def call(self, work: Callable[[Resident], _R], timeout_s: float) -> _R:
        """Have it done there; raises what it raised, and SlotLost past the limit."""
        self._settle()
        return self._result(self._put(work), timeout_s)

    def call_briefly(self, work: Callable[[Resident], _R], patience_s: float) -> _R | None:
        """As `call`, but None past this time; the next call waits, until `HUNG_S` from now."""
        self._settle()
        until = time.monotonic() + HUNG_S
        answer = self._put(work)
        done, _ = wait([answer], patience_s)
        if not done:
            self._owed = (answer, until)
            return None
        return answer.result()

    def _settle(self) -> None:
        """Wait for what is not wanted any more; the next call's time begins with its end."""
        if self._owed is None:
            return
        (answer, until), self._owed = self._owed, None
        if not wait([answer], max(0.0, until - time.monotonic())).done:
            self.abandon("The slot is abandoned.")
            raise SlotLost(f"The model gave no answer within {HUNG_S:g} s.")

    def _put(self, work: Callable[[Resident], _R]) -> Future[_R]:
        answer: Future[_R] = Future()

        def fail(error: EdgeDaemonError) -> None:
            with suppress(InvalidStateError):  # answered already
                answer.set_exception(error)

        def run(resident: Resident) -> None:
            try:
                done = work(resident)
            except EdgeDaemonError as error:
                fail(error)
            except Exception as error:  # the boundary of the thread: it answers, or one waits
                fail(SlotLost("The slot's thread failed.", detail=brief(error)))
            else:
                with suppress(InvalidStateError):  # abandoned meanwhile
                    answer.set_result(done)

        self._fail = fail
        if self._abandoned is not None:
            raise self._abandoned
        self._calls.put(run)
        return answer

    def _result(self, answer: Future[_R], timeout_s: float) -> _R:
        try:
            return answer.result(timeout_s)
        except FutureTimeoutError as error:
            self.abandon("The slot is abandoned.")
            raise SlotLost(f"The model gave no answer within {timeout_s:g} s.") from error

    def abandon(self, why: str, detail: str = "") -> None:
        """From any thread: a call that waits gets SlotLost; the work itself cannot be stopped."""
        self._abandoned = SlotLost(why, detail=detail)
        self._fail(self._abandoned)

    def stop(self, timeout_s: float = 2.0) -> None:
        """Let the thread end, and with it the engine; abandoned if it is still at work then."""
        self._calls.put(None)
        self._thread.join(0.0 if self._abandoned else timeout_s)
        if self._thread.is_alive():
            _log.warning("slot_thread_abandoned", slot=self._name)

    def _serve(self) -> None:
        try:
            resident = self._make()
        except Exception as error:  # the boundary of the start: told to the first caller
            self.abandon("The engine did not start.", brief(error))
            return
        while self._abandoned is None and (call := self._calls.get()) is not None:
            call(resident)
