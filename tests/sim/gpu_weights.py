"""Networks that misbehave on a GPU: python -m tests.sim.gpu_weights FOLDER

FOLDER holds what `weights` made with a TorchScript export. Adds greedy.torchscript, which takes
all memory of the device at its first inference, and faulty.torchscript, whose kernel reads beside
its table: the device ends every later call of the process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path

_SCRIPTS = """
from typing import List
import torch
from torch import Tensor, nn

class Greedy(nn.Module):
    def forward(self, x: Tensor):
        kept: List[Tensor] = []
        while len(kept) < 100000:
            kept.append(torch.ones([1 << 27], device=x.device))
        return x

class Faulty(nn.Module):
    def forward(self, x: Tensor):
        table = torch.zeros([4], device=x.device)
        beside = torch.full([8], 99, dtype=torch.int64, device=x.device)
        return x + table[beside].sum()
"""


def make(folder: Path) -> None:
    import torch  # noqa: PLC0415 - only where it is run

    extra = {"config.txt": ""}  # names, task and stride, as an export carries them
    torch.jit.load(folder / "tiny.torchscript", _extra_files=extra)
    module = types.ModuleType("scripts_made")
    file = folder / "scripts_made.py"  # torch.jit reads the source from a file
    file.write_text(_SCRIPTS, encoding="utf-8")
    module.__file__ = str(file)
    exec(compile(_SCRIPTS, str(file), "exec"), module.__dict__)
    for name in ("Greedy", "Faulty"):
        made = torch.jit.script(module.__dict__[name]().eval())
        torch.jit.save(made, folder / f"{name.lower()}.torchscript", _extra_files=extra)


def add_elsewhere(folder: Path) -> None:
    """`make` in a process of its own."""
    subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.sim.gpu_weights", str(folder)],
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p or "." for p in sys.path)},
    )


if __name__ == "__main__":
    make(Path(sys.argv[1]))
