"""Makes little real networks, never trained: python -m tests.sim.weights FOLDER [FORMAT …]

They run in a process of their own, because a library that builds and exports networks changes the
process that it is in. The head's bias is set so that an untrained network finds something.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

TINY = """
nc: 3
kpt_shape: [4, 3]
scales: {n: [0.33, 0.125, 1024]}
backbone:
  - [-1, 1, Conv, [64, 3, 2]]
  - [-1, 1, Conv, [128, 3, 2]]
  - [-1, 1, C2f, [128, True]]
  - [-1, 1, Conv, [256, 3, 2]]
  - [-1, 1, SPPF, [256, 5]]
head:
  - [-1, 1, nn.Upsample, [None, 2, nearest]]
  - [[-1, 2], 1, Concat, [1]]
  - [-1, 1, C2f, [128]]
  - [[4, 7], 1, Detect, [nc]]
"""
DETECT = "[[4, 7], 1, Detect, [nc]]"
OTHER_HEADS = {
    "segment": "[[4, 7], 1, Segment, [nc, 8, 16]]",
    "pose": "[[4, 7], 1, Pose, [nc, kpt_shape]]",
    "obb": "[[4, 7], 1, OBB, [nc, 1]]",
    "classify": "[-1, 1, Classify, [nc]]",
}
"""The same little network for the other tasks."""
CLASSES = ("bottle", "scratch", "dent")
MANY_NAMES = tuple(f"thing {number}" for number in range(80))


class Canary:
    """Unpickling it makes a file: the sign that foreign code was run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mknod, (str(self.path),))


def make(folder: Path, formats: list[str]) -> None:
    """Write tiny.pt, nan.pt, three hostile .pt files, a .pt of each other task, and exports.

    `two_names` and `many_names` are tiny with a table of names that is not its head's, in the same
    formats; suppressed.onnx has two names, sees class 2, and has the suppression inside the graph.
    """
    import torch  # noqa: PLC0415 - only where it is run
    from ultralytics.models import YOLO  # noqa: PLC0415

    tiny = _untrained(folder, "tiny", "detect", TINY)
    _favour(tiny, [1.0, 0.0, -1.0])
    tiny.save(str(folder / "tiny.pt"))
    for name in formats:
        YOLO(str(folder / "tiny.pt")).export(format=name, imgsz=64, verbose=False)
    for stem, names in (("two_names", CLASSES[:2]), ("many_names", MANY_NAMES)):
        tiny.model.names = dict(enumerate(names))
        tiny.save(str(folder / f"{stem}.pt"))
        for name in formats:
            YOLO(str(folder / f"{stem}.pt")).export(format=name, imgsz=64, verbose=False)
    tiny.model.names = dict(enumerate(CLASSES))
    if "onnx" in formats:
        _favour(tiny, [-1.0, 0.0, 1.0])
        tiny.save(str(folder / "suppressed.pt"))
        _favour(tiny, [1.0, 0.0, -1.0])
        YOLO(str(folder / "suppressed.pt")).export(
            format="onnx", imgsz=64, nms=True, conf=0.01, simplify=False, verbose=False
        )
        _rename(folder / "suppressed.onnx", CLASSES[:2])
    tiny.model.model[0].conv.weight.data[0, 0, 0, 0] = float("nan")
    tiny.save(str(folder / "nan.pt"))
    for task, head in OTHER_HEADS.items():
        other = _untrained(folder, task, task, TINY.replace(DETECT, head))
        if task != "classify":
            _favour(other, [1.0, 0.0, -1.0])
        other.save(str(folder / f"{task}.pt"))
        if "onnx" in formats:
            YOLO(str(folder / f"{task}.pt")).export(format="onnx", imgsz=64, verbose=False)

    canary = Canary(folder / "canary")
    honest = torch.load(folder / "tiny.pt", weights_only=False)
    torch.save({**honest, "train_args": {"lr0": canary}}, folder / "hostile_zip.pt")
    torch.save(canary, folder / "hostile_bare.pt")
    (folder / "hostile_pickle.pt").write_bytes(pickle.dumps(canary))


def _untrained(folder: Path, stem: str, task: str, network: str) -> Any:
    """A network of this description; its first weights are always the same."""
    import torch  # noqa: PLC0415
    from ultralytics.models import YOLO  # noqa: PLC0415

    torch.manual_seed(7)
    recipe = folder / f"{stem}.yaml"
    recipe.write_text(network, encoding="utf-8")
    made = YOLO(str(recipe), task=task)
    made.model.names = dict(enumerate(CLASSES))
    for part in made.model.modules():
        if isinstance(part, torch.nn.Conv2d) and part.weight.requires_grad:
            torch.nn.init.kaiming_normal_(part.weight)  # or the picture would not reach the head
    return made


def _favour(tiny: Any, biases: list[float]) -> None:
    """How much the head likes each class, whatever it sees."""
    for branch in tiny.model.model[-1].cv3:
        branch[-1].bias.data[:] = branch[-1].bias.data.new_tensor(biases)


def _rename(path: Path, names: tuple[str, ...]) -> None:
    """Another table of names in an ONNX file."""
    import onnx  # noqa: PLC0415

    model = onnx.load(path)
    for entry in model.metadata_props:
        if entry.key == "names":
            entry.value = str(dict(enumerate(names)))
    onnx.save(model, path)


def made_elsewhere(folder: Path, *formats: str) -> Path:
    """`make` in a process of its own; returns the folder, where no canary has sung."""
    subprocess.run(
        [sys.executable, "-m", "tests.sim.weights", str(folder), *formats],
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p or "." for p in sys.path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return folder


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        os.environ.update(YOLO_CONFIG_DIR=scratch, YOLO_OFFLINE="1", YOLO_AUTOINSTALL="false")
        make(Path(sys.argv[1]), sys.argv[2:])
