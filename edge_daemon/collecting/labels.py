"""What people said of collected pictures: read from a labelling tool's file, joined by name.

All of a file is read and joined before anything is written down: a file that cannot be understood
changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge_daemon.collecting.catalogue import Catalogue, Collected, Truth
from edge_daemon.collecting.exports import placed
from edge_daemon.collecting.formats import coco, cvat, label_studio, yolo
from edge_daemon.collecting.formats.dataset import Label, Labels, clipped
from edge_daemon.core.collecting.split import TRAIN, split
from edge_daemon.core.golden import Expectation, ExpectedBox
from edge_daemon.core.values import Recipe, Verdict
from edge_daemon.core.verdicts import expected_verdict
from edge_daemon.documents import DocumentError, read_text
from edge_daemon.errors import SenderError
from edge_daemon.packing.labels import Labelled

_NAMED = 5


@dataclass(frozen=True)
class Joined:
    """Labels whose pictures are here. Names of the others: `unknown` pictures, and those of which
    nobody can say whether they are ok, `undecided`."""

    known: Sequence[tuple[Collected, Truth]]
    unknown: Sequence[str]
    undecided: Sequence[str]


@dataclass(frozen=True)
class PartLabel:
    """What a label says of one part, in the words of feedback."""

    boot: str
    part: int
    verdict: Verdict


def read(file: Path, catalogue: Catalogue) -> Labels:
    """By what the file is. Raises SenderError."""
    suffix = file.suffix.lower()
    if suffix == ".xml":
        return cvat.read(file)
    if suffix in {".yaml", ".yml"}:
        return yolo.read(file, {each.record.name: each.record.size for each in catalogue})
    if suffix == ".json":
        try:
            is_list = read_text(file, 512 << 20).lstrip().startswith("[")
        except DocumentError as error:
            raise SenderError(f"{file} {error.message}.", hint=error.hint) from error
        return label_studio.read(file) if is_list else coco.read(file)
    raise SenderError(
        f"{file} is in no known format.",
        hint="Give COCO or Label Studio (.json), CVAT for images (.xml), or YOLO's dataset.yaml.",
    )


def join(
    labels: Labels,
    catalogue: Catalogue,
    recipe_of: Callable[[str], Recipe | None],
    by: str,
    utc: float,
) -> Joined:
    """Each label with its picture, and a verdict: as said, else by the recipe that judged it.

    `recipe_of`: of a model by name and version; None where the store has it no more.
    """
    known: list[tuple[Collected, Truth]] = []
    unknown: list[str] = []
    undecided: list[str] = []
    for label in labels.labels:
        picture = catalogue.find(label.name)
        if picture is None:
            unknown.append(label.name)
            continue
        boxes = _within(label, picture)
        verdict = label.verdict or _verdict(boxes, picture, recipe_of)
        if verdict is None:
            undecided.append(label.name)
            continue
        known.append((picture, Truth(verdict, boxes, by, utc)))
    return Joined(known, unknown, undecided)


def noted(joined: Joined, catalogue: Catalogue) -> Joined:
    """Write the labels down; pictures that have gone meanwhile are unknown. Raises OSError."""
    known, gone = [], []
    for picture, truth in joined.known:
        if catalogue.note(picture, truth):
            known.append((picture, truth))
        else:
            gone.append(picture.record.name)
    return replace(joined, known=known, unknown=[*joined.unknown, *gone])


def words(joined: Joined) -> list[PartLabel]:
    """What feedback is told: of pictures that show one part, which has its result."""
    found = []
    for picture, truth in joined.known:
        parts = picture.record.parts
        if len(parts) == 1 and parts[0].told is not None:
            verdict = Verdict.NG if truth.verdict is Verdict.NG else Verdict.OK
            found.append(PartLabel(picture.record.boot, parts[0].told.part, verdict))
    return found


def named(names: Sequence[str]) -> str:
    """The first of them, for a sentence."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _within(label: Label, picture: Collected) -> tuple[ExpectedBox, ...] | None:
    if label.boxes is None:
        return None
    whole = (0.0, 0.0, float(picture.record.size[0]), float(picture.record.size[1]))
    found = []
    for each in label.boxes:
        box = clipped(each.box or whole, picture.record.size)
        if box is not None:
            found.append(ExpectedBox(each.label, box))
    return tuple(found)


def _verdict(
    boxes: tuple[ExpectedBox, ...] | None,
    picture: Collected,
    recipe_of: Callable[[str], Recipe | None],
) -> Verdict | None:
    opinions = picture.record.opinions
    recipe = recipe_of(opinions[0].model) if opinions else None
    if boxes is None or recipe is None:
        return None
    return expected_verdict(Expectation("all", boxes), recipe, picture.record.size)


# --------------------------------------------------------------------------- golden images


def golden(
    pictures: Iterable[Collected], classes: Sequence[str], reject: Sequence[str]
) -> tuple[Labelled, ...]:
    """Labelled pictures that may prove the next bundle, a slice for each reason.

    Those of the split that trains are left out: a model knows them by heart. Where there is no
    other split, all are taken. A picture with a class that the model does not have proves nothing.
    """
    labelled = [each for each in pictures if each.truth is not None]
    splits = split([placed(each.record) for each in labelled])
    others = [
        each for each, name in zip(labelled, splits, strict=True) if name != TRAIN
    ] or labelled
    found = [_golden(each, classes, reject) for each in others]
    return tuple(each for each in found if each is not None)


def _golden(picture: Collected, classes: Sequence[str], reject: Sequence[str]) -> Labelled | None:
    truth = picture.truth
    assert truth is not None
    boxes = truth.boxes
    if boxes is not None and any(each.label not in classes for each in boxes):
        return None
    is_ng = truth.verdict is Verdict.NG
    if boxes is not None and any(each.label in reject for each in boxes) is is_ng:
        return Labelled(picture.path, picture.record.leading.value, boxes)
    # The boxes alone would be judged otherwise: what counts is what the person said.
    return Labelled(picture.path, picture.record.leading.value, None, truth.verdict)
