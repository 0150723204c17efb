"""Collected pictures as a data set of a labelling or training tool: whole, or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge_daemon.collecting.catalogue import Collected
from edge_daemon.collecting.formats import coco, cvat, label_studio, yolo
from edge_daemon.collecting.formats.dataset import Boxed, Dataset, Item, Opinion, clipped
from edge_daemon.collecting.record import ModelResult, Record
from edge_daemon.core.collecting.split import SPLITS, Placed, split
from edge_daemon.errors import SenderError


@dataclass(frozen=True)
class Format:
    """A format by its name; `by_split`: whether its pictures lie in a folder of each split."""

    write: Callable[[Dataset, Path], None]
    by_split: bool = False


FORMATS: Mapping[str, Format] = {
    "coco": Format(coco.write),
    "yolo": Format(yolo.write, by_split=True),
    "label-studio": Format(label_studio.write),
    "cvat": Format(cvat.write),
}


@dataclass(frozen=True)
class Exported:
    """What was written. `gone`: pictures that the station, or a purge, took away meanwhile."""

    pictures: int
    boxes: int
    splits: Mapping[str, int]
    classes: Sequence[str]
    gone: int = 0


def dataset(pictures: Sequence[Collected], classes: Sequence[str] = ()) -> Dataset:
    """The pictures with their splits; `classes` of the model in its order, others follow."""
    splits = split([placed(each.record) for each in pictures])
    items = [_item(each, name) for each, name in zip(pictures, splits, strict=True)]
    found = {
        each.label
        for item in items
        for boxes in (item.truth or (), *(opinion.boxes for opinion in item.opinions))
        for each in boxes
    }
    known = list(dict.fromkeys(classes))
    return Dataset(items, [*known, *sorted(found - set(known))])


def export(data: Dataset, wanted: str, destination: Path) -> Exported:
    """Write a folder that is not there yet, or is empty. Raises SenderError."""
    made = FORMATS[wanted]
    if not data.items:
        raise _nothing()
    _refuse_taken(destination)
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=destination.parent) as scratch:
            draft = Path(scratch) / "set"
            draft.mkdir(mode=0o755)
            there = [item for item in data.items if _copied(item, draft, made)]
            if not there:
                raise _nothing()
            gone = len(data.items) - len(there)
            data = replace(data, items=there)
            made.write(data, draft)
            os.replace(draft, destination)
    except OSError as error:
        raise SenderError(
            f"{destination} cannot be written: {error.strerror or error}.",
            hint="Is there room on its disk, and may this user write there?",
        ) from error
    counts = {name: len(data.of_split(name)) for name in SPLITS}
    boxes = sum(len(item.boxes) for item in data.items)
    return Exported(len(data.items), boxes, counts, data.classes, gone)


def _copied(item: Item, draft: Path, made: Format) -> bool:
    """False where the picture has gone: a full quota makes room, the oldest first, as this does."""
    place = draft / "images" / item.split if made.by_split else draft / "images"
    place.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(item.path, place / item.name)
    except FileNotFoundError:
        (place / item.name).unlink(missing_ok=True)
        return False
    return True


def _nothing() -> SenderError:
    return SenderError(
        "There is no picture to export.",
        hint="See what is collected: edge-daemon collect status",
    )


def _refuse_taken(destination: Path) -> None:
    if destination.is_symlink() or (destination.exists() and not destination.is_dir()):
        raise SenderError(f"{destination} is no folder.", hint="Give another one.")
    if destination.is_dir() and any(destination.iterdir()):
        raise SenderError(
            f"{destination} is not empty.", hint="Give a folder that is not there yet."
        )


def placed(record: Record) -> Placed:
    """What its split is drawn by."""
    return Placed(tuple((record.boot, each.unit) for each in record.parts), record.utc)


def _item(picture: Collected, name: str) -> Item:
    record, truth = picture.record, picture.truth
    boxes = None
    if truth is not None and truth.boxes is not None:
        boxes = tuple(
            Boxed(each.label, box)
            for each in truth.boxes
            if (box := clipped(each.box or (0.0, 0.0, *record.size), record.size)) is not None
        )
    return Item(
        picture.path,
        record,
        name,
        tuple(_opinion(each, record.size) for each in record.opinions),
        boxes,
        None if truth is None else truth.verdict.value,
    )


def _opinion(said: ModelResult, size: tuple[int, int]) -> Opinion:
    boxes = tuple(
        Boxed(each.label, box, each.confidence)
        for each in said.found
        if each.counts and (box := clipped(each.box, size)) is not None
    )
    return Opinion(said.model, said.verdict, boxes)
