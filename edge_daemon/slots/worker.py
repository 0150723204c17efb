"""The program in a worker process: one engine, at most one bundle, one request at a time.

    python -m edge_daemon.slots.worker --fd N --parent PID --engine MODULE:FACTORY --options JSON
        --cage JSON

It enters its cage, warms its engine's library, closes the cage and says `Ready`; then it serves
until its socket closes. It dies with the daemon. Events go to stderr, one JSON line each, nothing
per frame; the daemon relays them. A worker that `forkserver` has forked goes the same way from
`live` on.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from edge_daemon.slots import cage
from edge_daemon.slots.kernel import Priority, die_with_parent, name_process

if TYPE_CHECKING:
    from edge_daemon.models.engine import Engine

EXIT_LOST = 70


def main() -> int:
    """Warm up, then serve. Exit codes: 0 the slot closed, 70 this process can do no more."""
    arguments = command_line("A worker of edge-daemon; not for people.").parse_args()
    if not die_with_parent(arguments.parent):
        return EXIT_LOST
    # Ctrl-C at a terminal is for the daemon alone. No session of its own: Linux gives each session
    # a share of the processors (autogroup), and in another one SCHED_IDLE yields to nobody.
    os.setpgrp()
    for ignored in (signal.SIGINT, signal.SIGTERM):  # the daemon decides when a worker ends
        signal.signal(ignored, signal.SIG_IGN)
    options = cast("dict[str, object]", json.loads(arguments.options))

    def make() -> Engine:
        from edge_daemon.slots.resident import engine_of  # noqa: PLC0415

        return engine_of(arguments.engine, options)

    return live(arguments.fd, cage.Cage.from_json(arguments.cage), make)


def live(fd: int, bars: cage.Cage, make: Callable[[], Engine]) -> int:
    """A worker's life, from its first step into the cage; returns its exit code.

    `fd`: its end of the socket to the slot. `make` gives the engine, once the cage is entered.
    """
    name_process("edge-worker", "edge_daemon.slots.worker", "--fd", str(fd))
    faulthandler.enable()
    layers = cage.enter(bars)
    tempfile.tempdir = bars.scratch  # it would be found by removing a file, which ends with `close`
    # numpy starts threads as it is imported: the cage must be round them already.
    from edge_daemon.errors import SlotLost  # noqa: PLC0415
    from edge_daemon.models.blame import brief  # noqa: PLC0415
    from edge_daemon.slots import wire  # noqa: PLC0415
    from edge_daemon.slots.resident import Resident  # noqa: PLC0415
    from edge_daemon.slots.service import Service, say  # noqa: PLC0415

    priority = Priority()
    priority.lower()
    end = wire.WorkerEnd(socket.socket(fileno=fd))
    began = time.perf_counter()
    try:
        engine = make()
        engine.warm()
    except Exception as error:  # the boundary of the start: reported, then the process ends
        lost = SlotLost(
            "The engine did not start.", hint="See why: edge-daemon logs", detail=brief(error)
        )
        end.send(wire.WorkerFault.of(lost))
        return EXIT_LOST
    warm_ms = (time.perf_counter() - began) * 1e3
    layers = cage.close(bars, priority.usual_nice, layers)
    say("worker_ready", warm_ms=round(warm_ms, 1), yielding=priority.way.value)
    lacking = [f"{layer.name} ({layer.note})" for layer in layers if not layer.available]
    if lacking:
        say("cage_incomplete", level="warning", lacking=", ".join(lacking))
    try:
        end.send(wire.Ready(warm_ms))
        Service(end, Resident(engine), priority).serve()
    except (BrokenPipeError, ConnectionResetError):
        pass  # the slot closed while an answer was on its way
    return 0


def leave(program: Callable[[], int]) -> None:
    """Run it, and end this process with its exit code.

    No interpreter shutdown: a model's own exit hooks and threads may hang it for ever.
    """
    try:
        code = program()
    except SystemExit as left:  # a model's own; its socket is to close with its process
        os._exit(left.code if isinstance(left.code, int) else EXIT_LOST)
    sys.stderr.flush()
    os._exit(code)


def command_line(description: str) -> argparse.ArgumentParser:
    """What a worker's process, or the one that forks it, is told."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--engine", required=True)
    parser.add_argument("--options", default="{}")
    parser.add_argument("--cage", required=True)
    return parser


if __name__ == "__main__":
    leave(main)
