"""The models that are swapped: python -m bench_rig.weights FOLDER IMGSZ

In a process of its own, because a library that builds networks changes its process. Writes
same.pt and other.pt (the demo's bottle models), large.pt (four times as large, never trained),
corrupt.pt, raises.pt (loads, and fails at its first inference), hangs.torchscript (its loading
never returns), and found.json: what each good one sees on the golden images.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

BUNDLES = Path(__file__).resolve().parents[2] / "edge_daemon/demo/bundles/bottle"
CLASSES = ("bottle", "scratch", "dent")
GOOD = ("same", "other", "large")


def make(folder: Path, imgsz: int) -> None:
    import yaml
    from ultralytics import YOLO

    shutil.copy(BUNDLES / "1.1.0/weights.pt", folder / "same.pt")
    shutil.copy(BUNDLES / "1.0.0/weights.pt", folder / "other.pt")
    model: Any = YOLO(str(folder / "same.pt"))
    wide = copy.deepcopy(model.model.yaml) | {"scale": "n"}
    wide["scales"] = {"n": [0.33, 0.25, 896]}
    (folder / "wide-n.yaml").write_text(yaml.safe_dump(wide))
    large: Any = YOLO(str(folder / "wide-n.yaml"), task="detect")
    large.model.names = dict(enumerate(CLASSES))
    large.save(str(folder / "large.pt"))
    content = bytearray((folder / "same.pt").read_bytes())
    content[len(content) // 4 : len(content) // 2] = bytes(len(content) // 4)
    (folder / "corrupt.pt").write_bytes(content)
    broken: Any = YOLO(str(folder / "same.pt"))
    broken.model.model[2].f = 99  # takes its input from a layer that is not there
    broken.save(str(folder / "raises.pt"))
    _save_hanging(folder / "hangs.torchscript")
    found = {name: _found(YOLO(str(folder / f"{name}.pt")), imgsz) for name in GOOD}
    (folder / "found.json").write_text(json.dumps(found))


def _found(model: Any, imgsz: int) -> dict[str, list[dict[str, object]]]:
    seen: dict[str, list[dict[str, object]]] = {}
    for image in sorted((BUNDLES / "1.1.0/golden").glob("*.jpg")):
        (result,) = model.predict(str(image), imgsz=imgsz, conf=0.35, verbose=False, device="cpu")
        _, width = result.orig_shape
        seen[image.name] = [
            {
                "class": CLASSES[int(label)],
                "box": [max(0, round(x1)), max(0, round(y1)), min(width, round(x2)), round(y2)],
            }
            for (x1, y1, x2, y2), label in zip(
                result.boxes.xyxy.tolist(), result.boxes.cls.tolist(), strict=True
            )
        ]
    return seen


def _save_hanging(path: Path) -> None:
    import torch

    class Hangs(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.n = 0

        def forward(self, x):  # type: ignore[no-untyped-def]
            return x

        @torch.jit.export
        def __getstate__(self):  # type: ignore[no-untyped-def]
            return (self.n, self.training)

        @torch.jit.export
        def __setstate__(self, state: tuple[int, bool]):  # type: ignore[no-untyped-def]
            self.training = state[1]
            self.n = state[0]
            while self.n >= 0:
                self.n = self.n + 1 - 1

    torch.jit.save(torch.jit.script(Hangs()), str(path))


if __name__ == "__main__":
    os.environ.update(YOLO_OFFLINE="1", YOLO_AUTOINSTALL="false", YOLO_VERBOSE="false")
    os.environ["YOLO_CONFIG_DIR"] = sys.argv[1]
    make(Path(sys.argv[1]), int(sys.argv[2]))
