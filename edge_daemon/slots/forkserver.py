"""The process that workers are forked from: it pays once for what each of them would pay for.

    python -m edge_daemon.slots.forkserver --fd N --parent PID --engine MODULE:FACTORY
        --options JSON --cage JSON

It enters the cage, imports the engine's library and warms it with one thread and no context on a
device, lets a child try whether it can go on from there, and says `ready`. From then on each
request on its socket is one worker: its cage and environment, and two descriptors, the worker's
socket and its log. It holds no secret and no bundle, and runs no foreign file.

A worker is forked twice, so that its parent is the daemon, which adopts orphans: it ends with the
daemon, as the kernel's death signal wants it, and not with this process.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import json
import os
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from edge_daemon.slots import cage
from edge_daemon.slots.kernel import Priority, die_with_parent, name_process, thread_count
from edge_daemon.slots.worker import EXIT_LOST, command_line, leave, live

if TYPE_CHECKING:
    from edge_daemon.models.engine import Engine

PACKET_BYTES = 64 * 1024
_ADOPTED_S = 5.0
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def parent_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """A worker's environment for this process: no library may start a thread in it."""
    return {**environment, **dict.fromkeys(_THREADS, "1")}


def main() -> int:
    """Warm up, then fork until the socket closes."""
    arguments = _arguments()
    if not die_with_parent(arguments.parent):
        return EXIT_LOST
    os.setpgrp()  # the daemon waits for all of this group; its workers stay in it
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    name_process("edge-forks", "edge_daemon.slots.forkserver")
    faulthandler.enable()
    bars = cage.Cage.from_json(arguments.cage)
    layers = cage.enter(bars)
    tempfile.tempdir = os.environ["TMPDIR"]  # its cage holds the folders of all workers
    control = socket.socket(fileno=arguments.fd)
    priority = Priority()
    if not arguments.first:  # the first one keeps the line waiting; a later one must not
        priority.lower()
    began = time.perf_counter()
    gc.disable()  # what is imported stays: looking for garbage takes a seventh of the time
    engine, trouble = _prepared(arguments.engine, json.loads(arguments.options))
    if engine is None:
        _say(control, trouble)
        return EXIT_LOST
    gc.collect()
    gc.freeze()  # a collection in a child would touch, and so copy, every object there is
    gc.enable()
    priority.restore()  # a worker may be needed at once
    layers = cage.close_parent(bars, layers)
    lacking = [layer.name for layer in layers if not layer.available]
    warm_ms = (time.perf_counter() - began) * 1e3
    for stream in (sys.stdout, sys.stderr):  # or each worker would say it again
        stream.flush()
    yielding = None if arguments.first else priority.way.value
    _say(control, {"ready": round(warm_ms, 1), "yielding": yielding, "lacking": lacking})
    _ForkServer(control, arguments.parent, engine).serve()
    return 0


def _prepared(factory: str, options: dict[str, object]) -> tuple[Engine | None, dict[str, Any]]:
    """The engine, warm as far as a parent may be; or None, and why nothing can be forked.

    `unfit` is a reason that stays, `failed` one that may pass.
    """
    # numpy, which would start threads where nobody told it otherwise.
    from edge_daemon.models.blame import brief  # noqa: PLC0415
    from edge_daemon.slots.resident import Preparable, engine_of  # noqa: PLC0415
    from edge_daemon.slots.service import Service  # noqa: F401, PLC0415 - a child's imports

    try:
        engine = engine_of(factory, options)
        if isinstance(engine, Preparable):
            engine.prepare()
    except Exception as error:  # the boundary of the start: reported, then the process ends
        return None, {"failed": brief(error)}
    if (threads := thread_count()) > 1:
        return None, {"unfit": f"a library started {threads - 1} threads as it was imported"}
    code = _tried(engine)
    return (None, {"failed": f"a forked process ended with {code}"}) if code else (engine, {})


def _tried(engine: Engine) -> int:
    """Let a child warm it, as each worker will; 0 where it could."""
    child = os.fork()
    if child == 0:
        try:
            engine.warm()
            os._exit(0)
        except BaseException:  # the boundary of the process, as in `_live`
            traceback.print_exc()
        finally:
            os._exit(EXIT_LOST)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class _ForkServer:
    """Forks a worker for each request, one after the other."""

    def __init__(self, control: socket.socket, daemon: int, engine: Engine) -> None:
        self._control = control
        self._daemon = daemon
        self._engine = engine

    def serve(self) -> None:
        """Return when the daemon has closed its end."""
        while True:
            packet, fds, _, _ = socket.recv_fds(self._control, PACKET_BYTES, 2)
            if not packet:
                return
            try:
                self._fork(json.loads(packet), fds)
            except OSError as error:
                self._say_failed(error)
            finally:
                for fd in fds:
                    os.close(fd)

    def _fork(self, order: dict[str, Any], fds: list[int]) -> None:
        """Fork a process that forks the worker, tells its number, and ends.

        `order`: the worker's `cage` (JSON) and `environment`.
        """
        between = os.fork()
        if between == 0:
            self._fork_again(order, fds)
        os.waitpid(between, 0)

    def _say_failed(self, error: OSError) -> None:
        _say(self._control, {"failed": error.strerror or "it could not be forked"})

    def _fork_again(self, order: dict[str, Any], fds: list[int]) -> None:
        """In the process between; does not return. It answers itself: its own end takes time."""
        try:
            worker = os.fork()
            if worker == 0:
                self._live(order, *fds)
            _say(self._control, {"pid": worker})
        except OSError as error:
            self._say_failed(error)
        finally:
            os._exit(0)

    def _live(self, order: dict[str, Any], end: int, log: int) -> None:
        """In the worker; does not return."""
        import numpy as np  # noqa: PLC0415 - it is there already

        try:
            os.dup2(log, sys.stdout.fileno())
            os.dup2(log, sys.stderr.fileno())
            os.close(log)
            self._control.close()
            if _adopted(self._daemon):
                for name in _THREADS:
                    os.environ.pop(name, None)
                os.environ.update(order["environment"])
                np.random.seed()  # or every worker draws the same numbers
                bars = cage.Cage.from_json(order["cage"])
                leave(lambda: live(end, bars, lambda: self._engine))
        except BaseException:  # the boundary of the process: nothing of it may serve as a parent
            traceback.print_exc()
        finally:
            os._exit(EXIT_LOST)


def _adopted(daemon: int) -> bool:
    """Wait until the process between has ended, and die with the daemon from then on."""
    gives_up_at = time.monotonic() + _ADOPTED_S
    while os.getppid() != daemon:
        if time.monotonic() > gives_up_at:
            return False
        time.sleep(0.0005)
    return die_with_parent(daemon)


def _say(control: socket.socket, answer: dict[str, Any]) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):  # the daemon's end is closed
        control.send(json.dumps(answer).encode())


def _arguments() -> argparse.Namespace:
    parser = command_line("Where workers are forked; not for people.")
    parser.add_argument("--first", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    leave(main)
