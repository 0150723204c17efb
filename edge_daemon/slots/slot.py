"""The interface of a slot: a place where one bundle can be resident.

`ProcessSlot` (a worker of its own) and `ThreadSlot` (this process) implement the protocol, and so
does the simulator that the tests use. Every call is bounded by its time limit. One thread at a
time may call a slot, except for `kill`, `is_lost` and `memory_bytes`, which any thread may call at
any moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from edge_daemon.core.values import BundleRef, Detection
from edge_daemon.host.memory import FrameAddress, FrameMemory

if TYPE_CHECKING:
    from edge_daemon.models.bundle import Verified

INFER_TIMEOUT_S = 5.0
"""After this long without an answer the active model counts as hung, and is killed."""

HUNG_S = 10.0
"""One that was glanced at, and still says nothing after so long, is hung on whatever it does.

The service manager ends a daemon whose model says nothing for twice as long.
"""


@dataclass(frozen=True)
class LoadOrder:
    """Everything a slot needs to make one bundle ready.

    `weights` is the private copy whose bytes were verified (a file, or an OpenVINO folder);
    `folder` holds it and the verified golden images, and nothing else writes there.
    """

    ref: BundleRef
    sha256: str
    folder: Path
    weights: Path
    task: str
    classes: tuple[str, ...]
    imgsz: int | tuple[int, int]  # side, or height and width, in pixels
    confidence: float
    device: str = "cpu"
    half: bool = False
    swap_id: str = ""
    urgent: bool = False  # frames wait for it: it is loaded with the priority of live frames
    floor: float | None = None  # what lies between it and `confidence` is told apart, as faint

    @classmethod
    def of(cls, verified: Verified, device: str, swap_id: str = "") -> LoadOrder:
        """To load a verified copy on this device; half precision on a GPU."""
        manifest = verified.manifest
        return cls(
            ref=manifest.ref,
            sha256=verified.sha256,
            folder=verified.folder,
            weights=verified.weights,
            task=manifest.task,
            classes=manifest.classes,
            imgsz=manifest.imgsz,
            confidence=manifest.recipe.lowest_confidence,
            device=device,
            half=device.startswith("cuda"),
            swap_id=swap_id,
        )


@dataclass(frozen=True)
class Loaded:
    """What the engine says of itself once it is in memory."""

    classes: tuple[str, ...]
    task: str
    load_ms: float
    memory_bytes: int = 0  # resident growth of the worker (host)
    gpu_bytes: int = 0  # reserved on the device; 0 on a CPU
    head_classes: int | None = None  # what the network's head gives, where its output tells
    imgsz: int | tuple[int, int] | None = None  # trained at: side, or height and width, in pixels


@dataclass(frozen=True)
class Inference:
    """One inference: detections in pixels of the image given, and the time it took.

    `finite` is False when the raw output holds NaN or infinities; `inference_ms` is measured in
    the worker round the whole predict call (letterbox, network, post-processing). `faint`: what
    was found below the order's confidence, down to its floor; it judges nothing.
    """

    detections: tuple[Detection, ...]
    inference_ms: float
    finite: bool = True
    faint: tuple[Detection, ...] = ()


class Slot(Protocol):
    """One place for one resident bundle.

    Errors: `BundleError` when the bundle is at fault (cannot be read, raises at an inference),
    `SlotLost` when the worker died, hung past the limit or broke the protocol; after `SlotLost`
    the slot is empty and may be loaded again. A plain `BoxError` says that this box could not do
    it (no memory, say). A call on an empty slot raises `SlotLost` too.
    """

    @property
    def name(self) -> str:
        """`A`, `B`, …; the label in state, metrics and logs."""

    @property
    def is_lost(self) -> bool:
        """Whether what was loaded is gone, and no call has met that yet; from any thread."""

    def load(self, order: LoadOrder, timeout_s: float) -> Loaded:
        """Bring the bundle into memory. On any error the slot is empty again."""

    def infer(self, frame: FrameAddress, timeout_s: float) -> Inference:
        """Judge one leased frame where it lies; the lane's call, and the warm-up's."""

    def infer_file(self, path: Path, timeout_s: float) -> Inference:
        """Decode and judge one image file of the order's folder (golden frames)."""

    def infer_picture(self, picture: FrameAddress, patience_s: float) -> Inference | None:
        """As `infer`, for a picture that is not of the line; None: there is no answer in time.

        The bundle stays loaded then. The next call waits for the answer, until `HUNG_S` after the
        question, and its own limit begins there.
        """

    def decode(self, path: Path, timeout_s: float) -> FrameMemory | None:
        """One image file of the order's folder as one frame, for this slot and others.

        The caller closes it. None where the file's header does not say how large it is.
        """

    def promote(self) -> None:
        """Judge live frames from now on: normal priority instead of the background's.

        Called at the cutover, on the lane's side; cheap, does not wait, and never raises: a worker
        that is gone shows itself at the next `infer`.
        """

    def free(self) -> None:
        """Unload, give back all memory, be ready for the next load. Never raises."""

    def let_go(self) -> None:
        """As `free`, but the memory is given back a moment later; the next load waits for that."""

    def kill(self) -> None:
        """End the worker now, from any thread; a call in progress raises `SlotLost`."""

    def memory_bytes(self) -> int:
        """Resident bytes of what is loaded at this moment, 0 when nothing is; from any thread."""

    def close(self) -> None:
        """Free, and end everything that belongs to the slot. Never raises."""
