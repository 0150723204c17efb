"""Whose fault it is that a network library raised: the bundle's, this box's, or the GPU's.

The libraries raise whatever they like, and say some of it in words only. None is imported here.
"""

from __future__ import annotations

from edge_daemon.errors import BoxError, BundleError, Code, EdgeDaemonError, SlotLost


def load_fault(error: Exception) -> EdgeDaemonError:
    """What was raised while weights were loaded."""
    if _is_out_of_memory(error):
        return BoxError("There is no memory for the model.", code=Code.NO_MEMORY)
    if _is_broken_gpu(error):
        return SlotLost("The GPU failed while the model was loaded.")
    if isinstance(error, ImportError):
        return BundleError(
            f"The weights need a library that this box lacks ({error.name or error}).",
            hint="Export the model to a format that this box runs, or install the library.",
            code=Code.INCOMPATIBLE,
        )
    return BundleError(
        f"The weights cannot be loaded ({_first_line(error)}).",
        hint="Check that the file is an ultralytics model, exported for this version.",
        code=Code.LOAD_FAILED,
    )


def inference_fault(error: Exception) -> EdgeDaemonError:
    """What was raised while a frame was judged."""
    if _is_out_of_memory(error):
        return BoxError("There is no memory for an inference.", code=Code.NO_MEMORY)
    if _is_broken_gpu(error):
        return SlotLost("The GPU failed at an inference.")
    return BundleError(
        f"The model failed at an inference ({_first_line(error)}).",
        hint="Check that it was exported for the imgsz and the task in model.yaml.",
        code=Code.GATE_FAILED,
    )


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's
        return True
    # A CPU's allocators, those of the runtimes, and TorchScript on a GPU say it in words only.
    said = str(error).casefold()
    return any(word in said for word in _OUT_OF_MEMORY)


_OUT_OF_MEMORY = (
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "failed to allocate memory",
    "bad_alloc",
    "cuda out of memory",
)


def _is_broken_gpu(error: Exception) -> bool:
    """After a fault of the GPU its context is lost: every later call of the process fails."""
    return isinstance(error, RuntimeError) and "CUDA error" in str(error)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
