"""One worker process as the daemon sees it: start it, ask it, end it.

A worker may be killed from any thread while another waits for its answer; the waiting thread gets
`SlotLost` with the cause. What the worker writes to stderr goes to the daemon's log.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import structlog

from edge_daemon.errors import SlotLost
from edge_daemon.host import interpreter, logs
from edge_daemon.host.clock import SystemClock
from edge_daemon.models.picture_size import MAX_PIXELS
from edge_daemon.slots import wire
from edge_daemon.slots.cage import Cage, code_roots
from edge_daemon.slots.forking import ForkServer, Process
from edge_daemon.slots.forkserver import parent_environment
from edge_daemon.slots.kernel import resident_bytes
from edge_daemon.slots.scratch import LARGE_BYTES_LIMIT, USUAL, Allowance, clear, excess
from edge_daemon.slots.slot import HUNG_S

_log = structlog.get_logger()
_R = TypeVar("_R", wire.Ready, wire.Pong, wire.LoadedReply, wire.Inferred, wire.Decoded)

# The kernel sends a worker its death signal when the *thread* that forked it ends (prctl(2)), so
# one thread that lives as long as the daemon forks them all.
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="worker-spawner")

_END_TIMEOUT_S = 5.0
_CAUSE_TIMEOUT_S = 0.5  # how long the lane may wait to hear what a dying worker dies of
_LOOK_S = 1.0
_EVENTS = {
    "worker_ready": frozenset({"warm_ms", "yielding"}),
    "cage_incomplete": frozenset({"lacking"}),
    "bundle_loaded": frozenset({"swap_id", "model", "load_ms", "memory_bytes"}),
}
"""What `worker` and `service` say."""
_FOR_WORKERS = (
    "PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONDONTWRITEBYTECODE",
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_MODULE_LOADING", "NVIDIA_VISIBLE_DEVICES",
    "NVIDIA_DRIVER_CAPABILITIES", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF",
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS",
)  # fmt: skip
"""What a worker is given of the daemon's environment. Anything else may be a secret, and whatever
runs in a worker can read its own."""


@dataclass(frozen=True)
class WorkerSpec:
    """How to start a worker: the engine's `module:factory`, and the factory's arguments.

    Args:
        readable: folders that the caged worker may read beside its libraries: the private copies'.
            They must be there when it starts, and must not be made anew while it lives.
        scratch: where its own scratch folder is made; None: where the box keeps such things.
        memory_bytes, large_files, landlock: as in `Cage`.
    """

    engine: str
    options: Mapping[str, object] = field(default_factory=dict)
    readable: tuple[str, ...] = ()
    scratch: str | None = None
    memory_bytes: int = 0
    large_files: bool = False
    landlock: int | None = None


class WorkerProcess:
    """A started worker; make it with `start` or `fork`."""

    def __init__(
        self,
        process: Process,
        end: wire.SlotEnd,
        scratch: str,
        allowed: Allowance = USUAL,
    ) -> None:
        self._process = process
        self._end = end
        self._scratch = scratch
        self._allowed = allowed
        self._overrun = ""  # what of it was too much
        self._gone = threading.Event()
        self._starting = threading.Lock()
        self._is_ready = False
        self._owed_until: float | None = None  # it owes an answer that nobody waits for
        self._watcher = threading.Thread(
            target=self._watch, name=f"worker-{process.pid}-log", daemon=True
        )
        self._watcher.start()
        guard = threading.Thread(target=self._guard, name=f"worker-{process.pid}-scratch")
        guard.daemon = True
        guard.start()

    @classmethod
    def start(cls, spec: WorkerSpec) -> WorkerProcess:
        """Spawn it; it is not ready yet. Raises SlotLost when the box cannot start it."""

        def spawn(end: socket.socket, scratch: str) -> Process:
            bars = _cage(spec, scratch)
            return _run(("edge_daemon.slots.worker",), spec, end, bars, _environment(scratch))

        return cls._made(spec, lambda *given: _spawner.submit(spawn, *given).result())

    @classmethod
    def fork(cls, spec: WorkerSpec, server: ForkServer) -> WorkerProcess:
        """The same from a server that `fork_server` made; raises NoFork as well."""
        return cls._made(
            spec,
            lambda end, scratch: server.fork(
                _cage(spec, scratch).to_json(), _environment(scratch), end.fileno()
            ),
        )

    @classmethod
    def _made(
        cls, spec: WorkerSpec, make: Callable[[socket.socket, str], Process]
    ) -> WorkerProcess:
        try:
            with ExitStack() as undo:
                # Each its own: what one worker writes there no other may trust, or even see.
                scratch = tempfile.mkdtemp(prefix="edge-daemon-worker-", dir=spec.scratch)
                undo.callback(clear, scratch)
                ours, theirs = wire.pair()
                undo.callback(ours.close)
                with theirs:
                    process = make(theirs, scratch)
                undo.pop_all()
        except (OSError, RuntimeError) as error:
            why = getattr(error, "strerror", None) or type(error).__name__
            raise SlotLost(f"No worker could be started: {why}.", detail=str(error)) from error
        allowed = Allowance.on_disk_of(scratch)
        if spec.large_files:
            allowed = Allowance(LARGE_BYTES_LIMIT)
        return cls(process, wire.SlotEnd(ours), scratch, allowed)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return not self._gone.is_set() and self._process.poll() is None

    def is_awake(self, timeout_s: float) -> bool:
        """Whether it answers, once it is ready; one that does not is ended."""
        try:
            self.ask(wire.Ping(), wire.Pong, timeout_s)
        except SlotLost:
            return False
        return True

    def resident_bytes(self) -> int:
        return 0 if self._gone.is_set() else resident_bytes(self.pid)

    def await_ready(self, timeout_s: float) -> None:
        """Return when it is warm; two threads may wait. Raises SlotLost, and ends it, if it is
        not in time."""
        if not self._starting.acquire(timeout=timeout_s):
            raise self._ended(SlotLost(f"The worker was not warm within {timeout_s:g} s."))
        try:
            if not self._is_ready:
                self._expect(wire.Ready, timeout_s)
                self._is_ready = True
        finally:
            self._starting.release()

    def tell(self, request: wire.Request, timeout_s: float, fds: tuple[int, ...] = ()) -> None:
        """Send. Raises SlotLost, and ends the worker, if it does not take it."""
        self._settle()
        try:
            self._end.send(request, timeout_s, fds)
        except SlotLost as lost:
            raise self._ended(lost) from lost

    def post(self, request: wire.Request) -> None:
        """Send what is not answered; from any thread, never raises, may be lost with the worker."""
        self._end.post(request)

    def ask(
        self, request: wire.Request, reply: type[_R], timeout_s: float, fds: tuple[int, ...] = ()
    ) -> _R:
        """Send, and wait for the answer.

        Raises BundleError or BoxError as the worker says; SlotLost, and ends the worker, when it
        is gone, silent past the limit, or answers with anything else.
        """
        self.tell(request, timeout_s, fds)
        return self._expect(reply, timeout_s)

    def ask_briefly(self, request: wire.Request, reply: type[_R], patience_s: float) -> _R | None:
        """As `ask`, but an answer that is late does not end the worker: it is None.

        What is asked next waits for it, until `HUNG_S` from now.
        """
        self.tell(request, HUNG_S)
        until = time.monotonic() + HUNG_S
        if not self._end.has_answer(patience_s):
            self._owed_until = until
            return None
        return self._expect(reply, HUNG_S)

    def kill(self) -> None:
        """End it now; from any thread, at any time, repeatedly."""
        with suppress(OSError):
            self._process.kill()

    def end(self) -> None:
        """Kill it without waiting: for the lane. Not while another thread asks it."""
        self.kill()
        self._end.close()

    def await_end(self) -> None:
        """Wait until the memory and the scratch folder of an ended worker are given back."""
        self._watcher.join(_END_TIMEOUT_S)

    def _settle(self) -> None:
        """Drop the answer that is owed; only then does the next question's time begin."""
        if self._owed_until is None:
            return
        left_s, self._owed_until = self._owed_until - time.monotonic(), None
        try:
            self._end.receive(max(0.0, left_s))
        except SlotLost as lost:
            raise self._ended(lost) from lost

    def _expect(self, reply: type[_R], timeout_s: float) -> _R:
        try:
            answer = self._end.receive(timeout_s)
            if isinstance(answer, wire.WorkerFault):
                raise answer.error()
            if not isinstance(answer, reply):
                raise SlotLost("The worker gave an answer to another question.")
        except SlotLost as lost:
            raise self._ended(lost) from lost
        return answer

    def _ended(self, lost: SlotLost) -> SlotLost:
        """End the worker; the error says how it ended where that explains more."""
        timed_out = isinstance(lost.__cause__, TimeoutError)
        if not timed_out:
            # It may be ending by itself: then its own signal is the cause.
            self._gone.wait(_CAUSE_TIMEOUT_S)
        died = self._process.poll()
        self.end()
        cause = "" if died is None else f" {_manner(died)}"
        if self._overrun:
            cause = f" Its scratch folder held {self._overrun}."
        return SlotLost(
            f"{lost.message}{cause}", hint=lost.hint, code=lost.code, detail=lost.detail
        )

    def _watch(self) -> None:
        """Relay the log until the worker closes it, then reap the worker."""
        stream = self._process.stdout
        assert stream is not None
        try:
            with suppress(OSError, ValueError), stream:  # its words are lost, its end is not
                said = structlog.get_logger(worker=self.pid)
                logs.Relay(said, SystemClock(), _EVENTS).run(stream)
        finally:
            self._process.wait()
            self._gone.set()
            clear(self._scratch)

    def _guard(self) -> None:
        """End the worker if it writes too much: nothing else limits a folder for a plain user."""
        while not self._gone.wait(_LOOK_S):
            self._overrun = excess(self._scratch, self._allowed)
            if self._overrun:
                _log.error("worker_wrote_too_much", worker=self.pid, found=self._overrun)
                self.kill()
                return


def fork_server(spec: WorkerSpec) -> ForkServer:
    """What forks workers of this kind; not started yet. `spec.scratch` must be there."""
    assert spec.scratch is not None
    # Its cage is round those of its workers, and so holds the folders of all of them.
    bars = replace(_cage(spec, spec.scratch), forks=True)
    words = iter([("--first",)])

    def launch(end: socket.socket, own: str) -> subprocess.Popen[bytes]:
        environment = parent_environment(_environment(own))
        program = ("edge_daemon.slots.forkserver", *next(words, ()))
        return _spawner.submit(_run, program, spec, end, bars, environment).result()

    return ForkServer(launch, bars.scratch)


def _run(
    program: tuple[str, ...],
    spec: WorkerSpec,
    end: socket.socket,
    bars: Cage,
    environment: dict[str, str],
) -> subprocess.Popen[bytes]:
    """Start one of our programs; on the thread that the kernel's death signal is tied to."""
    fd = end.fileno()
    arguments = ["--fd", str(fd), "--parent", str(os.getpid()), "--engine", spec.engine]
    arguments += ["--options", json.dumps(dict(spec.options))]
    arguments += ["--cage", bars.to_json(), *program[1:]]
    return subprocess.Popen(  # noqa: S603 - our own module, our own arguments
        interpreter.module_command(program[0], *arguments),
        cwd=interpreter.FOLDER,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=(fd,),
        env=environment,
    )


def _cage(spec: WorkerSpec, scratch: str) -> Cage:
    path = interpreter.import_path()
    return Cage(
        scratch=scratch,
        readable=(*code_roots(path, (*_home(), *spec.readable)), *spec.readable),
        listable=tuple(path),
        gpu=str(spec.options.get("device", "cpu")).startswith("cuda"),
        memory_bytes=spec.memory_bytes,
        large_files=spec.large_files,
        landlock=spec.landlock,
    )


def _home() -> tuple[str, ...]:
    """The home of the daemon's user, where it has one: a container's user may have no name."""
    try:
        return (str(Path.home()),)
    except RuntimeError:
        return ()


def _environment(scratch: str) -> dict[str, str]:
    """The part of the daemon's environment that a worker may have, and a home of its own.

    Libraries keep caches in the home of a user with a name; a worker has both, whoever runs it.
    """
    environment = {key: os.environ[key] for key in _FOR_WORKERS if key in os.environ}
    for own in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        environment[own] = scratch
    environment["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(MAX_PIXELS)
    environment["USER"] = environment["LOGNAME"] = "edge-daemon"
    return environment


def _manner(returncode: int) -> str:
    if returncode >= 0:
        return f"It left with exit code {returncode}."
    try:
        return f"It was ended by {signal.Signals(-returncode).name}."
    except ValueError:
        return f"It was ended by signal {-returncode}."
