"""YOLO: `dataset.yaml`, `images/<split>`, `labels/<split>`; what else models found is beside it.

predictions/<model>/<name>.txt    class x y w h confidence, of each model
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from edge_daemon.collecting.formats.dataset import (
    MARKER,
    MOST_LABEL_BYTES,
    Boxed,
    Dataset,
    Label,
    Labels,
    reading,
)
from edge_daemon.core.collecting.split import SPLITS, TRAIN
from edge_daemon.core.golden import ExpectedBox
from edge_daemon.core.values import Box
from edge_daemon.documents import dump, parse, read_text

_NUMBERS = 4
_MOST_PER_FILE_BYTES = 1 << 20


def write(data: Dataset, folder: Path) -> None:
    """Below a folder that is there; the pictures lie in `images/<split>`."""
    used = [split for split in SPLITS if data.of_split(split)]
    for item in data.items:
        path = folder / "labels" / item.split / f"{item.record.name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [_line(data, each, item.record.size) for each in item.boxes]
        path.write_text("".join(f"{line}\n" for line in lines))
        for opinion in item.opinions:
            model = opinion.model.replace("/", "_")
            beside = folder / "predictions" / model / f"{item.record.name}.txt"
            beside.parent.mkdir(parents=True, exist_ok=True)
            found = [
                f"{_line(data, each, item.record.size)} {each.confidence or 0.0:.4f}"
                for each in opinion.boxes
            ]
            beside.write_text("".join(f"{line}\n" for line in found))
    # YOLO asks for both; a set of one part alone has nothing to validate with.
    places = {split: f"images/{split if split in used else TRAIN}" for split in ("train", "val")}
    plain = {
        **places,
        **({"test": "images/test"} if "test" in used else {}),
        "names": dict(enumerate(data.classes)),
    }
    (folder / "dataset.yaml").write_text(f"# {MARKER}\n{dump(plain)}", encoding="utf-8")


def _line(data: Dataset, boxed: Boxed, size: tuple[int, int]) -> str:
    (x1, y1, x2, y2), (width, height) = boxed.box, size
    shares = (
        (x1 + x2) / 2 / width,
        (y1 + y2) / 2 / height,
        (x2 - x1) / width,
        (y2 - y1) / height,
    )
    return f"{data.index[boxed.label]} " + " ".join(f"{share:.6f}" for share in shares)


def read(file: Path, sizes: Mapping[str, tuple[int, int]]) -> Labels:
    """A data set's .yaml with its `labels` folder beside it. Raises SenderError.

    `sizes`: width and height of each picture that is known, by name without its suffix; others
    are passed over.
    """
    with reading(file, "YOLO"):
        text = read_text(file, _MOST_PER_FILE_BYTES)
        plain = parse(text).value
        given = plain["names"]
        names = dict(enumerate(given)) if isinstance(given, list) else given
        classes = {int(number): str(name) for number, name in names.items()}
        folder = file.parent / "labels"
        if not folder.is_dir():
            raise ValueError("there is no folder labels beside it")
        labels = [
            Label(path.stem, tuple(_boxes(path, classes, sizes[path.stem])))
            for path in sorted(folder.rglob("*.txt"))
            if path.stem in sizes
        ]
    return Labels(labels, is_ours=text.startswith(f"# {MARKER}"))


def _boxes(path: Path, classes: Mapping[int, str], size: tuple[int, int]) -> Iterator[ExpectedBox]:
    for number, line in enumerate(read_text(path, MOST_LABEL_BYTES).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            index, *shares = (float(word) for word in line.split())
            yield ExpectedBox(classes[int(index)], _pixels(shares, size))
        except (ValueError, KeyError, OverflowError):
            raise ValueError(f"{path.name}:{number} is no label of one of its classes") from None


def _pixels(shares: list[float], size: tuple[int, int]) -> Box:
    """Of `x y w h`, or of the polygon `x1 y1 x2 y2 x3 y3 …`."""
    if not all(map(math.isfinite, shares)) or len(shares) < _NUMBERS or len(shares) % 2:
        raise ValueError
    width, height = size
    if len(shares) == _NUMBERS:
        x, y, w, h = shares
        x1, y1, x2, y2 = x - w / 2, y - h / 2, x + w / 2, y + h / 2
    else:
        x1, y1, x2, y2 = min(shares[::2]), min(shares[1::2]), max(shares[::2]), max(shares[1::2])
    return x1 * width, y1 * height, x2 * width, y2 * height
