"""An engine with the bundle in it, and the blame put right: what runs inside a slot.

A model's code may raise anything; here it becomes the bundle's fault, the box's, or the end of
the slot. The worker process and the thread slot both run this.
"""

from __future__ import annotations

import gc
import importlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, runtime_checkable

from edge_daemon.errors import BoxError, BundleError, Code, EdgeDaemonError
from edge_daemon.host.memory import Pixels
from edge_daemon.models.decoding import decode_image
from edge_daemon.models.engine import Engine
from edge_daemon.slots.kernel import private_bytes
from edge_daemon.slots.sightings import DETECTIONS_LIMIT, bounded
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

    def load(self, order: LoadOrder) -> Loaded:
        """Raises BundleError (load_failed, incompatible), BoxError (no_memory), SlotLost."""
        before = private_bytes()
        began = time.perf_counter()
        with _blamed("the model", "The weights cannot be loaded.", Code.LOAD_FAILED):
            facts = self._engine.load(order)
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
        if len(sight.detections) > DETECTIONS_LIMIT:
            raise BundleError(
                f"The model found {len(sight.detections)} objects in one frame.",
                hint=f"At most {DETECTIONS_LIMIT} are taken; raise recipe.confidence.",
                code=Code.GATE_FAILED,
            )
        return Inference(bounded(sight.detections), took_ms, sight.finite)

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


def brief(error: BaseException) -> str:
    """The first line of what an exception says, short enough for a reply."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
