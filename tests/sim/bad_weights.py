"""Weights that load, or seem to, and must not judge: made with torch, in a process of its own.

    python -m tests.sim.bad_weights GOOD.pt FOLDER CANARY

Each file is described and signed honestly by `tests.sim.bad_bundles`: only running it tells. What
could touch CANARY would have broken out.
"""

from __future__ import annotations

import copy
import io
import os
import pickle
import sys
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.update(YOLO_OFFLINE="1", YOLO_AUTOINSTALL="false", YOLO_VERBOSE="false")

import torch

BOMB_BYTES = 2 << 30


class Evil:
    """A pickle that runs a program when it is read."""

    def __init__(self, canary: str) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.canary}",)


class Maker:
    """Variants of one good checkpoint."""

    def __init__(self, good: Path, folder: Path, canary: str) -> None:
        self._good = good
        self._folder = folder
        self._canary = canary
        self._checkpoint = torch.load(good, map_location="cpu", weights_only=False)

    def run(self) -> None:
        self.networks()
        self.pickles()
        self.files()
        self.scripts()
        self.onnx()

    def variant(self, name: str, change: Callable[[Any], None]) -> None:
        checkpoint = copy.deepcopy(self._checkpoint)
        with torch.no_grad():
            change(checkpoint["model"])
        torch.save(checkpoint, self._folder / f"{name}.pt")

    # ------------------------------------------------------------------ networks

    def networks(self) -> None:
        def poison(net: Any) -> None:
            for parameter in net.parameters():
                parameter.fill_(float("nan"))

        def infect(net: Any) -> None:
            next(net.model[-1].parameters()).view(-1)[0] = float("inf")

        def deafen(net: Any) -> None:
            for parameter in net.model[-1].parameters():
                parameter.zero_()

        def hallucinate(net: Any) -> None:
            for branch in net.model[-1].cv3:
                branch[-1].bias.fill_(20.0)

        def rename(net: Any) -> None:
            net.names = {0: "scratch", 1: "bottle", 2: "dent"}

        def permute(net: Any) -> None:
            for branch in net.model[-1].cv3:
                for parameter in (branch[-1].weight, branch[-1].bias):
                    parameter.copy_(parameter[[1, 0, 2]].clone())

        def fork(net: Any) -> None:
            net.model[2].f = 99

        def dim(net: Any) -> None:
            net.model[0].conv.weight.mul_(0.2)

        def swell(net: Any) -> None:
            net.register_buffer("pad", torch.zeros(1, dtype=torch.half).expand(1 << 34))

        for name, change in {
            "nan": poison,
            "infinity": infect,
            "deaf": deafen,
            "everything": hallucinate,
            "renamed": rename,
            "permuted": permute,
            "fork": fork,
            "worse": dim,
            "swollen": swell,
        }.items():
            self.variant(name, change)

    # ------------------------------------------------------------------ pickles

    def pickles(self) -> None:
        evil = Evil(self._canary)
        torch.save({"model": evil}, self._folder / "pickle.pt")
        (self._folder / "legacy.pt").write_bytes(pickle.dumps({"model": evil}))
        torch.save(
            {**self._checkpoint, "train_args": evil}, self._folder / "passenger.pt"
        )  # beside a network that is quite right
        torch.save({"model": torch.nn.Linear(2, 2).state_dict()}, self._folder / "nomodel.pt")
        forked = types.ModuleType("forkedyolo")
        block = type("Block", (torch.nn.Identity,), {"__module__": "forkedyolo"})
        forked.Block = block  # type: ignore[attr-defined]
        sys.modules["forkedyolo"] = forked
        self.variant("unknown", lambda net: net.add_module("extra", block()))

    def files(self) -> None:
        (self._folder / "noise.pt").write_bytes(os.urandom(200_000))
        (self._folder / "empty.pt").write_bytes(b"\0")
        good = self._good.read_bytes()
        (self._folder / "half.pt").write_bytes(good[: len(good) // 2])
        for suffix in ("torchscript", "onnx", "engine"):
            (self._folder / f"noise.{suffix}").write_bytes(os.urandom(200_000))
        self._zip_bomb()

    def _zip_bomb(self) -> None:
        """The good checkpoint with one tensor's bytes replaced by two gigabytes of nothing."""
        with (
            zipfile.ZipFile(self._good) as source,
            zipfile.ZipFile(
                self._folder / "bomb.pt", "w", zipfile.ZIP_DEFLATED, compresslevel=1
            ) as bomb,
        ):
            for entry in source.infolist():
                if not entry.filename.endswith("/data/0"):
                    bomb.writestr(entry.filename, source.read(entry))
                    continue
                with bomb.open(entry.filename, "w", force_zip64=True) as stream:
                    for _ in range(BOMB_BYTES >> 24):
                        stream.write(bytes(1 << 24))

    # ------------------------------------------------------------------ scripts

    def scripts(self) -> None:
        """TorchScript: programs that run while they are loaded, or at an inference."""
        from ultralytics import YOLO  # noqa: PLC0415

        exported = self._folder / "good.pt"
        exported.write_bytes(self._good.read_bytes())
        path = YOLO(str(exported)).export(format="torchscript", imgsz=320)
        extra = {"config.txt": ""}
        inner = torch.jit.load(path, _extra_files=extra)
        # What they open counts in what they give back: dead code is never run.
        source = _SCRIPTS.replace("CANARY", self._canary)
        module = types.ModuleType("scripts_made")
        file = self._folder / "scripts_made.py"  # torch.jit reads the source from a file
        file.write_text(source)
        module.__file__ = str(file)
        exec(compile(source, str(file), "exec"), module.__dict__)
        for name in ("Slow", "Dim", "Late", "Hang", "HogAtWork", "Writer", "Reader"):
            made = torch.jit.script(module.__dict__[name](inner).eval())
            torch.jit.save(made, self._folder / f"{name.lower()}.torchscript", _extra_files=extra)
        for name in ("HangAtLoad", "HogAtLoad", "WriterAtLoad"):
            made = torch.jit.script(module.__dict__[name]().eval())
            torch.jit.save(made, self._folder / f"{name.lower()}.torchscript", _extra_files=extra)

    def onnx(self) -> None:
        """A network whose weights lie in another file, and one that asks for all memory."""
        import onnx  # noqa: PLC0415
        from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415

        shape = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 320, 320])
        out = helper.make_tensor_value_info("output0", TensorProto.FLOAT, None)
        size = numpy_helper.from_array(torch.tensor([1 << 36]).numpy(), "size")
        node = helper.make_node("ConstantOfShape", ["size"], ["output0"])
        graph = helper.make_graph([node], "hog", [shape], [out], [size])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        (self._folder / "hog.onnx").write_bytes(model.SerializeToString())
        tensor = numpy_helper.from_array(torch.zeros(1000).numpy(), "outside")
        graph = helper.make_graph(
            [helper.make_node("Identity", ["outside"], ["output0"])], "x", [shape], [out], [tensor]
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        buffer = io.BytesIO()
        onnx.external_data_helper.set_external_data(model.graph.initializer[0], "/etc/passwd")
        model.graph.initializer[0].ClearField("raw_data")
        buffer.write(model.SerializeToString())
        (self._folder / "external.onnx").write_bytes(buffer.getvalue())


_SCRIPTS = """
from typing import List, Tuple
import torch
from torch import nn, Tensor

class Slow(nn.Module):
    def __init__(self, inner):
        super().__init__(); self.inner = inner
    def forward(self, x: Tensor):
        y = self.inner(x)
        for _ in range(7):
            y = self.inner(x)
        return y

class Dim(nn.Module):
    def __init__(self, inner):
        super().__init__(); self.inner = inner
    def forward(self, x: Tensor):
        y = self.inner(x)
        if float(x.mean()) < 0.34:
            y[:, 5] = y[:, 5] * 0.01
        return y

class Late(nn.Module):
    def __init__(self, inner):
        super().__init__(); self.inner = inner
        self.register_buffer("count", torch.zeros(1))
    def forward(self, x: Tensor):
        self.count += 1
        assert int(self.count) < 15, "enough"
        return self.inner(x)

class Hang(nn.Module):
    def __init__(self, inner):
        super().__init__(); self.inner = inner
    def forward(self, x: Tensor):
        n = 0
        while n >= 0:
            n = (n + 1) % 1000
        return self.inner(x)

class HogAtWork(nn.Module):
    def __init__(self, inner):
        super().__init__(); self.inner = inner
    def forward(self, x: Tensor):
        kept: List[Tensor] = []
        while len(kept) < 100000:
            kept.append(torch.ones([1 << 22]))
        return self.inner(x)

class Writer(nn.Module):
    def __init__(self, inner):
        super().__init__(); self.inner = inner
    def forward(self, x: Tensor):
        t = torch.from_file("CANARY", True, 16)
        t.fill_(1.0)
        return self.inner(x) + t.sum() * 0.0

class Reader(nn.Module):
    def __init__(self, inner):
        super().__init__(); self.inner = inner
    def forward(self, x: Tensor):
        t = torch.from_file("/etc/shadow", False, 4)
        return self.inner(x) + t.sum() * 0.0

class HangAtLoad(nn.Module):
    def __init__(self):
        super().__init__(); self.n = 0
    def forward(self, x: Tensor):
        return x
    @torch.jit.export
    def __getstate__(self):
        return (self.n, self.training)
    @torch.jit.export
    def __setstate__(self, state: Tuple[int, bool]):
        self.training = state[1]
        self.n = state[0]
        while self.n >= 0:
            self.n = (self.n + 1) % 1000

class HogAtLoad(nn.Module):
    def __init__(self):
        super().__init__(); self.n = 0
    def forward(self, x: Tensor):
        return x
    @torch.jit.export
    def __getstate__(self):
        return (self.n, self.training)
    @torch.jit.export
    def __setstate__(self, state: Tuple[int, bool]):
        self.training = state[1]
        self.n = state[0]
        kept: List[Tensor] = []
        while len(kept) < 100000:
            kept.append(torch.ones([1 << 22]))

class WriterAtLoad(nn.Module):
    def __init__(self):
        super().__init__(); self.n = 0
    def forward(self, x: Tensor):
        return x
    @torch.jit.export
    def __getstate__(self):
        return (self.n, self.training)
    @torch.jit.export
    def __setstate__(self, state: Tuple[int, bool]):
        self.training = state[1]
        self.n = state[0]
        t = torch.from_file("CANARY", True, 16)
        t.fill_(1.0)
        self.n = int(t.sum())
"""


if __name__ == "__main__":
    Maker(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]).run()
