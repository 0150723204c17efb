"""What runs inside a slot: an engine with its bundle, and errors assigned to their cause.

A model's code may raise anything; here it becomes the bundle's fault, the box's, or the end of
the slot. The worker process and the thread slot both run this.
"""

from __future__ import annotations

import gc
import importlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from edge_daemon.errors import BoxError, BundleError, Code, EdgeDaemonError
from edge_daemon.host.memory import Pixels
from edge_daemon.models.blame import brief
from edge_daemon.models.decoding import decode_image
from edge_daemon.models.engine import Engine
from edge_daemon.slots.kernel import private_bytes
from edge_daemon.slots.sightings import DETECTIONS_LIMIT, bounded, parted
from edge_daemon.slots.slot import Inference, Loaded, LoadOrder


@runtime_checkable
class Preparable(Protocol):
    """An engine that can do most of its warming before the process is forked.

    `prepare` runs once in the parent, which must have one thread afterwards and no context on a
    device. `warm` then runs in each child, and makes its threads and its context.
    """

    def prepare(self) -> None:
        """Import the library and run a throwaway network, in one thread on the CPU."""


def engine_of(factory: str, options: dict[str, object]) -> Engine:
    """Call `module:factory` with `options`; raises ImportError, AttributeError or its own."""
    module, _, name = factory.partition(":")
    made: Callable[..., Engine] = getattr(importlib.import_module(module), name)
    return made(**options)


class Resident:
    """One engine and at most one bundle. All calls from the thread that made the engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._empty_bytes: int | None = private_bytes()  # asked while nobody waits for a load
        self._counts_from: float | None = None  # what is found below is faint

    def load(self, order: LoadOrder) -> Loaded:
        """Raises BundleError (load_failed, incompatible), BoxError (no_memory), SlotLost."""
        before, self._empty_bytes = self._empty_bytes, None
        if before is None:
            before = private_bytes()
        began = time.perf_counter()
        with _blamed("the model", "The weights cannot be loaded.", Code.LOAD_FAILED):
            facts = self._engine.load(self._lowered(order))
        load_ms = (time.perf_counter() - began) * 1e3
        gc.collect()
        grown = max(0, private_bytes() - before)
        gpu_bytes = self._engine.gpu_bytes()
        return Loaded(
            facts.classes, facts.task, load_ms, grown, gpu_bytes, facts.head_classes, facts.imgsz
        )

    def judge(self, pixels: Pixels) -> Inference:
        """One timed inference. Raises BundleError, BoxError (no_memory), SlotLost."""
        began = time.perf_counter()
        with _blamed("an inference", "The model failed at an inference.", Code.GATE_FAILED):
            sight = self._engine.infer(pixels)
        took_ms = (time.perf_counter() - began) * 1e3
        found, faint = parted(sight.detections, self._counts_from)
        if len(found) > DETECTIONS_LIMIT:
            raise BundleError(
                f"The model found {len(found)} objects in one frame.",
                hint=f"At most {DETECTIONS_LIMIT} are taken; raise recipe.confidence.",
                code=Code.GATE_FAILED,
            )
        return Inference(bounded(found), took_ms, sight.finite, faint)

    def _lowered(self, order: LoadOrder) -> LoadOrder:
        """The engine reports down to the floor; `judge` parts what counts from what does not."""
        self._counts_from = None
        if order.floor is None or order.floor >= order.confidence:
            return order
        self._counts_from = order.confidence
        return replace(order, confidence=order.floor)

    def decode(self, path: Path) -> Pixels:
        """One image file; raises BundleError when it cannot be decoded."""
        return decode_image(path)

    def judge_file(self, path: Path) -> Inference:
        """The same for one image file; raises BundleError when it cannot be decoded."""
        return self.judge(self.decode(path))


@contextmanager
def _blamed(what: str, message: str, code: Code) -> Iterator[None]:
    """The boundary to a model's own code, which may raise anything: the bundle is to blame."""
    try:
        yield
    except EdgeDaemonError:
        raise
    except MemoryError as error:
        raise BoxError(f"There is no memory for {what}.", code=Code.NO_MEMORY) from error
    except Exception as error:
        raise BundleError(message, code=code, detail=brief(error)) from error
