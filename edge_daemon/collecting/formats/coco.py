"""COCO: `annotations/instances_<split>.json`, and what the models found in `predictions.json`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from edge_daemon.collecting.formats.dataset import (
    MARKER,
    MOST_LABEL_BYTES,
    Dataset,
    Item,
    Label,
    Labels,
    reading,
)
from edge_daemon.core.collecting.split import SPLITS
from edge_daemon.core.golden import ExpectedBox
from edge_daemon.documents import read_text


def write(data: Dataset, folder: Path) -> None:
    """Below a folder that is there; the pictures lie in `images/`."""
    numbers = {item.name: number for number, item in enumerate(data.items, start=1)}
    (folder / "annotations").mkdir()
    for split in SPLITS:
        items = data.of_split(split)
        if items:
            plain = _instances(data, items, numbers)
            (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(plain))
    predictions = [
        {
            "image_id": numbers[item.name],
            "category_id": data.index[each.label] + 1,
            "bbox": _bbox(each.box),
            "score": each.confidence or 0.0,
            "model": opinion.model,
        }
        for item in data.items
        for opinion in item.opinions
        for each in opinion.boxes
    ]
    (folder / "predictions.json").write_text(json.dumps(predictions))


def _instances(data: Dataset, items: list[Item], numbers: dict[str, int]) -> dict[str, Any]:
    annotations: list[dict[str, Any]] = []
    for item in items:
        for each in item.boxes:
            x, y, width, height = _bbox(each.box)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": numbers[item.name],
                    "category_id": data.index[each.label] + 1,
                    "bbox": [x, y, width, height],
                    "area": width * height,
                    "segmentation": [],
                    "iscrowd": 0,
                    "attributes": {"by": item.by},
                }
            )
    return {
        "info": {"description": MARKER, "version": "1"},
        "licenses": [],
        "images": [
            {
                "id": numbers[item.name],
                "file_name": item.name,
                "width": item.record.size[0],
                "height": item.record.size[1],
                "verdict": item.verdict,
                "reasons": [why.value for why in item.record.reasons],
                "parts": [part.unit for part in item.record.parts],
            }
            for item in items
        ],
        "annotations": annotations,
        "categories": [
            {"id": number, "name": name, "supercategory": ""}
            for number, name in enumerate(data.classes, start=1)
        ],
    }


def _bbox(box: tuple[float, float, float, float]) -> list[float]:
    x1, y1, x2, y2 = box
    return [round(x1, 2), round(y1, 2), round(x2 - x1, 2), round(y2 - y1, 2)]


def read(file: Path) -> Labels:
    """One file of annotations. Raises SenderError."""
    with reading(file, "COCO"):
        plain = json.loads(read_text(file, MOST_LABEL_BYTES))
        images = {each["id"]: Path(str(each["file_name"])).name for each in plain["images"]}
        names = {each["id"]: str(each["name"]) for each in plain["categories"]}
        boxes: dict[Any, list[ExpectedBox]] = {number: [] for number in images}
        for each in plain["annotations"]:
            x, y, width, height = (float(number) for number in each["bbox"])
            if not all(map(math.isfinite, (x, y, width, height))):
                raise ValueError("a box is no number")
            found = ExpectedBox(names[each["category_id"]], (x, y, x + width, y + height))
            boxes[each["image_id"]].append(found)
        ours = plain.get("info", {}).get("description") == MARKER
    labels = [Label(name, tuple(boxes[number])) for number, name in images.items()]
    return Labels(labels, is_ours=ours)
