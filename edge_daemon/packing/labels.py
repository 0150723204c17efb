"""Labelled pictures as they lie in a training folder.

    DATASET.yaml             YOLO: its test pictures, else val, else train; labels in labels/
    FOLDER with a .json      COCO: images, annotations, categories
    FOLDER with .txt         YOLO labels beside the pictures, or in labels/ instead of images/
    FOLDER/ok, FOLDER/ng     the verdict alone, by the folder's name (good and bad mean the same)

For a classifier, FOLDER/CLASS holds the pictures of a class, below FOLDER/test, val or train if
there are such. Of the labels for a model with key points, the boxes are read.

A folder's name that says nothing of these is the slice of its pictures. A picture of a labelled
folder without labels of its own shows nothing, as YOLO has it.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_daemon.core.compatibility import CLASSIFY
from edge_daemon.core.golden import ExpectedBox
from edge_daemon.core.values import Box, Verdict
from edge_daemon.documents import MALFORMED, DocumentError, parse, read_text
from edge_daemon.errors import SenderError
from edge_daemon.models.manifest import IMAGE_SUFFIXES
from edge_daemon.models.picture_size import picture_size

MAX_LABEL_BYTES = 1 << 20
MAX_COCO_BYTES = 512 << 20

_VERDICTS = {"ok": Verdict.OK, "good": Verdict.OK, "ng": Verdict.NG, "bad": Verdict.NG}
_PLAIN = {"images", "labels", "train", "val", "test", "valid", "golden"}
"""Names of folders that say nothing of their pictures."""
_PARTS = ("test", "val", "train")
_FEWEST_NUMBERS = 4


@dataclass(frozen=True)
class Labelled:
    """One picture. `boxes` is None where its boxes are not known, `verdict` where it is not said;
    boxes in pixels."""

    path: Path
    slice: str = "all"
    boxes: tuple[ExpectedBox, ...] | None = None
    verdict: Verdict | None = None


@dataclass(frozen=True)
class _Model:
    """Whose labels they are: its classes in its order, and what it does."""

    classes: Sequence[str]
    task: str


def read_labelled(
    source: Path, classes: Sequence[str], task: str = "detect"
) -> tuple[Labelled, ...]:
    """Every picture of a data set, sorted by path; `classes` are the model's, in its order.

    Raises SenderError for labels that cannot be read, name a class that the model does not have,
    or lie outside their picture.
    """
    model = _Model(classes, task)
    if task == CLASSIFY and source.is_dir():
        found = _sorted_by_class(source, classes)
    elif source.suffix.lower() in (".yaml", ".yml"):
        found = _dataset(source, model)
    elif source.suffix.lower() == ".json":
        found = _coco(source, classes)
    elif source.is_dir():
        found = _folder(source, model)
    else:
        raise SenderError(
            f"{source} is neither a folder of pictures nor a data set.",
            hint="Give a folder, a YOLO data set's .yaml, or COCO annotations (.json).",
        )
    pictures = tuple(sorted(found, key=lambda each: str(each.path)))
    if not pictures:
        raise SenderError(
            f"{source} holds no pictures.", hint=f"Taken are {', '.join(IMAGE_SUFFIXES)}."
        )
    return pictures


def pictures_in(folder: Path) -> list[Path]:
    """Every picture below a folder, sorted."""
    found = (Path(here) / name for here, _, names in os.walk(folder) for name in names)
    return sorted(path for path in found if path.suffix.lower() in IMAGE_SUFFIXES)


# --------------------------------------------------------------------------- folders


def _folder(folder: Path, model: _Model) -> list[Labelled]:
    annotations = [*folder.glob("*.json"), *folder.glob("annotations/*.json")]
    if len(annotations) > 1:
        names = ", ".join(str(path.relative_to(folder)) for path in sorted(annotations))
        raise SenderError(
            f"{folder} has several annotation files: {names}.", hint="Give the one that is meant."
        )
    if annotations:
        return _coco(annotations[0], model.classes)
    listed = folder / "classes.txt"
    given = _lines(listed) if listed.is_file() else model.classes
    order = [name.strip() for name in given if name.strip()]
    return _yolo(pictures_in(folder), folder, order, model)


def _yolo(paths: Iterable[Path], root: Path, order: Sequence[str], model: _Model) -> list[Labelled]:
    """`order`: the classes that the labels' numbers mean."""
    listed = [(path, _label_file(path)) for path in paths]
    is_labelled = any(label is not None for _, label in listed)
    found = []
    for path, label in listed:
        verdict = _verdict_of(path, root)
        boxes: tuple[ExpectedBox, ...] | None = None
        if label is not None:
            boxes = tuple(_yolo_boxes(label, path, order, model))
        elif is_labelled and verdict is None:
            boxes = ()
        if boxes is None and verdict is None:
            raise SenderError(
                f"Nothing says what {path} shows.",
                hint="Put labels beside it (YOLO .txt, COCO .json), or sort the pictures into"
                " folders named ok and ng.",
            )
        found.append(Labelled(path, _slice_of(path, root), boxes, verdict))
    return found


def _label_file(picture: Path) -> Path | None:
    beside = picture.with_suffix(".txt")
    if beside.is_file():
        return beside
    parts = list(picture.parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = "labels"
            other = Path(*parts).with_suffix(".txt")
            return other if other.is_file() else None
    return None


def _yolo_boxes(
    label: Path, picture: Path, order: Sequence[str], model: _Model
) -> Iterable[ExpectedBox]:
    width, height = _size(picture)
    for number, line in enumerate(_lines(label), start=1):
        if not line.strip():
            continue
        try:
            index, *shares = (float(word) for word in line.split())
            # key points follow the box, as many as they are
            x1, y1, x2, y2 = _corners(shares[:_FEWEST_NUMBERS] if model.task == "pose" else shares)
            name = order[int(index)] if index == int(index) >= 0 else ""
        except (ValueError, IndexError, OverflowError):
            raise _wrong(label, number, "is no label of one of these classes") from None
        if name not in model.classes:
            raise _wrong(label, number, f"names {name!r}, which the model does not have")
        if not (0 <= x1 < x2 <= 1 + 1e-6 and 0 <= y1 < y2 <= 1 + 1e-6):
            raise _wrong(label, number, "lies outside its picture")
        yield ExpectedBox(name, _box(x1 * width, y1 * height, x2 * width, y2 * height))


def _corners(shares: Sequence[float]) -> tuple[float, float, float, float]:
    """Of `x y w h`, or of the polygon `x1 y1 x2 y2 x3 y3 …`; as shares of the picture."""
    if len(shares) == _FEWEST_NUMBERS:
        x, y, w, h = shares
        low_x, low_y, high_x, high_y = x - w / 2, y - h / 2, x + w / 2, y + h / 2
    elif len(shares) > _FEWEST_NUMBERS and len(shares) % 2 == 0:
        xs, ys = shares[::2], shares[1::2]
        low_x, low_y, high_x, high_y = min(xs), min(ys), max(xs), max(ys)
    else:
        raise ValueError
    if not all(math.isfinite(share) for share in shares):
        raise ValueError
    # labelling tools round: a box at the edge may stick out by a thousandth
    slack = 1e-3
    low_x, low_y = (0.0 if -slack <= value < 0 else value for value in (low_x, low_y))
    high_x, high_y = (1.0 if 1 < value <= 1 + slack else value for value in (high_x, high_y))
    return low_x, low_y, high_x, high_y


def _verdict_of(path: Path, root: Path) -> Verdict | None:
    said = {
        verdict
        for part in _inner(path, root)
        if (verdict := _VERDICTS.get(part.lower())) is not None
    }
    if len(said) > 1:
        raise SenderError(
            f"The folders of {path} say both ok and ng.", hint="Put it below one of them."
        )
    return next(iter(said), None)


def _slice_of(path: Path, root: Path, classes: Sequence[str] = ()) -> str:
    """The folders that are neither a verdict nor one of these classes, and say something."""
    known = {*classes, *_VERDICTS, *_PLAIN}
    names = (part for part in _inner(path, root) if not {part, part.lower()} & known)
    return "/".join(names) or "all"


def _inner(path: Path, root: Path) -> tuple[str, ...]:
    """The folders between the root and a picture."""
    try:
        return path.relative_to(root).parts[:-1]
    except ValueError:  # a data set may name pictures anywhere
        return ()


# --------------------------------------------------------------------------- classes


def _sorted_by_class(folder: Path, classes: Sequence[str]) -> list[Labelled]:
    """The class is the folder's name; a folder named ok or ng says the verdict where no class is
    named so."""
    root = next((folder / part for part in _PARTS if (folder / part).is_dir()), folder)
    found = []
    for path in pictures_in(root):
        named = [name for name in _inner(path, root) if name in classes]
        verdict = None if named else _verdict_of(path, root)
        if len(named) != 1 and verdict is None:
            raise SenderError(
                f"No one class is named by the folders of {path}.",
                hint=f"Sort the pictures into folders named {', '.join(classes)}, or ok and ng.",
            )
        boxes = (ExpectedBox(named[0], None),) if named else None
        found.append(Labelled(path, _slice_of(path, root, classes), boxes, verdict))
    return found


# --------------------------------------------------------------------------- YOLO data sets


def _dataset(file: Path, model: _Model) -> list[Labelled]:
    try:
        value = parse(read_text(file, MAX_LABEL_BYTES)).value
    except DocumentError as error:
        raise _wrong(file, error.line, error.message) from error
    if not isinstance(value, dict) or "names" not in value:
        raise SenderError(
            f"{file} is no YOLO data set: it has no names.",
            hint="Add `names`, the classes in their order.",
        )
    root = _root(file, value.get("path"))
    part = next((part for part in _PARTS if value.get(part)), None)
    if part is None:
        raise SenderError(f"{file} names no pictures.", hint="Set test, val or train in it.")
    given = value[part] if isinstance(value[part], list) else [value[part]]
    paths: list[Path] = []
    for entry in given:
        place = root / str(entry)
        if place.is_dir():
            paths += pictures_in(place)
        elif place.suffix == ".txt" and place.is_file():
            lines = (line.strip() for line in _lines(place, MAX_COCO_BYTES))
            paths += [place.parent / line for line in lines if line]  # an absolute one stays so
        else:
            raise SenderError(f"{place} is not there; {file} names it under {part}.")
    base = root / str(given[0]) if len(given) == 1 else root
    return _yolo(paths, base if base.is_dir() else root, _names(file, value["names"]), model)


def _root(file: Path, given: Any) -> Path:
    """Where a data set's entries begin: its `path`, seen from the file or from here."""
    if given is None:
        return file.parent
    places = (file.parent / str(given), Path(str(given)))
    return next((place for place in places if place.is_dir()), file.parent)


def _names(file: Path, names: Any) -> list[str]:
    if isinstance(names, list):
        return [str(name) for name in names]
    if isinstance(names, dict) and all(str(key).isdecimal() for key in names):
        by_number = {int(str(key)): str(name) for key, name in names.items()}
        return [by_number.get(number, "") for number in range(max(by_number, default=-1) + 1)]
    raise SenderError(f"{file}: names must be a list, or numbers with a name each.")


# --------------------------------------------------------------------------- COCO


def _coco(file: Path, classes: Sequence[str]) -> list[Labelled]:
    try:
        value = json.loads(read_text(file, MAX_COCO_BYTES))
        images = {each["id"]: str(each["file_name"]) for each in value["images"]}
        names = {each["id"]: str(each["name"]) for each in value["categories"]}
        boxes: dict[Any, list[ExpectedBox]] = {number: [] for number in images}
        for each in value["annotations"]:
            name = names[each["category_id"]]
            if name not in classes:
                raise SenderError(
                    f"{file}: the category {name!r} is no class of the model.",
                    hint=f"It has {', '.join(classes)}.",
                )
            if not each.get("iscrowd"):
                x, y, width, height = (float(number) for number in each["bbox"])
                boxes[each["image_id"]].append(ExpectedBox(name, _box(x, y, x + width, y + height)))
    except (DocumentError, *MALFORMED) as error:
        raise SenderError(
            f"{file} holds no COCO annotations: {error}.",
            hint="It needs images, annotations with bbox, and categories.",
        ) from error
    root = file.parent.parent if file.parent.name == "annotations" else file.parent
    found = []
    for number, name in images.items():
        path = _picture(root, name)
        width, height = _size(path)
        for box in boxes[number]:
            assert box.box is not None
            x1, y1, x2, y2 = box.box
            if not (0 <= x1 < x2 <= width + 1 and 0 <= y1 < y2 <= height + 1):
                raise SenderError(f"{file}: a box of {name} lies outside the picture.")
        verdict = _verdict_of(path, root)
        found.append(Labelled(path, _slice_of(path, root), tuple(boxes[number]), verdict))
    return found


def _picture(root: Path, name: str) -> Path:
    for place in (root / name, root / "images" / name):
        if place.is_file():
            return place
    raise SenderError(f"{root / name} is not there; the annotations name it.")


# --------------------------------------------------------------------------- parts


def _lines(file: Path, limit_bytes: int = MAX_LABEL_BYTES) -> list[str]:
    """Raises SenderError."""
    try:
        return read_text(file, limit_bytes).splitlines()
    except DocumentError as error:
        raise _wrong(file, error.line, error.message) from error


def _size(picture: Path) -> tuple[int, int]:
    size = picture_size(picture)
    if size is None:
        raise SenderError(
            f"{picture} is no picture that can be used.", hint="Save it as JPEG, PNG or BMP."
        )
    return size


def _box(x1: float, y1: float, x2: float, y2: float) -> Box:
    return round(x1, 1), round(y1, 1), round(x2, 1), round(y2, 1)


def _wrong(file: Path, line: int, what: str) -> SenderError:
    return SenderError(f"{file}:{line}: {what}.", hint="Correct the label, or remove the picture.")
