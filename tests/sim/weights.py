"""Makes little real networks, never trained: python -m tests.sim.weights FOLDER [PART …]

They run in a process of their own, because a library that builds and exports networks changes the
process that it is in. The head's bias is set so that an untrained network finds something.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

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
FORMATS = {"torchscript", "onnx", "openvino"}
CLASSES = ("bottle", "scratch", "dent")
MANY_NAMES = tuple(f"thing {number}" for number in range(80))


class Canary:
    """Unpickling it makes a file: the sign that foreign code was run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mknod, (str(self.path),))


def make(folder: Path, parts: Collection[str]) -> None:
    """Write tiny.pt, nan.pt, three hostile .pt files, and what `parts` names.

    torchscript, onnx, openvino: tiny in these formats.
    names: `two_names` and `many_names`, which are tiny in all formats with a table of names that is
        not its head's; suppressed.onnx has two names, sees class 2, and has the suppression inside
        the graph.
    tasks: a .pt and an .onnx of each other task.
    """
    import torch  # noqa: PLC0415 - only where it is run

    tiny = _untrained(folder, "tiny", "detect", TINY)
    _favour(tiny, [1.0, 0.0, -1.0])
    tiny.save(str(folder / "tiny.pt"))
    for name in FORMATS & set(parts):
        _export(folder / "tiny.pt", name)
    if "names" in parts:
        for stem, names in (("two_names", CLASSES[:2]), ("many_names", MANY_NAMES)):
            tiny.model.names = dict(enumerate(names))
            tiny.save(str(folder / f"{stem}.pt"))
            _rename_exports(folder, stem, names)
        tiny.model.names = dict(enumerate(CLASSES))
        _favour(tiny, [-1.0, 0.0, 1.0])
        tiny.save(str(folder / "suppressed.pt"))
        _favour(tiny, [1.0, 0.0, -1.0])
        _export(folder / "suppressed.pt", "onnx", nms=True, conf=0.01, simplify=False)
        _rename_onnx(folder / "suppressed.onnx", folder / "suppressed.onnx", CLASSES[:2])
    tiny.model.model[0].conv.weight.data[0, 0, 0, 0] = float("nan")
    tiny.save(str(folder / "nan.pt"))
    if "tasks" in parts:
        for task, head in OTHER_HEADS.items():
            other = _untrained(folder, task, task, TINY.replace(DETECT, head))
            if task != "classify":
                _favour(other, [1.0, 0.0, -1.0])
            other.save(str(folder / f"{task}.pt"))
            _export(folder / f"{task}.pt", "onnx")

    canary = Canary(folder / "canary")
    honest = torch.load(folder / "tiny.pt", weights_only=False)
    torch.save({**honest, "train_args": {"lr0": canary}}, folder / "hostile_zip.pt")
    torch.save(canary, folder / "hostile_bare.pt")
    (folder / "hostile_pickle.pt").write_bytes(pickle.dumps(canary))


def _export(weights: Path, name: str, **options: object) -> None:
    from ultralytics.models import YOLO  # noqa: PLC0415

    YOLO(str(weights)).export(format=name, imgsz=64, verbose=False, **options)


def _rename_exports(folder: Path, stem: str, names: tuple[str, ...]) -> None:
    """The exports of tiny under another name and with another table of names: the networks are the
    same, so nothing is exported again.
    """
    import torch  # noqa: PLC0415

    _rename_onnx(folder / "tiny.onnx", folder / f"{stem}.onnx", names)
    said = {"config.txt": ""}
    script = torch.jit.load(folder / "tiny.torchscript", _extra_files=said)
    told = json.loads(said["config.txt"]) | {"names": dict(enumerate(names))}
    script.save(str(folder / f"{stem}.torchscript"), _extra_files={"config.txt": json.dumps(told)})
    place = folder / f"{stem}_openvino_model"
    shutil.copytree(folder / "tiny_openvino_model", place)
    for path in place.glob("tiny.*"):
        path.rename(path.with_stem(stem))
    about = place / "metadata.yaml"
    told = yaml.safe_load(about.read_text(encoding="utf-8")) | {"names": dict(enumerate(names))}
    about.write_text(yaml.safe_dump(told), encoding="utf-8")


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


def _rename_onnx(path: Path, to: Path, names: tuple[str, ...]) -> None:
    """The same network with another table of names."""
    import onnx  # noqa: PLC0415

    model = onnx.load(path)
    for entry in model.metadata_props:
        if entry.key == "names":
            entry.value = str(dict(enumerate(names)))
    onnx.save(model, to)


def made_elsewhere(folder: Path, *parts: str) -> Path:
    """`make` in a process of its own; returns the folder, where no canary has sung."""
    subprocess.run(
        [sys.executable, "-m", "tests.sim.weights", str(folder), *parts],
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
