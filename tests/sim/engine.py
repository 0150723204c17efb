"""Engines without a network: what they see follows from the pixels, and how they fail is chosen.

Handed to slots by name (`tests.sim.engine:SimEngine`), so that the same code runs in this process,
in a thread and in a worker. The fault is part of the order's file name, and so travels with it:
`weights-raise_at_load.sim`, `weights-nan.sim`; see `Behaviour`.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_daemon.core.values import Detection
from edge_daemon.errors import BoxError, Code, SlotLost
from edge_daemon.models.engine import ModelFacts, ModelOrder, RawResult
from edge_daemon.slots import wire
from tests.sim import hog

Pixels = NDArray[np.uint8]

_GO = "go"


class Behaviour(str, Enum):
    GOOD = "good"
    RAISE_AT_LOAD = "raise_at_load"
    NO_MEMORY_AT_LOAD = "no_memory_at_load"
    HANG_AT_LOAD = "hang_at_load"
    DIE_AT_LOAD = "die_at_load"
    RAISE_AT_INFER = "raise_at_infer"
    HANG_AT_INFER = "hang_at_infer"
    DIE_AT_INFER = "die_at_infer"
    SEGFAULT_AT_INFER = "segfault_at_infer"
    EXIT_AT_INFER = "exit_at_infer"
    LOST_AT_INFER = "lost_at_infer"
    HELD_AT_INFER = "held_at_infer"  # until `let_go` is called
    NAN = "nan"
    FLOOD = "flood"  # more detections than anybody could mean
    GARBAGE = "garbage"  # bytes of its own on the worker's socket
    GIANT = "giant"  # a packet over the limit
    FOREIGN_LABEL = "foreign_label"  # a class that the bundle does not have
    AHEAD = "ahead"  # answers to questions that were not asked yet
    FAR_BOX = "far_box"  # an object where there is no picture
    NAN_BOX = "nan_box"  # a NaN that the engine lets through
    FILL_BYTES = "fill_bytes"  # all of the disk under its scratch folder, and then it hangs
    FILL_FILES = "fill_files"
    CHATTER = "chatter"  # writes to stdout and stderr


@dataclass(frozen=True)
class Sighting:
    """What `SimEngine` finds in a frame: one box of class 0, its left edge the first byte."""

    @staticmethod
    def of(pixels: Pixels, classes: tuple[str, ...]) -> tuple[Detection, ...]:
        left = float(pixels[0, 0, 0])
        height, width = pixels.shape[:2]
        return (Detection(classes[0], 0.75, (left, 0.0, float(width), float(height))),)


class SimEngine:
    """Follows the engine protocol; `warm_fault` breaks it before it is ready."""

    def __init__(self, warm_fault: str = "", memory_bytes: int = 0) -> None:
        self._warm_fault = warm_fault
        self._memory_bytes = memory_bytes
        self._weights = b""
        self._behaviour = Behaviour.GOOD
        self._classes: tuple[str, ...] = ()
        self._go: Path | None = None

    def warm(self) -> None:
        if self._warm_fault == "raise":
            raise RuntimeError("no library here")
        if self._warm_fault == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._warm_fault == "hang":
            _hang()

    def load(self, order: ModelOrder) -> ModelFacts:
        self._behaviour = behaviour_of(order.weights)
        facts = json.loads(order.weights.read_text(encoding="utf-8"))
        if self._behaviour is Behaviour.RAISE_AT_LOAD:
            raise ValueError("these weights are broken\nand say so at length")
        if self._behaviour is Behaviour.NO_MEMORY_AT_LOAD:
            raise BoxError("There is no memory for the model.", code=Code.NO_MEMORY)
        if self._behaviour is Behaviour.HANG_AT_LOAD:
            _hang()
        if self._behaviour is Behaviour.HELD_AT_INFER:
            self._go = order.weights.with_name(_GO)
        if self._behaviour is Behaviour.DIE_AT_LOAD:
            os.kill(os.getpid(), signal.SIGKILL)
        self._classes = tuple(facts["classes"])
        self._weights = b"\x01" * self._memory_bytes
        return ModelFacts(self._classes, str(facts["task"]))

    def infer(self, pixels: Pixels) -> RawResult:
        while self._go is not None and not self._go.exists():
            time.sleep(0.005)
        found = Sighting.of(pixels, self._classes)
        fault = _INFER_FAULTS.get(self._behaviour)
        return fault(found) if fault else RawResult(found)

    def gpu_bytes(self) -> int:
        return 0


def write_weights(
    folder: Path, behaviour: Behaviour = Behaviour.GOOD, *, classes: tuple[str, ...] = ("bottle",)
) -> Path:
    """A weights file that `SimEngine` loads."""
    path = folder / f"weights-{behaviour.value}.sim"
    path.write_text(json.dumps({"classes": classes, "task": "detect"}), encoding="utf-8")
    return path


def let_go(folder: Path) -> None:
    """Let every engine judge that was held, with weights in this folder."""
    (folder / _GO).touch()


def behaviour_of(weights: Path) -> Behaviour:
    return Behaviour(weights.stem.partition("-")[2])


def _hang() -> None:
    time.sleep(3600)


def _raise(found: tuple[Detection, ...]) -> RawResult:
    raise RuntimeError("size mismatch in layer 22")


def _hang_then(found: tuple[Detection, ...]) -> RawResult:
    _hang()
    return RawResult(found)


def _die(found: tuple[Detection, ...]) -> RawResult:
    os.kill(os.getpid(), signal.SIGKILL)
    return RawResult(found)


def _segfault(found: tuple[Detection, ...]) -> RawResult:
    ctypes.string_at(0)
    return RawResult(found)


def _exit(found: tuple[Detection, ...]) -> RawResult:
    raise SystemExit(3)


def _lose(found: tuple[Detection, ...]) -> RawResult:
    raise SlotLost("The GPU failed at an inference.")


def _nan(found: tuple[Detection, ...]) -> RawResult:
    return RawResult((), finite=False)


def _flood(found: tuple[Detection, ...]) -> RawResult:
    return RawResult(found * 5000)


def _garbage(found: tuple[Detection, ...]) -> RawResult:
    _shout(b"\x80\x04\x95cos\nsystem\n")
    return RawResult(found)


def _giant(found: tuple[Detection, ...]) -> RawResult:
    _shout(bytes(180_000))
    return RawResult(found)


def _ahead(found: tuple[Detection, ...]) -> RawResult:
    for number in range(50):
        reply = wire.Answered(number, wire.Inferred(1.0, True, ()))
        _shout(msgspec.msgpack.encode(reply))
    return RawResult(found)


def _far_box(found: tuple[Detection, ...]) -> RawResult:
    return RawResult((Detection("bottle", 0.5, (0.0, 0.0, 1e5, 1.0)),))


def _nan_box(found: tuple[Detection, ...]) -> RawResult:
    return RawResult((Detection("bottle", float("nan"), (0.0, 0.0, 1.0, 1.0)),))


def _foreign_label(found: tuple[Detection, ...]) -> RawResult:
    return RawResult((Detection("<b>anything</b>", 0.5, (0.0, 0.0, 1.0, 1.0)),))


def _chatter(found: tuple[Detection, ...]) -> RawResult:
    os.write(1, b"a library says something\n" * 3)
    os.write(2, b'{"event": "model_noted", "level": "warning", "depth": 3, "bad": {"x": 1}}\n')
    return RawResult(found)


def _fill(take: Callable[[], None]) -> Callable[[tuple[Detection, ...]], RawResult]:
    def fill(found: tuple[Detection, ...]) -> RawResult:
        os.chdir(tempfile.gettempdir())
        take()
        _hang()
        return RawResult(found)

    return fill


def _shout(packet: bytes) -> None:
    """Write to this worker's own socket, as hostile code in a model could."""
    arguments = Path("/proc/self/cmdline").read_bytes().split(b"\0")
    os.write(int(arguments[arguments.index(b"--fd") + 1]), packet)


_INFER_FAULTS = {
    Behaviour.RAISE_AT_INFER: _raise,
    Behaviour.HANG_AT_INFER: _hang_then,
    Behaviour.DIE_AT_INFER: _die,
    Behaviour.SEGFAULT_AT_INFER: _segfault,
    Behaviour.EXIT_AT_INFER: _exit,
    Behaviour.LOST_AT_INFER: _lose,
    Behaviour.NAN: _nan,
    Behaviour.FLOOD: _flood,
    Behaviour.GARBAGE: _garbage,
    Behaviour.GIANT: _giant,
    Behaviour.FOREIGN_LABEL: _foreign_label,
    Behaviour.AHEAD: _ahead,
    Behaviour.FAR_BOX: _far_box,
    Behaviour.NAN_BOX: _nan_box,
    Behaviour.CHATTER: _chatter,
    Behaviour.FILL_BYTES: _fill(hog.take_bytes),
    Behaviour.FILL_FILES: _fill(hog.take_files),
}
