"""The fork server as the daemon holds it: keeps one running, and has it fork workers.

When it dies, the workers that it forked run on, for they are children of the daemon; another one
is started at once. Every process that one server forked is in that server's group, so one thread
waits for all of them, and none is left a zombie whatever dies when.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import IO, Union

import structlog

from edge_daemon.host import logs
from edge_daemon.host.clock import SystemClock
from edge_daemon.slots import wire
from edge_daemon.slots.forkserver import PACKET_BYTES
from edge_daemon.slots.kernel import adopt_orphans
from edge_daemon.slots.scratch import clear

_log = structlog.get_logger()

START_S = 120.0
ANSWER_S = 5.0
"""A fork takes milliseconds; a server that was stopped is replaced."""
_LAST_WORDS_S = 2.0
_LAST_RETRY_S = 60.0
_BARREN = 3
"""Servers that are lost at once are started anew at once so often, as when memory is short."""
_TRIES = 2
"""A server may die with a request in hand; the next one is asked again."""

Launch = Callable[[socket.socket, str], "subprocess.Popen[bytes]"]
"""Starts a server that has this end of a socket, and this folder to write to."""


class NoFork(Exception):  # noqa: N818 - an outcome, not an error: the worker is spawned instead
    """Nothing can be forked at this moment; the text says why."""


class ForkedProcess:
    """One worker that a server forked; it can be asked what a `Popen` can."""

    def __init__(self, pid: int, stdout: IO[bytes], reaper: _Reaper) -> None:
        self.pid = pid
        self.stdout = stdout
        self.returncode: int | None = None
        self._reaper = reaper
        reaper.expect(self)

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self.returncode

    def wait(self) -> int:
        """Its exit code when it has ended."""
        return self._reaper.wait(self)

    def kill(self) -> None:
        self._reaper.kill(self)


Process = Union[ForkedProcess, "subprocess.Popen[bytes]"]


class _Reaper:
    """Waits for one server and all that it forked, and notes how they ended.

    A process number may belong to somebody else once it was waited for, so signals are sent under
    the lock that is held then.
    """

    def __init__(self, server: subprocess.Popen[bytes]) -> None:
        self._group = server.pid
        self._changed = threading.Condition()
        self._expected: dict[int, Process] = {server.pid: server}
        self._early: dict[int, int] = {}  # a worker may end before anybody expects it

    def next_end(self) -> int | None:
        """Wait for the next end, and return the number of that process; None if none is left."""
        try:
            found = os.waitid(os.P_PGID, self._group, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            return None
        assert found is not None  # only WNOHANG gives none
        with self._changed:
            _, status = os.waitpid(found.si_pid, 0)
            code = os.waitstatus_to_exitcode(status)
            process = self._expected.pop(found.si_pid, None)
            if process is None:
                self._early[found.si_pid] = code
            else:
                process.returncode = code
            self._changed.notify_all()
        return found.si_pid

    def expect(self, process: ForkedProcess) -> None:
        with self._changed:
            process.returncode = self._early.pop(process.pid, None)
            if process.returncode is None:
                self._expected[process.pid] = process

    def wait(self, process: Process, timeout_s: float | None = None) -> int:
        """Its exit code; raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: process.returncode is not None, timeout_s):
                raise TimeoutError
            assert process.returncode is not None
            return process.returncode

    def kill(self, process: Process) -> None:
        with self._changed:
            if process.returncode is None:
                os.kill(process.pid, signal.SIGKILL)


@dataclass(frozen=True)
class _Running:
    """One server that is ready."""

    process: subprocess.Popen[bytes]
    control: socket.socket
    reaper: _Reaper


class ForkServer:
    """Keeps a server of one kind of worker running, from `start` to `close`; it gets a folder of
    its own in `folder`."""

    def __init__(self, launch: Launch, folder: str) -> None:
        self._launch = launch
        self._folder = folder
        self._changed = threading.Condition()
        self._asking = threading.Lock()
        self._running: _Running | None = None
        self._starting: subprocess.Popen[bytes] | None = None
        self.trouble = ""
        """Why nothing can be forked now; "" if it can, or soon may."""
        self._failures = 0  # starts in a row that came to nothing
        self._barren = 0  # servers in a row that were lost before they forked a worker
        self._closed = False

    def start(self) -> None:
        """Begin; `fork` waits until it is ready."""
        try:
            adopt_orphans()
        except OSError as error:
            self._give_up(f"orphans cannot be adopted ({error.strerror})", final=True)
            return
        self._start_next(0.0)

    @property
    def pid(self) -> int | None:
        running = self._running
        return running.process.pid if running else None

    @property
    def is_ready(self) -> bool:
        """Whether a worker can be forked at once."""
        return self._running is not None

    def fork(self, cage: str, environment: Mapping[str, str], end: int) -> ForkedProcess:
        """A new worker that holds the descriptor `end`; raises NoFork.

        Waits for a server that starts, which takes as long as a worker that is spawned.
        """
        why = ""
        order = json.dumps({"cage": cage, "environment": dict(environment)}).encode()
        for _ in range(_TRIES):
            running = self._await_ready()
            try:
                return self._ask(running, order, end)
            except (OSError, ValueError) as error:  # dead, or stopped: another one is started
                why = f"the fork server did not answer ({type(error).__name__})"
                self._drop(running)
        raise NoFork(why)

    def close(self) -> None:
        """End the server; workers are ended by their slots."""
        with self._changed:
            self._closed = True
            starting, running = self._starting, self._running
            self._changed.notify_all()
        if starting is not None:
            starting.kill()
        if running is not None:
            self._drop(running)
            with suppress(TimeoutError):
                running.reaper.wait(running.process, ANSWER_S)

    def _drop(self, running: _Running) -> None:
        """End a server; waiting callers get the next one."""
        running.reaper.kill(running.process)
        with self._changed:
            if self._running is running:
                self._running = None

    def _await_ready(self) -> _Running:
        with self._changed:
            self._changed.wait_for(
                lambda: self._running is not None or self.trouble or self._closed, START_S
            )
            if self._running is None:
                raise NoFork(self.trouble or "no fork server is ready")
            return self._running

    def _ask(self, running: _Running, order: bytes, end: int) -> ForkedProcess:
        reader, writer = os.pipe()
        stdout = os.fdopen(reader, "rb")
        with ExitStack() as undo:
            undo.callback(stdout.close)
            try:
                with self._asking:
                    socket.send_fds(running.control, [order], [end, writer])
                    packet = running.control.recv(PACKET_BYTES)
            finally:
                os.close(writer)
            if not packet:
                raise ConnectionResetError("it has ended")
            answer = json.loads(packet)
            if "pid" not in answer:
                raise NoFork(str(answer.get("failed"))[:200])
            self._barren = 0
            forked = ForkedProcess(int(answer["pid"]), stdout, running.reaper)
            undo.pop_all()
            return forked

    # ------------------------------------------------------------------ one server's life

    def _start_next(self, pause_s: float) -> None:
        threading.Thread(
            target=self._live, args=(pause_s,), name="fork-server", daemon=True
        ).start()

    def _live(self, pause_s: float) -> None:
        """Start a server, wait for its end and its workers' ends; the next one starts meanwhile."""
        with self._changed:
            if self._changed.wait_for(lambda: self._closed, pause_s):
                return
        with ExitStack() as undo:
            try:
                # Where it was closed before it began, the folder is gone by now.
                folder = tempfile.mkdtemp(prefix="edge-daemon-forks-", dir=self._folder)
                undo.callback(clear, folder)
                ours, theirs = wire.pair()
                with ours, theirs:
                    process = self._launch(theirs, folder)
                    theirs.close()
                    self._note_start(process)
                    running = self._greet(process, ours)
                    if running is not None:
                        self._attend(running)
            except OSError as error:
                self._give_up(f"the fork server could not be started ({error.strerror})")
            except RuntimeError:
                return  # no thread starts any more while the interpreter ends

    def _note_start(self, process: subprocess.Popen[bytes]) -> None:
        threading.Thread(
            target=_relay, args=(process,), name=f"fork-server-{process.pid}-log", daemon=True
        ).start()
        with self._changed:
            self._starting = process
            if self._closed:
                process.kill()

    def _greet(self, process: subprocess.Popen[bytes], ours: socket.socket) -> _Running | None:
        """Wait until it is ready; None when it will not be."""
        ours.settimeout(START_S)
        answer: dict[str, object] = {}
        with suppress(OSError, ValueError):
            answer = json.loads(ours.recv(PACKET_BYTES) or b"{}")
        if "ready" not in answer:
            code = _ended(process)
            unfit = answer.get("unfit")
            why = unfit or answer.get("failed") or f"the fork server ended with {code}"
            self._give_up(str(why)[:300], final=unfit is not None)
            return None
        warm_ms, yielding = answer["ready"], answer.get("yielding")
        _log.info("fork_server_ready", process=process.pid, warm_ms=warm_ms, yielding=yielding)
        if answer.get("lacking"):
            _log.warning("fork_server_cage_incomplete", lacking=answer["lacking"])
        ours.settimeout(ANSWER_S)
        running = _Running(process, ours, _Reaper(process))
        with self._changed:
            self._running, self._starting = running, None
            self.trouble, self._failures = "", 0
            self._changed.notify_all()
        return running

    def _attend(self, running: _Running) -> None:
        """Reap the server and all that it forked; start the next server as soon as it ends."""
        while (pid := running.reaper.next_end()) is not None:
            if pid != running.process.pid:
                continue
            self._drop(running)
            self._barren += 1
            if not self._closed:
                _log.warning("fork_server_lost", process=pid, code=running.process.returncode)
                self._start_next(_pause_s(self._barren - _BARREN))

    def _give_up(self, why: str, *, final: bool = False) -> None:
        """Nothing can be forked for now; tried again later, ever more rarely, unless `final`."""
        with self._changed:
            if self._closed:
                return
            self.trouble = why
            self._failures += 1
            self._changed.notify_all()
        retry_s = None if final else _pause_s(self._failures)
        _log.warning("fork_server_failed", why=why, retry_s=retry_s)
        if retry_s is not None:
            self._start_next(retry_s)


def _pause_s(failures: int) -> float:
    """Before the next try: none at first, then ever longer."""
    return min(_LAST_RETRY_S, 2.0 ** (failures - 1)) if failures > 0 else 0.0


def _ended(process: subprocess.Popen[bytes]) -> int:
    """How it ended, by itself if it does so soon."""
    try:
        return process.wait(_LAST_WORDS_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _relay(process: subprocess.Popen[bytes]) -> None:
    """Its output goes to the log, as that of a worker."""
    stream = process.stdout
    assert stream is not None
    with suppress(OSError, ValueError), stream:
        said = structlog.get_logger(fork_server=process.pid)
        logs.Relay(said, SystemClock(), {}).run(stream)
