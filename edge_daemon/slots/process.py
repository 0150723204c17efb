"""A slot whose bundle lives in a worker process of its own.

Only a process can be killed while its loader hangs, survives a fault of the GPU, and gives all its
memory back. A frame costs one small message each way: the worker maps the frame memory once, and
then gets only the number of a place.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from edge_daemon.errors import BundleError, Code, EdgeDaemonError, SlotLost
from edge_daemon.host.memory import FrameAddress, FrameMemory, FrameShape
from edge_daemon.models.picture_size import picture_size
from edge_daemon.slots import wire
from edge_daemon.slots.child import WorkerProcess
from edge_daemon.slots.slot import Inference, Loaded, LoadOrder
from edge_daemon.slots.spare import SparePool

ENGINE = "edge_daemon.models.engine:UltralyticsEngine"
_ATTACHED_LIMIT = 3  # frames of the camera's shape and of the shape before, another picture
_ATTACH_TIMEOUT_S = 1.0
_START_TIMEOUT_S = 60.0
_R = TypeVar("_R")


class ProcessSlot:
    """Implements `Slot` with a worker. Several slots share one pool, whose owner closes it after
    them."""

    def __init__(self, name: str, spares: SparePool) -> None:
        self.name = name
        self._spares = spares
        self._resident: _Resident | None = None
        self._leaving: WorkerProcess | None = None  # it is ended, and may still hold memory
        self._taking = threading.Lock()  # `kill` must not miss a worker that is being taken
        self._killed = False

    @property
    def pid(self) -> int | None:
        """The worker's process id; None while the slot has none."""
        resident = self._resident
        return resident.worker.pid if resident else None

    @property
    def is_lost(self) -> bool:
        resident = self._resident
        return resident is not None and not resident.worker.is_alive

    def load(self, order: LoadOrder, timeout_s: float) -> Loaded:
        """See `Slot`. A load past its limit is `SlotLost` with the code load_timeout.

        The limit counts from a warm worker on: one that takes long to start tells of a busy box,
        and nothing of the bundle.
        """
        self.free()
        self._killed = False
        deadline_at = float("inf")
        with self._spares.quiet():
            resident = self._take()
            try:
                resident.worker.await_ready(_START_TIMEOUT_S)
                if order.urgent:
                    resident.promote()
                deadline_at = self._spares.clock.now().at + timeout_s
                return resident.load(order, timeout_s)
            except EdgeDaemonError as error:
                self.let_go()
                if isinstance(error, SlotLost) and self._spares.clock.now().at >= deadline_at:
                    raise SlotLost(
                        f"The weights were not in memory within {timeout_s:g} s.",
                        hint="Raise gate.load_timeout_s, or use a smaller model.",
                        code=Code.LOAD_TIMEOUT,
                    ) from error
                raise

    def infer(self, frame: FrameAddress, timeout_s: float) -> Inference:
        return self._ask(lambda resident: resident.infer(frame, timeout_s))

    def infer_file(self, path: Path, timeout_s: float) -> Inference:
        return self._ask(lambda resident: resident.infer_file(path, timeout_s))

    def infer_picture(self, picture: FrameAddress, patience_s: float) -> Inference | None:
        return self._ask(lambda resident: resident.infer_picture(picture, patience_s))

    def decode(self, path: Path, timeout_s: float) -> FrameMemory | None:
        return self._ask(lambda resident: resident.decode(path, timeout_s))

    def promote(self) -> None:
        resident = self._resident
        if resident is not None:
            resident.promote()

    def free(self) -> None:
        self.let_go()
        leaving, self._leaving = self._leaving, None
        if leaving is not None:
            leaving.await_end()

    def let_go(self) -> None:
        """See `Slot`; it does not wait for the worker's end, which a lane must never do."""
        resident, self._resident = self._resident, None
        if resident is not None:
            self._leaving = resident.worker
            resident.worker.end()

    def kill(self) -> None:
        with self._taking:
            self._killed = True
            resident = self._resident
        if resident is not None:
            resident.worker.kill()

    def memory_bytes(self) -> int:
        resident = self._resident
        return resident.grown_bytes() if resident else 0

    def close(self) -> None:
        self.free()

    def _take(self) -> _Resident:
        resident = _Resident(self._spares.take())
        with self._taking:
            self._resident = resident
            if self._killed:
                resident.worker.kill()
        return resident

    def _ask(self, ask: Callable[[_Resident], _R]) -> _R:
        resident = self._resident
        if resident is None:
            raise SlotLost(f"Slot {self.name} is empty.")
        try:
            return ask(resident)
        except SlotLost:
            self.let_go()
            raise


class _Resident:
    """One worker, the bundle in it, and the frame memories that it maps."""

    def __init__(self, worker: WorkerProcess) -> None:
        self.worker = worker
        self._promoted = False
        self._empty_bytes = self._told_bytes = 0
        self._classes: frozenset[str] = frozenset()
        self._keys = itertools.count()
        self._attached: dict[int, weakref.ref[FrameMemory]] = {}  # oldest first

    def load(self, order: LoadOrder, timeout_s: float) -> Loaded:
        empty_bytes = self.worker.resident_bytes()
        reply = self.worker.ask(wire.Load(order), wire.LoadedReply, timeout_s)
        self._empty_bytes, self._told_bytes = empty_bytes, reply.memory_bytes
        self._classes = frozenset(order.classes)
        return reply.loaded()

    def promote(self) -> None:
        """Once a load: the gate has done it, so that a cutover wakes no other process."""
        if not self._promoted:
            self._promoted = True
            self.worker.post(wire.Promote())

    def infer(self, frame: FrameAddress, timeout_s: float) -> Inference:
        request = wire.InferPlace(self._key(frame.memory), frame.place)
        return self._inference(self.worker.ask(request, wire.Inferred, timeout_s), frame)

    def infer_picture(self, picture: FrameAddress, patience_s: float) -> Inference | None:
        request = wire.InferPlace(self._key(picture.memory), picture.place)
        found = self.worker.ask_briefly(request, wire.Inferred, patience_s)
        return None if found is None else self._inference(found, picture)

    def decode(self, path: Path, timeout_s: float) -> FrameMemory | None:
        width, height = picture_size(path) or (0, 0)
        if not width * height:
            return None
        canvas = FrameMemory.allocate(FrameShape(height, width), 1, is_writable=True)
        try:
            request = wire.Decode(str(path))
            made = self.worker.ask(request, wire.Decoded, timeout_s, (canvas.fd,))
            if (made.height, made.width) != (height, width):
                raise BundleError(f"The image {path.name} is not as large as it says.")
            # A copy: whatever runs in the worker can write to the canvas for ever.
            pixels = canvas.pixels(0).reshape(made.height, made.width, 3)
            return FrameMemory.holding(pixels)
        finally:
            canvas.close()

    def _inference(self, found: wire.Inferred, frame: FrameAddress) -> Inference:
        if not found.is_near(frame.memory.shape.height, frame.memory.shape.width):
            raise SlotLost("The worker found an object far outside of the frame.")
        return found.inference(self._classes)

    def infer_file(self, path: Path, timeout_s: float) -> Inference:
        found = self.worker.ask(wire.InferFile(str(path)), wire.Inferred, timeout_s)
        return found.inference(self._classes)

    def grown_bytes(self) -> int:
        """By what the kernel says from outside, or by what the worker said after the load.

        A forked worker makes shared pages its own, which only the worker itself can see.
        """
        if not self._empty_bytes:
            return 0
        return max(self._told_bytes, self.worker.resident_bytes() - self._empty_bytes)

    def _key(self, memory: FrameMemory) -> int:
        """The worker's name for a frame memory, which it maps at the first use."""
        for key, attached in self._attached.copy().items():  # another thread may detach one
            if attached() is memory:
                return key
        while len(self._attached) >= _ATTACHED_LIMIT:
            self._detach(next(iter(self._attached)))
        key = next(self._keys)
        shape = memory.shape
        self.worker.tell(
            wire.Attach(key, shape.height, shape.width, memory.places),
            _ATTACH_TIMEOUT_S,
            (memory.fd,),
        )
        # When the camera changes its shape nobody else tells a slot that is merely resident: the
        # frames' own end does, in whatever thread that is, so that their pages are given back.
        self._attached[key] = weakref.ref(memory, lambda _: self._detach(key))
        return key

    def _detach(self, key: int) -> None:
        with suppress(KeyError):
            del self._attached[key]
            self.worker.post(wire.Detach(key))
