"""Makes an engine for this box from `.pt` weights, in a caged worker like any foreign file.

It takes the place of an engine in the worker: `load` does not bring weights into memory but writes
them in another format into the worker's scratch folder, below `EXPORT_FOLDER`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from edge_daemon.errors import BoxError, BundleError, Code
from edge_daemon.models.decoding import Pixels
from edge_daemon.models.engine import (
    ModelFacts,
    ModelOrder,
    RawResult,
    UltralyticsEngine,
    half_precision,
)

EXPORT_FOLDER = "export"
FORMATS = {
    "openvino": "weights_openvino_model",
    "onnx": "weights.onnx",
    "tensorrt": "weights.engine",
}
"""Kind of engine -> the name of its weights in a bundle."""

_ULTRALYTICS = {"openvino": "openvino", "onnx": "onnx", "tensorrt": "engine"}


class Exporter:
    """An `Engine` whose `load` is an export.

    Args:
        kind: one of `FORMATS`.
        threads: torch's threads.
        device: where the engine will run; TensorRT builds on it.
    """

    def __init__(self, kind: str, threads: int = 0, device: str = "cpu") -> None:
        self._kind = kind
        self._engine = UltralyticsEngine(threads, device)

    def warm(self) -> None:
        self._engine.warm()

    def load(self, order: ModelOrder) -> ModelFacts:
        """Check that the weights are what they say, then export them.

        Shapes stay free where the format allows it: the engine then sees exactly the letterbox
        that the original sees. Raises BundleError, and BoxError where a library is lacking.
        """
        facts = self._engine.load(order)
        folder = Path(tempfile.gettempdir()) / EXPORT_FOLDER
        folder.mkdir()
        source = folder / "weights.pt"
        shutil.copyfile(order.weights, source)
        here = Path.cwd()
        os.chdir(folder)  # some exporters write beside where they run
        try:
            self._export(source, order)
        except ImportError as error:
            raise BoxError(
                f"The {self._kind} engine needs a library that this box lacks"
                f" ({error.name or 'its name is in the log'}).",
                detail=str(error),
                hint=f"Install edge-daemon[{self._kind}].",
            ) from error
        except Exception as error:  # the boundary to the vendor: it raises whatever it likes
            raise BundleError(
                f"The weights cannot be exported to {self._kind} ({type(error).__name__}).",
                hint="The log has the library's own words.",
                code=Code.LOAD_FAILED,
                detail=str(error),
            ) from error
        finally:
            os.chdir(here)
        if not (folder / FORMATS[self._kind]).exists():
            raise BoxError(f"The export to {self._kind} left no engine.")
        return facts

    def _export(self, source: Path, order: ModelOrder) -> None:
        from ultralytics.models import YOLO  # noqa: PLC0415 - a worker's import

        options: dict[str, Any] = {
            "format": _ULTRALYTICS[self._kind],
            "imgsz": order.imgsz if isinstance(order.imgsz, int) else list(order.imgsz),
            "batch": 1,
            "verbose": False,
            "device": order.device,
        }
        if self._kind == "tensorrt":
            options |= {**half_precision(), "workspace": 2}
        else:
            options |= {"dynamic": True}
        if self._kind == "onnx":
            options |= {"simplify": False}
        YOLO(str(source), task=order.task).export(**options)

    def infer(self, pixels: Pixels) -> RawResult:
        return self._engine.infer(pixels)

    def gpu_bytes(self) -> int:
        return self._engine.gpu_bytes()
