"""The program in a worker process: one engine, at most one bundle, one request at a time.

    python -m edge_daemon.slots.worker --fd N --parent PID --engine MODULE:FACTORY --options JSON

It warms its engine's library first and says `Ready`; then it serves until its socket closes. It
dies with the daemon. Events go to stderr, one JSON line each, nothing per frame; the daemon
relays them.
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
import time
from pathlib import Path
from typing import cast

from edge_daemon.errors import EdgeDaemonError, SlotLost
from edge_daemon.host.memory import FrameMemory, FrameShape, Pixels
from edge_daemon.slots import wire
from edge_daemon.slots.kernel import Priority, die_with_parent
from edge_daemon.slots.resident import Resident, brief, engine_of

_EXIT_LOST = 70


class Service:
    """Answers the slot's requests, one after the other."""

    def __init__(self, end: wire.WorkerEnd, resident: Resident, priority: Priority) -> None:
        self._end = end
        self._resident = resident
        self._priority = priority
        self._memories: dict[int, FrameMemory] = {}

    def serve(self) -> None:
        """Return when the slot's end is closed."""
        while (received := self._end.receive()) is not None:
            request, fds = received
            try:
                reply = self._answer(request, fds)
            except EdgeDaemonError as fault:
                self._end.send(wire.Fault.of(fault))
                if isinstance(fault, SlotLost):  # this process can do no more work
                    return
            else:
                if reply is not None:
                    self._end.send(reply)

    def _answer(self, request: wire.Request, fds: list[int]) -> wire.Reply | None:
        if isinstance(request, wire.InferPlace):
            return wire.Found.of(self._resident.judge(self._pixels(request)))
        if isinstance(request, wire.InferFile):
            return wire.Found.of(self._resident.judge_file(Path(request.path)))
        if isinstance(request, wire.Load):
            return self._load(request)
        if isinstance(request, wire.Attach):
            shape = FrameShape(request.height, request.width)
            self._memories[request.memory] = FrameMemory.attach(fds[0], shape, request.places)
        elif isinstance(request, wire.Detach):
            self._memories.pop(request.memory).close()
        else:
            self._priority.restore()
        return None

    def _pixels(self, request: wire.InferPlace) -> Pixels:
        return self._memories[request.memory].pixels(request.place)

    def _load(self, request: wire.Load) -> wire.LoadedReply:
        loaded = self._resident.load(request.order())
        gc.freeze()  # later collections need not walk the model
        say(
            "bundle_loaded",
            swap_id=request.swap_id,
            model=f"{request.name}@{request.version}",
            load_ms=round(loaded.load_ms, 1),
            memory_bytes=loaded.memory_bytes,
        )
        return wire.LoadedReply.of(loaded)


def say(event: str, *, level: str = "info", **fields: str | float) -> None:
    """One line for the daemon's log."""
    sys.stderr.write(json.dumps({"event": event, "level": level, **fields}) + "\n")
    sys.stderr.flush()


def main() -> int:
    """Warm up, then serve. Exit codes: 0 the slot closed, 70 this process can do no more."""
    arguments = _arguments()
    if not die_with_parent(arguments.parent):
        return _EXIT_LOST
    for ignored in (signal.SIGINT, signal.SIGTERM):  # the daemon decides when a worker ends
        signal.signal(ignored, signal.SIG_IGN)
    faulthandler.enable()
    priority = Priority()
    priority.lower()
    end = wire.WorkerEnd(socket.socket(fileno=arguments.fd))
    began = time.perf_counter()
    try:
        options = cast("dict[str, object]", json.loads(arguments.options))
        engine = engine_of(arguments.engine, options)
        engine.warm()
    except Exception as error:  # the boundary of the start: reported, then the process ends
        end.send(wire.Fault.of(SlotLost(f"The engine did not start ({brief(error)}).")))
        return _EXIT_LOST
    warm_ms = (time.perf_counter() - began) * 1e3
    say("worker_ready", warm_ms=round(warm_ms, 1), yielding=priority.way.value)
    try:
        end.send(wire.Ready(warm_ms))
        Service(end, Resident(engine), priority).serve()
    except (BrokenPipeError, ConnectionResetError):
        pass  # the slot closed while an answer was on its way
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A worker of edge-daemon; not for people.")
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--engine", required=True)
    parser.add_argument("--options", default="{}")
    return parser.parse_args()


if __name__ == "__main__":
    # No interpreter shutdown: a model's own exit hooks and threads may hang it for ever.
    code = main()
    sys.stderr.flush()
    os._exit(code)
