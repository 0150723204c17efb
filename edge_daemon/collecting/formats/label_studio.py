"""Label Studio: `tasks.json` with predictions of each model, and `config.xml` for the project.

Boxes are in percent of the picture. What people submit comes back as `annotations`; a task without
one was not looked at.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from edge_daemon.collecting.formats.dataset import (
    MOST_LABEL_BYTES,
    Boxed,
    Dataset,
    Item,
    Label,
    Labels,
    reading,
)
from edge_daemon.core.golden import ExpectedBox
from edge_daemon.core.values import Verdict
from edge_daemon.documents import read_text

LOCAL = "/data/local-files/?d=images/"
"""How its local storage names a file below the folder that it serves."""


def write(data: Dataset, folder: Path) -> None:
    """Below a folder that is there; the pictures lie in `images/`."""
    tasks = [task(item, f"{LOCAL}{item.name}") for item in data.items]
    (folder / "tasks.json").write_text(json.dumps(tasks, ensure_ascii=False), encoding="utf-8")
    (folder / "config.xml").write_text(config(data.classes), encoding="utf-8")


def config(classes: Sequence[str]) -> str:
    """The labelling interface: boxes of these classes, and the verdict on the part."""
    labels = "\n".join(f"    <Label value={quoteattr(name)}/>" for name in classes)
    return f"""<View>
  <Image name="image" value="$image"/>
  <RectangleLabels name="label" toName="image">
{labels}
  </RectangleLabels>
  <Choices name="verdict" toName="image" choice="single" showInline="true">
    <Choice value="ok"/>
    <Choice value="ng"/>
  </Choices>
</View>
"""


def task(item: Item, address: str) -> dict[str, Any]:
    """One picture as a task; `address`: where Label Studio finds it."""
    size = item.record.size
    annotations = []
    if item.truth is not None or item.verdict is not None:
        result = [_rectangle(each, size, n) for n, each in enumerate(item.truth or ())]
        if item.verdict is not None:
            result.append(_choice(item.verdict, size))
        annotations.append({"result": result, "ground_truth": True})
    return {
        "data": {
            "image": address,
            "name": item.record.name,
            "split": item.split,
            "reasons": [why.value for why in item.record.reasons],
            "parts": [part.unit for part in item.record.parts],
        },
        "annotations": annotations,
        "predictions": [
            {
                "model_version": opinion.model,
                "score": max((each.confidence or 0.0 for each in opinion.boxes), default=0.0),
                "result": [
                    *(_rectangle(each, size, n) for n, each in enumerate(opinion.boxes)),
                    *([_choice(opinion.verdict, size)] if opinion.verdict in {"ok", "ng"} else []),
                ],
            }
            for opinion in item.opinions
        ],
    }


def _rectangle(boxed: Boxed, size: tuple[int, int], number: int) -> dict[str, Any]:
    (x1, y1, x2, y2), (width, height) = boxed.box, size
    plain: dict[str, Any] = {
        "id": f"box{number}",
        "type": "rectanglelabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {
            "x": 100 * x1 / width,
            "y": 100 * y1 / height,
            "width": 100 * (x2 - x1) / width,
            "height": 100 * (y2 - y1) / height,
            "rotation": 0,
            "rectanglelabels": [boxed.label],
        },
    }
    if boxed.confidence is not None:
        plain["score"] = boxed.confidence
    return plain


def _choice(verdict: str, size: tuple[int, int]) -> dict[str, Any]:
    return {
        "id": "verdict",
        "type": "choices",
        "from_name": "verdict",
        "to_name": "image",
        "original_width": size[0],
        "original_height": size[1],
        "image_rotation": 0,
        "value": {"choices": [verdict]},
    }


def read(file: Path) -> Labels:
    """A project's export as JSON. Of several annotations the last counts. Raises SenderError."""
    with reading(file, "Label Studio"):
        plain = json.loads(read_text(file, MOST_LABEL_BYTES))
        if not isinstance(plain, list):
            raise ValueError("it is no list of tasks")
        labels = [
            _label(_name(each), annotations[-1]["result"])
            for each in plain
            if (annotations := [a for a in each["annotations"] if not a.get("was_cancelled")])
        ]
    return Labels(labels)


def _name(plain: Mapping[str, Any]) -> str:
    data = plain["data"]
    return str(data.get("name") or Path(str(data["image"])).name)


def _label(name: str, results: Sequence[Mapping[str, Any]]) -> Label:
    boxes, verdict = [], None
    for each in results:
        value = each["value"]
        if each["type"] == "rectanglelabels":
            width, height = each["original_width"] / 100, each["original_height"] / 100
            x, y = value["x"] * width, value["y"] * height
            box = (x, y, x + value["width"] * width, y + value["height"] * height)
            if not all(map(math.isfinite, box)):
                raise ValueError("a box is no number")
            boxes.append(ExpectedBox(str(value["rectanglelabels"][0]), box))
        elif each["type"] == "choices" and value["choices"][0] in {"ok", "ng"}:
            verdict = Verdict(value["choices"][0])
    return Label(name, tuple(boxes), verdict)
