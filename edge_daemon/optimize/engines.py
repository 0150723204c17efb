"""Builds an engine from a bundle's weights, and proves it against them, in caged workers.

Whoever is to trust the result sees both engines, the original and the new one, judge the same
images in turns, as two slots of the daemon would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import structlog

from edge_daemon.core.agreement import Agreement, agree
from edge_daemon.errors import BoxError, EdgeDaemonError
from edge_daemon.models.files import Folder
from edge_daemon.optimize.exporter import EXPORT_FOLDER, FORMATS
from edge_daemon.slots.child import WorkerSpec
from edge_daemon.slots.process import ENGINE
from edge_daemon.slots.scratch import Scratch
from edge_daemon.slots.single_slot import single_slot
from edge_daemon.slots.slot import LoadOrder

_log = structlog.get_logger()

EXPORTER = "edge_daemon.optimize.exporter:Exporter"
BUILD_TIMEOUT_S = 3600.0
"""TensorRT tries out kernels for many minutes on a small device."""
LOAD_TIMEOUT_S = 120.0
INFER_TIMEOUT_S = 60.0
_WARM_UPS = 5
_LARGEST_BYTES = 4 << 30


@dataclass(frozen=True)
class Tools:
    """What the workers run: the engine, what makes one, and torch's threads."""

    threads: int
    engine: str = ENGINE
    exporter: str = EXPORTER


@dataclass(frozen=True)
class Proof:
    """Both engines on the same images; medians in milliseconds of a whole inference."""

    agreement: Agreement
    original_ms: float
    engine_ms: float

    @property
    def speed_up(self) -> float:
        return self.original_ms / self.engine_ms


def build(kind: str, order: LoadOrder, destination: Path, tools: Tools) -> str:
    """Export the order's weights; the engine is copied to `destination`, an existing folder.

    Returns its name there. Raises BundleError and BoxError as the worker says, SlotLost when it
    is not done within an hour.
    """
    options = {"kind": kind, "threads": tools.threads, "device": order.device}
    with Scratch() as scratch:
        readable = (str(order.folder),)
        spec = WorkerSpec(tools.exporter, options, readable, scratch, large_files=True)
        with single_slot(spec) as slot:
            try:
                slot.load(order, BUILD_TIMEOUT_S)
            except EdgeDaemonError as error:
                _log.warning("export_failed", kind=kind, error=error.message, detail=error.detail)
                raise
            made = next(Path(scratch).glob(f"*/*/{EXPORT_FOLDER}"), None)
            if made is None:
                raise BoxError(f"The worker that builds for {kind} left nothing.")
            _fetch(made, FORMATS[kind], destination)
    return FORMATS[kind]


def _fetch(made: Path, name: str, destination: Path) -> None:
    """Copy what a worker wrote, which may be anything: regular files only."""
    with Folder(made) as folder:
        for entry in folder.entries()[0]:
            if entry.path == name or entry.path.startswith(f"{name}/"):
                folder.copy(entry.path, destination, _LARGEST_BYTES)


def prove(
    original: LoadOrder, weights: Path, images: Sequence[Path], rounds: int, tools: Tools
) -> Proof:
    """Let both judge all images in turns, `rounds` times.

    Raises BundleError when one of them cannot be loaded or fails at an image.
    """
    engine = replace(original, folder=weights.parent, weights=weights)
    readable = (str(original.folder), str(weights.parent))
    options = {"threads": tools.threads, "device": original.device}
    spec = WorkerSpec(tools.engine, options, readable=readable)
    agreement = Agreement()
    times: tuple[list[float], list[float]] = ([], [])
    with single_slot(spec) as old, single_slot(spec) as new:
        for slot, order in ((old, original), (new, engine)):
            slot.load(order, LOAD_TIMEOUT_S)
            slot.promote()
            for _ in range(_WARM_UPS):
                slot.infer_file(images[0], INFER_TIMEOUT_S)
        for turn in range(rounds):
            for image in images:
                found = [slot.infer_file(image, INFER_TIMEOUT_S) for slot in (old, new)]
                for taken, inference in zip(times, found, strict=True):
                    taken.append(inference.inference_ms)
                if turn == 0:
                    before, after = (each.detections for each in found)
                    agreement += agree(before, after, original.confidence)
    return Proof(agreement, median(times[0]), median(times[1]))
