"""torchvision comes without torch's compiler, and what would need it gets it."""

from __future__ import annotations

import os
import subprocess
import sys

IMPORTED = """
import sys
from edge_daemon.models.quick_import import import_torchvision
import_torchvision()
print("torch._dynamo" in sys.modules, "torch._dynamo.utils" in sys.modules)
import torch
from torchvision.ops import nms
boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 5.0], [9.0, 9.0, 12.0, 12.0]])
print(nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5).tolist())
from torchvision.ops import roi_align  # the function; the module is behind it
deferred = sys.modules["torchvision.ops.roi_align"].__dict__.get("is_compile_supported")
import torch._dynamo.utils as real
print(deferred is None or deferred("cpu") == real.is_compile_supported("cpu"))
import_torchvision()
print(sys.modules["torch._dynamo.utils"] is real)
"""


def test_the_compiler_is_imported_by_whoever_asks_for_it() -> None:
    """Boxes are suppressed without it; afterwards the real one is found by its name."""
    path = os.pathsep.join(entry or "." for entry in sys.path)
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.stdout.splitlines() == ["False False", "[0, 2]", "True", "True"]
