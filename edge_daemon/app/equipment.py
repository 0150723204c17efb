"""What models run on here: the processor or graphics card, its driver, and the libraries."""

from __future__ import annotations

import platform

from edge_daemon.config import SlotsSettings
from edge_daemon.host.box import processor
from edge_daemon.host.gpu import Gpu
from edge_daemon.models.versions import installed

LIBRARIES = (
    *("ultralytics", "torch", "torchvision", "numpy", "opencv-python-headless"),
    *("tensorrt", "openvino", "onnxruntime", "onnxruntime-gpu"),
)
"""All libraries that influence what a model sees."""


def equipment(slots: SlotsSettings, gpu: Gpu | None) -> dict[str, str]:
    """Texts by name; empty for what is not there.

    Versions are those on disk now: a worker that starts from here on imports them.
    """
    return {
        "device": slots.device,
        "processor": processor(),
        "gpu": f"{gpu.name} {gpu.capability or ''}".strip() if gpu else "",
        "driver": gpu.driver if gpu else "",
        "python": platform.python_version(),
        **{name: version or "" for name, version in installed(LIBRARIES).items()},
    }
