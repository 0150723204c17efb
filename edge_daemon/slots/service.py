"""What a worker answers: one request at a time, until the slot closes its end.

It is apart from `worker` because it imports numpy, which starts threads: the cage comes first.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from pathlib import Path

from edge_daemon.errors import BundleError, EdgeDaemonError, SlotLost
from edge_daemon.host.memory import FrameMemory, FrameShape
from edge_daemon.slots import wire
from edge_daemon.slots.kernel import Priority
from edge_daemon.slots.resident import Resident
from edge_daemon.slots.slot import LoadOrder


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
                self._end.send(wire.WorkerFault.of(fault))
                if isinstance(fault, SlotLost):  # this process can do no more work
                    return
            else:
                if reply is not None:
                    self._end.send(reply)

    def _answer(self, request: wire.Request, fds: list[int]) -> wire.Reply | None:
        if isinstance(request, wire.InferPlace):
            pixels = self._memories[request.memory].pixels(request.place)
            return wire.Inferred.of(self._resident.judge(pixels))
        if isinstance(request, wire.InferFile):
            return wire.Inferred.of(self._resident.judge_file(Path(request.path)))
        if isinstance(request, wire.Decode):
            return self._decode(Path(request.path), fds[0])
        if isinstance(request, wire.Load):
            return self._load(request.order)
        if isinstance(request, wire.Attach):
            shape = FrameShape(request.height, request.width)
            self._memories[request.memory] = FrameMemory.attach(fds[0], shape, request.places)
        elif isinstance(request, wire.Detach):
            self._memories.pop(request.memory).close()
        elif isinstance(request, wire.Ping):
            return wire.Pong()
        else:
            self._priority.restore()
        return None

    def _decode(self, path: Path, fd: int) -> wire.Decoded:
        with os.fdopen(fd, "rb"):  # closed whatever becomes of the picture
            pixels = self._resident.decode(path)
            shape = FrameShape(*pixels.shape[:2])
            try:
                memory = FrameMemory.attach(fd, shape, 1, is_writable=True)
            except ValueError as error:
                raise BundleError(f"The image {path.name} is larger than it says.") from error
            memory.pixels(0)[:] = pixels
            return wire.Decoded(shape.height, shape.width)

    def _load(self, order: LoadOrder) -> wire.LoadedReply:
        loaded = self._resident.load(order)
        gc.freeze()  # later collections need not walk the model
        say(
            "bundle_loaded",
            swap_id=order.swap_id,
            model=str(order.ref),
            load_ms=round(loaded.load_ms, 1),
            memory_bytes=loaded.memory_bytes,
        )
        return wire.LoadedReply.of(loaded)


def say(event: str, *, level: str = "info", **fields: str | float) -> None:
    """One line for the daemon's log."""
    sys.stderr.write(json.dumps({"event": event, "level": level, **fields}) + "\n")
    sys.stderr.flush()
