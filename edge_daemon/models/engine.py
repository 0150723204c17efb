"""Weights in memory that can judge a frame; the only room that knows torch and ultralytics.

Both are imported by `UltralyticsEngine` at its first use, inside a worker: importing this module
imports neither. Everything here belongs to one thread.
"""

from __future__ import annotations

import math
import os
import tempfile
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from edge_daemon.core.compatibility import FILE_SUFFIXES, OPENVINO_SUFFIX, TASKS
from edge_daemon.core.values import Detection
from edge_daemon.errors import BoxError, BundleError, Code, EdgeDaemonError
from edge_daemon.models.blame import inference_fault, load_fault
from edge_daemon.models.decoding import Pixels
from edge_daemon.models.device import leave_free, require_device, reseed, untouched_devices
from edge_daemon.models.quick_import import import_torchvision
from edge_daemon.models.results import detections_of
from edge_daemon.models.throwaway import NETWORK, Throwaway

_MOST_THREADS = 4  # more bring a small network little, and cost the rest of the box much


class ModelOrder(Protocol):
    """What an engine needs to load; a slot's `LoadOrder` is one."""

    @property
    def weights(self) -> Path: ...
    @property
    def task(self) -> str: ...
    @property
    def imgsz(self) -> int | tuple[int, int]: ...
    @property
    def confidence(self) -> float: ...
    @property
    def device(self) -> str: ...
    @property
    def half(self) -> bool: ...


@dataclass(frozen=True)
class ModelFacts:
    """What the weights say of themselves.

    `classes` are the names in the file; `head_classes` how many the head gives, None where its
    output does not tell (suppression inside the graph); `imgsz` the input that it was trained or
    exported at, None where it does not say.
    """

    classes: tuple[str, ...]
    task: str
    head_classes: int | None = None
    imgsz: int | tuple[int, int] | None = None


@dataclass(frozen=True)
class RawResult:
    """What the network found in one frame; `finite` False: its raw output had NaN or infinity."""

    detections: tuple[Detection, ...]
    finite: bool = True


class Engine(Protocol):
    """One network library, and at most one set of weights in it.

    Errors: BundleError (the weights are at fault), BoxError (this box is), SlotLost (the process
    can do no more work, as after a fault of the GPU); anything else is taken as the bundle's.
    """

    def warm(self) -> None:
        """Import the library and run a throwaway network once, so that a load finds it warm."""

    def load(self, order: ModelOrder) -> ModelFacts:
        """Bring the weights into memory, in place of what was there."""

    def infer(self, pixels: Pixels) -> RawResult:
        """Judge one frame, which may be read-only; boxes in its pixels. Keeps none of them."""

    def gpu_bytes(self) -> int:
        """Reserved on the device by this process; 0 on a CPU."""


def half_precision() -> dict[str, object]:
    """The option for half precision: newer releases of ultralytics renamed it."""
    from ultralytics.utils import DEFAULT_CFG_DICT  # noqa: PLC0415

    return {"quantize": 16} if "quantize" in DEFAULT_CFG_DICT else {"half": True}


class UltralyticsEngine:
    """YOLO weights in any of the formats that ultralytics runs on a CPU or an NVIDIA GPU.

    Args:
        threads: torch's threads in one operator; 0 takes the cores of this process, at most 4.
        device: where `warm` runs its throwaway network (`cpu`, `cuda:0`).
        headroom_mb: megabytes of a GPU that torch leaves to the other processes.
    """

    def __init__(self, threads: int = 0, device: str = "cpu", headroom_mb: int = 0) -> None:
        self._threads = threads or min(len(os.sched_getaffinity(0)), _MOST_THREADS)
        self._device = device
        self._headroom_bytes = headroom_mb << 20
        self._scratch: Path | None = None
        self._prepared = False
        self._predictor: Any = None
        self._names: dict[int, str] = {}
        self._confidence = 0.0
        self._finite = True
        self._trained_at: int | tuple[int, int] | None = None
        self._stack = ExitStack()

    # ------------------------------------------------------------------ the protocol

    def prepare(self) -> None:
        """See `slots.resident.Preparable`; what is made here is shared by all children."""
        parent = UltralyticsEngine(threads=1)
        with untouched_devices():
            parent.warm()
        self._prepared = True

    def warm(self) -> None:
        """The first load of a process costs seconds in lazy imports; pay them here."""
        scratch = self._library()
        if self._prepared:
            reseed()
            if self._device == "cpu":
                return
        from ultralytics.models import YOLO  # noqa: PLC0415

        (scratch / "throwaway.yaml").write_text(NETWORK, encoding="utf-8")
        weights = scratch / "throwaway.pt"
        YOLO(str(scratch / "throwaway.yaml"), task="detect").save(str(weights))
        self.load(Throwaway(weights, self._device))
        self.infer(np.zeros((64, 64, 3), dtype=np.uint8))
        self._forget()

    def load(self, order: ModelOrder) -> ModelFacts:
        """Raises BundleError (load_failed, incompatible) and BoxError (no_memory, no such GPU)."""
        self._forget()
        self._library()
        weights = self._acceptable(order)
        require_device(order.device)
        try:
            if order.device != "cpu":
                leave_free(order.device, self._headroom_bytes)
            predictor = self._predictor_for(weights, order)
            head_classes = _head_classes(predictor)
        except EdgeDaemonError:
            raise
        except Exception as error:  # the boundary to the vendor: it raises whatever it likes
            self._forget()
            raise load_fault(error, order.weights.name) from error
        network = predictor.model
        network.register_forward_hook(self._watch)
        self._predictor = predictor
        self._confidence = order.confidence
        self._names = {int(index): str(name) for index, name in network.names.items()}
        classes = tuple(self._names[index] for index in sorted(self._names))
        inner = getattr(network, "model", None)  # a .pt names its task there, an export above
        task = getattr(network, "task", None) or getattr(inner, "task", None) or order.task
        return ModelFacts(classes, str(task), head_classes, self._trained_at)

    def infer(self, pixels: Pixels) -> RawResult:
        """One call of ultralytics' predictor; what it returns is read from its `Results`."""
        if self._predictor is None:
            raise BundleError("No weights are loaded.")
        self._finite = True
        try:
            (result,) = self._predictor(source=pixels)
            detections, is_whole = detections_of(result, self._name, self._confidence)
        except EdgeDaemonError:
            raise
        except Exception as error:  # the boundary to the vendor: it raises whatever it likes
            raise inference_fault(error) from error
        return RawResult(detections, self._finite and is_whole)

    def gpu_bytes(self) -> int:
        import torch  # noqa: PLC0415

        return int(torch.cuda.memory_reserved()) if torch.cuda.is_available() else 0

    # ------------------------------------------------------------------ inside

    def _name(self, index: int) -> str:
        name = self._names.get(index)
        if name is None:
            raise BundleError(
                f"The model found class {index}, which has no name: it has {len(self._names)}.",
                hint="Export it with the names of all its classes.",
                code=Code.INCOMPATIBLE,
            )
        return name

    def _watch(self, _network: object, _inputs: object, output: Any) -> None:
        """See the raw output before non-maximum suppression silently drops every NaN.

        A forward hook on the predictor's AutoBackend is the one place that all formats pass. The
        sum of a tensor is finite when its parts are, and costs a tenth of asking each part. An
        export with suppression inside the graph has dropped them already; it cannot be seen.
        """
        import torch  # noqa: PLC0415

        first = output[0] if isinstance(output, (list, tuple)) else output
        if isinstance(first, torch.Tensor) and first.is_floating_point():
            self._finite = math.isfinite(float(first.sum(dtype=torch.float32)))

    def _library(self) -> Path:
        """Import torch and ultralytics, offline and safe; returns this engine's scratch folder."""
        if self._scratch is not None:
            return self._scratch
        scratch = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="engine-")))
        os.environ.update(
            YOLO_OFFLINE="1",
            YOLO_AUTOINSTALL="false",
            YOLO_VERBOSE="false",
            YOLO_CONFIG_DIR=str(scratch),
            ULTRALYTICS_SAFE_LOAD="1",
            OMP_WAIT_POLICY="PASSIVE",  # idle threads must not spin on the live worker's cores
        )
        import_torchvision()
        import torch  # noqa: PLC0415
        import ultralytics.utils  # noqa: PLC0415

        if not ultralytics.utils.SAFE_LOAD or not hasattr(
            torch.serialization, "get_unsafe_globals_in_checkpoint"
        ):
            raise BoxError(
                "This ultralytics or torch cannot load weights safely.",
                hint="Install torch 2.6 or newer, and an ultralytics with ULTRALYTICS_SAFE_LOAD.",
            )
        torch.set_num_threads(self._threads)
        # Frames are mapped read-only, and the letterbox copies them before torch could write.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writ")
        self._scratch = scratch
        return scratch

    def _acceptable(self, order: ModelOrder) -> Path:
        """The path to hand to ultralytics, which judges a format by its name and, for a name that
        it does not find, would search online."""
        weights = order.weights.absolute()
        if order.task not in TASKS:
            raise _unsupported(order.task)
        if weights.is_dir():
            if weights.name.endswith(OPENVINO_SUFFIX):
                return weights
            assert self._scratch is not None
            alias = self._scratch / f"weights{OPENVINO_SUFFIX}"
            if alias.is_symlink():  # of an earlier load in a thread; a worker may not remove it
                alias.unlink()
            alias.symlink_to(weights, target_is_directory=True)
            return alias
        if not weights.is_file():
            raise BundleError(f"There are no weights {weights.name}.", code=Code.LOAD_FAILED)
        if weights.suffix not in FILE_SUFFIXES:
            raise BundleError(
                f"Weights named {weights.name} are in no known format.",
                hint=f"Use {', '.join(FILE_SUFFIXES)} or an OpenVINO folder.",
                code=Code.LOAD_FAILED,
            )
        return weights

    def _predictor_for(self, weights: Path, order: ModelOrder) -> Any:
        """ultralytics' own predictor, set up once: `YOLO.predict` would read all settings anew
        for every frame (0.5 ms), and keep a second copy of the network."""
        from torch.nn import Module  # noqa: PLC0415
        from ultralytics.models import YOLO  # noqa: PLC0415

        model = YOLO(str(weights), task=order.task)
        if model.task not in TASKS:
            raise _unsupported(str(model.task))
        precision = half_precision() if order.half and order.device != "cpu" else {}
        make: Callable[..., Any] = model.task_map[model.task]["predictor"]
        predictor = make(
            overrides={
                "mode": "predict",
                "task": model.task,
                "imgsz": order.imgsz if isinstance(order.imgsz, int) else list(order.imgsz),
                "conf": order.confidence,
                "device": order.device,
                "batch": 1,
                "rect": True,
                "save": False,
                "verbose": False,
                **precision,
            }
        )
        network = model.model
        if isinstance(network, Module):
            # It would judge with a copy, though nobody keeps the original: a sixth of the load.
            network.__deepcopy__ = lambda _: network
        predictor.setup_model(model=network, verbose=False)
        if isinstance(network, Module):
            del network.__deepcopy__
        told = model.overrides.get("imgsz") or getattr(predictor.model, "imgsz", None)
        self._trained_at = _side_or_sides(told)
        if predictor.device.type != order.device.partition(":")[0]:
            raise BundleError(
                f"The weights would run on the {predictor.device.type}, not on {order.device}.",
                hint="Use .pt, .torchscript or .engine weights on a GPU, or slots.device: cpu.",
                code=Code.INCOMPATIBLE,
            )
        return predictor

    def _forget(self) -> None:
        self._predictor = None
        self._names = {}


def _side_or_sides(told: object) -> int | tuple[int, int] | None:
    """An input size as ultralytics keeps it: a number, or a list of one or two."""
    sides = told if isinstance(told, (list, tuple)) else [told]
    known = [side for side in sides if isinstance(side, int) and 0 < side < 1 << 16]
    if not known or len(known) < len(sides):
        return None
    height, width = known[0], known[-1]
    return height if height == width else (height, width)


def _unsupported(task: str) -> BundleError:
    return BundleError(
        f"Weights for the task {task!r} are not supported.",
        hint=f"Use weights for {', '.join(TASKS)}.",
        code=Code.INCOMPATIBLE,
    )


def _head_classes(predictor: Any) -> int | None:
    """How many classes the head gives, whatever the names say.

    A checkpoint says it in its head. An export says it in its output: a classifier's is batch x
    classes, another's batch x channels x anchors with 4 channels for the box; None where it has
    suppressed already (batch x boxes x 6).
    """
    import torch  # noqa: PLC0415

    network = predictor.model
    layers = getattr(getattr(network, "model", None), "model", None)
    if isinstance(layers, torch.nn.Sequential):
        head: Any = layers[-1]
        linear = getattr(head, "linear", None)  # a classifier's
        told = getattr(head, "nc", None) if linear is None else linear.out_features
        return None if told is None else int(told)
    side = predictor.args.imgsz
    height, width = (side, side) if isinstance(side, int) else side
    with torch.inference_mode():
        blank = torch.zeros(1, getattr(network, "channels", 3), height, width)
        output = network(blank.to(predictor.device))
    tensors = output if isinstance(output, (list, tuple)) else [output]
    shape = tuple(tensors[0].shape)
    if network.task == "classify":
        return int(shape[-1])
    if getattr(network, "end2end", False) or len(shape) != 3 or shape[-1] == 6:
        return None
    return max(0, int(shape[1]) - 4 - _other_channels(network, tensors))


def _other_channels(network: Any, tensors: Any) -> int:
    """Channels of a prediction that are neither box nor class."""
    if network.task == "segment":
        return int(tensors[1].shape[1]) if len(tensors) > 1 else 0  # one for each prototype
    if network.task == "pose":
        return math.prod(getattr(network, "kpt_shape", ()) or (0,))
    return 1 if network.task == "obb" else 0  # its angle
