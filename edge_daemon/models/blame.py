"""Whose fault an error of a network library is: the bundle's, this box's, or the GPU's.

The libraries raise various errors, and some say the cause in words only. None of them is imported
here. The message is ours; theirs, which may name folders, is the error's `detail`.
"""

from __future__ import annotations

from edge_daemon.errors import BoxError, BundleError, Code, EdgeDaemonError, SlotLost


def load_fault(error: Exception, file: str) -> EdgeDaemonError:
    """The error for what was raised while the weights in `file` were loaded."""
    if _is_out_of_memory(error):
        return BoxError("There is no memory for the model.", code=Code.NO_MEMORY)
    if _is_broken_gpu(error):
        return SlotLost("The GPU failed while the model was loaded.", detail=brief(error))
    if isinstance(error, ImportError):
        missing = f": {error.name}" if error.name else ""
        return BundleError(
            f"{file} needs a library that this box lacks{missing}.",
            hint="Export the model to a format that this box runs, or install the library.",
            code=Code.INCOMPATIBLE,
            detail=brief(error),
        )
    what, hint = _cause(error, _AT_LOAD) or (
        f"cannot be loaded: the library that reads it gave up ({type(error).__name__})",
        "Check that it is an ultralytics model, exported for this version; the log says more.",
    )
    return BundleError(f"{file} {what}.", hint=hint, code=Code.LOAD_FAILED, detail=brief(error))


def inference_fault(error: Exception) -> EdgeDaemonError:
    """The error for what was raised while a frame was judged."""
    if _is_out_of_memory(error):
        return BoxError("There is no memory for an inference.", code=Code.NO_MEMORY)
    if _is_broken_gpu(error):
        return SlotLost("The GPU failed at an inference.", detail=brief(error))
    return BundleError(
        f"The model failed at an inference ({type(error).__name__}).",
        hint="Check that it was exported for the imgsz and the task in model.yaml; the log says"
        " more.",
        code=Code.GATE_FAILED,
        detail=brief(error),
    )


_EXPORT_AGAIN = "Export or copy it again, complete."
_SAVE_AGAIN = "Save it with the ultralytics of this box, or export it to ONNX."

_AT_LOAD = (
    ("torchscript archive", "is TorchScript under another name", "Name it weights.torchscript."),
    ("truncated or corrupted", "is cut short or damaged", _EXPORT_AGAIN),
    ("reading zip archive", "is cut short or damaged", _EXPORT_AGAIN),
    ("locating file constants.pkl", "is no TorchScript", "Export it to TorchScript again."),
    ("outside the supported", "holds other things than an ultralytics checkpoint", _SAVE_AGAIN),
    ("unsupported global", "holds other things than an ultralytics checkpoint", _SAVE_AGAIN),
    ("external data", "keeps tensors in another file", "Export it as one ONNX file."),
    ("protobuf", "is not a readable ONNX model", "Export it again."),
    ("invalid dimensions", "expects pictures of another size", "Correct input.imgsz."),
)
"""What libraries say (in lower case) -> what it means, and the next step."""


def _cause(error: Exception, known: tuple[tuple[str, str, str], ...]) -> tuple[str, str] | None:
    said = str(error).casefold()
    return next(((what, hint) for words, what, hint in known if words in said), None)


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
    """After a fault of the GPU its context is lost: every later call in the process fails."""
    return isinstance(error, RuntimeError) and "CUDA error" in str(error)


def brief(error: BaseException) -> str:
    """The first line of what an exception says, short enough for a reply."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
