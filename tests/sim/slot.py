"""A slot without a process: it plays the production protocol, and a test holds the script.

    script = Script()
    slot = SimSlot("A", script=script)
    script.hold_loads()                              # every load now waits …
    script.open_loads()                              # … until the test says so
    script.fail_load(ref, BundleError("…"))
    script.fail_infer(ref, SlotLost("…"), after=3)   # three good frames, then this

One script may be shared by several slots; faults are looked up by the bundle that is loaded.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from edge_daemon.core.values import BundleRef, Detection
from edge_daemon.errors import Code, EdgeDaemonError, SlotLost
from edge_daemon.host.memory import FrameAddress, FrameMemory, Pixels
from edge_daemon.slots.slot import Inference, Loaded, LoadOrder

Detect = Callable[[LoadOrder, Pixels], tuple[Detection, ...]]

_PICTURES: weakref.WeakKeyDictionary[FrameMemory, Path] = weakref.WeakKeyDictionary()
"""Which file a picture was decoded from, for every slot that is shown it."""


def one_box(order: LoadOrder, pixels: Pixels) -> tuple[Detection, ...]:
    """One box of the bundle's first class; its left edge is the first byte of the frame."""
    left = float(pixels[0, 0, 0])
    return (Detection(order.classes[0], 0.9, (left, 0.0, left + 10.0, 10.0)),)


@dataclass
class Fault:
    """An error to raise at inferences `after` good ones, `times` in a row (None: for ever)."""

    error: EdgeDaemonError
    after: int = 0
    times: int | None = None

    def strikes(self, judged: int) -> bool:
        last = None if self.times is None else self.after + self.times
        return judged > self.after and (last is None or judged <= last)


@dataclass
class Script:
    """What every slot that holds it will do; all methods may be called from any thread."""

    detect: Detect = one_box
    detect_file: Callable[[LoadOrder, Path], tuple[Detection, ...]] = lambda order, path: ()
    inference_ms: float = 5.0
    load_ms: float = 100.0
    memory_bytes: int = 64 << 20
    finite: bool = True
    load_errors: dict[BundleRef, EdgeDaemonError] = field(default_factory=dict)
    infer_faults: dict[BundleRef, Fault] = field(default_factory=dict)
    infer_ms: dict[BundleRef, float] = field(default_factory=dict)
    not_finite: set[BundleRef] = field(default_factory=set)
    loaded_as: dict[BundleRef, tuple[str, ...]] = field(default_factory=dict)
    calls: list[tuple[str, str, object]] = field(default_factory=list)
    loads_open: threading.Event = field(default_factory=threading.Event)
    infers_open: threading.Event = field(default_factory=threading.Event)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self.loads_open.set()
        self.infers_open.set()

    def hold_loads(self) -> None:
        self.loads_open.clear()

    def open_loads(self) -> None:
        self.loads_open.set()

    def hold_infers(self) -> None:
        self.infers_open.clear()

    def open_infers(self) -> None:
        self.infers_open.set()

    def fail_load(self, ref: BundleRef, error: EdgeDaemonError) -> None:
        self.load_errors[ref] = error

    def fail_infer(
        self, ref: BundleRef, error: EdgeDaemonError, *, after: int = 0, times: int | None = None
    ) -> None:
        self.infer_faults[ref] = Fault(error, after, times)

    def record(self, slot: str, call: str, subject: object = None) -> None:
        with self._changed:
            self.calls.append((slot, call, subject))
            self._changed.notify_all()

    def called(self, call: str) -> list[tuple[str, object]]:
        """The recorded calls of one kind: (slot, subject), oldest first."""
        with self._changed:
            return [(slot, subject) for slot, name, subject in self.calls if name == call]

    def wait_for(self, call: str, *, count: int = 1, timeout_s: float = 30.0) -> None:
        """Return when `call` was made `count` times; AssertionError past the deadline."""
        with self._changed:
            happened = self._changed.wait_for(
                lambda: sum(name == call for _, name, _ in self.calls) >= count, timeout_s
            )
        assert happened, f"{call} was not called {count} times"


class SimSlot:
    """Implements `Slot` in this process, in the caller's thread, under a test's script."""

    def __init__(self, name: str, *, script: Script | None = None) -> None:
        self._name = name
        self.script = script or Script()
        self.order: LoadOrder | None = None
        self.promoted = False
        self.closed = False
        self._judged = 0
        self._killed = threading.Event()

    @property
    def name(self) -> str:
        return self._name

    @property
    def is_lost(self) -> bool:
        return self._killed.is_set()

    def load(self, order: LoadOrder, timeout_s: float) -> Loaded:
        script = self.script
        script.record(self._name, "load", order.ref)
        self.order, self.promoted, self._judged = None, False, 0
        self._killed.clear()
        self._pass(script.loads_open, timeout_s, f"loading {order.ref}", Code.LOAD_TIMEOUT)
        if order.ref in script.load_errors:
            raise script.load_errors[order.ref]
        self.order = order
        classes = script.loaded_as.get(order.ref, order.classes)
        return Loaded(classes, order.task, script.load_ms, script.memory_bytes)

    def infer(self, frame: FrameAddress, timeout_s: float) -> Inference:
        order = self._ready()
        self.script.record(self._name, "infer", order.ref)
        return self._judge(order, lambda: self._look(order, frame), timeout_s)

    def infer_picture(self, picture: FrameAddress, patience_s: float) -> Inference | None:
        order = self._ready()
        self.script.record(self._name, "infer_picture", order.ref)
        if not self.script.infers_open.wait(patience_s):
            return None
        return self._judge(order, lambda: self._look(order, picture), patience_s)

    def decode(self, path: Path, timeout_s: float) -> FrameMemory | None:
        self._ready()
        self.script.record(self._name, "decode", path)
        decoded = cv2.imread(str(path)) if path.exists() else np.zeros((4, 6, 3), np.uint8)
        memory = FrameMemory.holding(decoded)
        _PICTURES[memory] = path
        return memory

    def infer_file(self, path: Path, timeout_s: float) -> Inference:
        order = self._ready()
        self.script.record(self._name, "infer_file", path)
        return self._judge(order, lambda: self.script.detect_file(order, path), timeout_s)

    def promote(self) -> None:
        self.script.record(self._name, "promote", self.order and self.order.ref)
        self.promoted = True

    def free(self) -> None:
        self.script.record(self._name, "free", self.order and self.order.ref)
        self.order = None

    def let_go(self) -> None:
        self.free()

    def kill(self) -> None:
        self.script.record(self._name, "kill", self.order and self.order.ref)
        self.order = None
        self._killed.set()

    def memory_bytes(self) -> int:
        return self.script.memory_bytes if self.order else 0

    def close(self) -> None:
        self.script.record(self._name, "close")
        self.order, self.closed = None, True

    def _look(self, order: LoadOrder, frame: FrameAddress) -> tuple[Detection, ...]:
        path = _PICTURES.get(frame.memory)
        if path is None:
            return self.script.detect(order, frame.pixels)
        return self.script.detect_file(order, path)

    def _ready(self) -> LoadOrder:
        order = self.order
        if order is None:
            raise SlotLost(f"Slot {self._name} is empty.", hint="Load a bundle first.")
        return order

    def _judge(
        self, order: LoadOrder, detect: Callable[[], tuple[Detection, ...]], timeout_s: float
    ) -> Inference:
        script = self.script
        self._pass(script.infers_open, timeout_s, f"an inference of {order.ref}", None)
        self._judged += 1
        fault = script.infer_faults.get(order.ref)
        if fault is not None and fault.strikes(self._judged):
            if isinstance(fault.error, SlotLost):
                self.order = None
            raise fault.error
        took_ms = script.infer_ms.get(order.ref, script.inference_ms)
        seen = Inference(detect(), took_ms)
        finite = script.finite and order.ref not in script.not_finite
        return seen if finite else replace(seen, finite=False)

    def _pass(self, gate: threading.Event, timeout_s: float, what: str, code: Code | None) -> None:
        """Wait at a gate that the test holds; `kill` and the time limit end the wait."""
        tick_s = min(0.005, timeout_s)
        waited_s = 0.0
        while not gate.wait(tick_s):
            waited_s += tick_s
            if self._killed.is_set() or waited_s >= timeout_s:
                self.order = None
                raise SlotLost(f"Slot {self._name} was lost while {what}.", code=code)
        if self._killed.is_set():
            raise SlotLost(f"Slot {self._name} was killed while {what}.")
