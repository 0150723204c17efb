"""Reads an export with datumaro or Label Studio's SDK: a program for the Python that has them.

    python labelling_tools.py datumaro KIND FOLDER
    python labelling_tools.py label-studio FOLDER

That Python is in .venv-labelling, which `scripts/setup --test` makes, or another one that
EDGE_DAEMON_LABELLING_PYTHON names: the tools need other versions of numpy and OpenCV than the
daemon. Printed is one JSON object: picture -> [[class, [x1, y1, x2, y2], model], …], and what the
tool finds wrong, under `faults`.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

_OWN = Path(__file__).parents[2] / ".venv-labelling"
_NAMED = os.environ.get("EDGE_DAEMON_LABELLING_PYTHON", "")
PYTHON = _NAMED or str(_OWN / "bin" / "python")
MISSING = "needs .venv-labelling (scripts/setup --test), or EDGE_DAEMON_LABELLING_PYTHON"


def is_installed() -> bool:
    """What was not installed whole has no stamp."""
    is_whole = bool(_NAMED) or (_OWN / "edge-daemon.stamp").exists()
    return is_whole and shutil.which(PYTHON) is not None


def read(*words: str) -> dict[str, Any]:
    """What the tool says, asked in a process of its own."""
    outside = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    asked = subprocess.run(
        [PYTHON, __file__, *words], check=True, capture_output=True, text=True, env=outside
    )
    return dict(json.loads(asked.stdout))


def _by_datumaro(kind: str, folder: Path) -> dict[str, Any]:
    import datumaro  # noqa: PLC0415 - only in the other Python

    found = datumaro.Dataset.import_from(str(folder), kind)
    names = found.categories()[datumaro.AnnotationType.label]
    return {
        item.id.rpartition("/")[2]: [
            [names[each.label].name, each.points, each.attributes.get("model", "")]
            for each in item.annotations
            if each.type == datumaro.AnnotationType.bbox
        ]
        for item in found
    }


def _by_label_studio(folder: Path) -> dict[str, Any]:
    """Its own check of the project, each task and each result; the boxes by its COCO converter.

    A task without annotations is taken as if somebody had submitted its first prediction.
    """
    from label_studio_sdk.converter import Converter  # noqa: PLC0415
    from label_studio_sdk.label_interface import LabelInterface  # noqa: PLC0415

    logging.disable()
    config = (folder / "config.xml").read_text()
    tasks = json.loads((folder / "tasks.json").read_text())
    interface = LabelInterface(config)
    interface.validate()
    faults: list[str] = []
    for number, task in enumerate(tasks):
        if not interface.validate_task({"data": task["data"]}):
            faults.append(f"task {number}")
        for said in (*task["annotations"], *task["predictions"]):
            faults += interface.validate_prediction(said, return_errors=True)
        task |= {"id": number, "annotations": task["annotations"] or task["predictions"][:1]}
        for each in task["annotations"]:
            each["id"] = number
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "in.json").write_text(json.dumps(tasks))
        converter = Converter(config, scratch, upload_dir=scratch, download_resources=False)
        converter.convert_to_coco(f"{scratch}/in.json", f"{scratch}/out", is_dir=False)
        made = json.loads((Path(scratch) / "out/result.json").read_text())
    # Its converter leaves out pictures without a box.
    boxes: dict[str, list[object]] = {task["data"]["name"]: [] for task in tasks}
    names = {each["id"]: each["name"] for each in made["categories"]}
    pictures = {each["id"]: PurePosixPath(each["file_name"]).stem for each in made["images"]}
    for each in made["annotations"]:
        x, y, width, height = each["bbox"]
        box = [x, y, x + width, y + height]
        boxes[pictures[each["image_id"]]].append([names[each["category_id"]], box, ""])
    return {**boxes, "faults": faults}


if __name__ == "__main__":
    if sys.argv[1] == "datumaro":
        told = _by_datumaro(sys.argv[2], Path(sys.argv[3]))
    else:
        told = _by_label_studio(Path(sys.argv[2]))
    sys.stdout.write(json.dumps(told))
