"""A CUDA device as torch sees it: whether it is there, and how much of it may be used.

Not before a fork. torch is imported inside the functions, as in `engine`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from edge_daemon.errors import BoxError


@contextmanager
def untouched_devices() -> Iterator[None]:
    """Work on the CPU so that a child of this process can still use the GPU.

    A process that has asked the driver for its devices cannot be forked: no child could make a
    context. NVML answers the same question without the driver.
    """
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    yield
    # Some releases of ultralytics hide every GPU where the CPU is asked for.
    if visible is None:
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    else:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible


def reseed() -> None:
    """Draw different random numbers than the process that this one was forked from."""
    import torch  # noqa: PLC0415

    torch.seed()


def require_device(device: str) -> None:
    """Raises BoxError where torch has no such device."""
    import torch  # noqa: PLC0415

    kind, _, index = device.partition(":")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise BoxError(
            f"This box has no GPU {device!r} that torch can use.",
            hint="Set slots.device to cpu, or check the driver and torch's CUDA build.",
        )


def leave_free(device: str, headroom_bytes: int) -> None:
    """Limit torch to the free memory without the headroom: the active model needs its own."""
    import torch  # noqa: PLC0415

    free, total = torch.cuda.mem_get_info(device)
    ours = free + torch.cuda.memory_reserved(device) - headroom_bytes
    torch.cuda.set_per_process_memory_fraction(min(max(ours / total, 0.0), 1.0), device)
