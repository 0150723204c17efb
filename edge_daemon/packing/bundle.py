"""Writes a bundle: weights, golden images and `model.yaml` in a new folder."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from edge_daemon.core.compatibility import TASKS
from edge_daemon.core.values import BundleRef
from edge_daemon.errors import BundleError, Code, SenderError
from edge_daemon.models.bundle import read_manifest
from edge_daemon.models.document import written_document
from edge_daemon.models.files import digest_of
from edge_daemon.models.manifest import MANIFEST_FILE, SCHEMA, Manifest
from edge_daemon.models.trust import sign
from edge_daemon.packing.labels import Labelled
from edge_daemon.packing.weights import USUAL_IMGSZ
from edge_daemon.slots.slot import Loaded

MOST_GOLDEN = 100
"""Golden images of a bundle, unless told otherwise: each is judged in every proof."""


@dataclass(frozen=True)
class Wanted:
    """What is to be made, as it was asked for."""

    ref: BundleRef
    weights: Path
    reject: tuple[str, ...]
    confidence: float = 0.35
    part: str | None = None  # the class that a part is
    products: tuple[str, ...] = ()
    lineage: Mapping[str, Any] = field(default_factory=dict)
    most: int = MOST_GOLDEN  # golden images
    key: Path | None = None  # a private key (PEM) that signs it


@dataclass(frozen=True)
class Packed:
    """A bundle that was written; `left_out` labelled pictures were more than it holds."""

    folder: Path
    manifest: Manifest
    left_out: int


def pack(
    wanted: Wanted,
    facts: Loaded,
    pictures: Sequence[Labelled],
    destination: Path,
    tell: Callable[[int], None] = lambda _: None,
) -> Packed:
    """Write the bundle as `destination`, a folder that is not there yet; whole or not at all.

    `tell` hears how many golden images were written, as they are. Raises SenderError for what was
    asked, BundleError for what no station would take.
    """
    _refuse(wanted, facts, destination)
    chosen = _choose(pictures, wanted.reject, wanted.most)
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".packing-", dir=destination.parent) as scratch:
        draft = Path(scratch) / "bundle"
        draft.mkdir()
        _copy(wanted.weights, draft / wanted.weights.name)
        golden = [_golden(draft, number, each, tell) for number, each in enumerate(chosen, start=1)]
        plain = _manifest(wanted, facts, draft, golden)
        (draft / MANIFEST_FILE).write_bytes(written_document(plain))
        manifest = read_manifest(draft, placed=False)
        if wanted.key is not None:
            sign(draft, wanted.key)
        os.rename(draft, destination)
    return Packed(destination, manifest, len(pictures) - len(chosen))


def _refuse(wanted: Wanted, facts: Loaded, destination: Path) -> None:
    if destination.exists():
        raise SenderError(
            f"{destination} is there already.", hint="Remove it, or give another version or --to."
        )
    if facts.task not in TASKS:
        raise BundleError(
            f"{wanted.weights.name} is for the task {facts.task!r}, which is not supported.",
            hint=f"Use weights for {', '.join(TASKS)}.",
            code=Code.INCOMPATIBLE,
        )
    uses = [(name, "to reject") for name in wanted.reject]
    if wanted.part is not None:
        uses.append((wanted.part, "that could be the part"))
    for name, use in uses:
        if name not in facts.classes:
            raise SenderError(
                f"The weights have no class {name!r} {use}.",
                hint=f"They have {', '.join(facts.classes)}.",
            )


def _choose(pictures: Sequence[Labelled], reject: Sequence[str], most: int) -> tuple[Labelled, ...]:
    """At most this many, evenly from every slice, of defects and good parts."""
    if len(pictures) <= most:
        return tuple(pictures)
    groups: dict[tuple[str, bool], list[Labelled]] = {}
    for each in pictures:
        groups.setdefault((each.slice, not _shows_defect(each, reject)), []).append(each)
    turns = zip_longest(*(_spread(groups[key]) for key in sorted(groups)))
    chosen = [each for turn in turns for each in turn if each is not None][:most]
    return tuple(sorted(chosen, key=lambda each: str(each.path)))


def _spread(group: list[Labelled]) -> list[Labelled]:
    """The same in an order whose every beginning is spread over the whole: neighbours are alike."""
    order = sorted(range(len(group)), key=lambda index: (index * 0.6180339887) % 1.0)
    return [group[index] for index in order]


def _shows_defect(picture: Labelled, reject: Sequence[str]) -> bool:
    if picture.verdict is not None:
        return picture.verdict.value == "ng"
    return any(box.label in reject for box in picture.boxes or ())


def _golden(
    draft: Path, number: int, picture: Labelled, tell: Callable[[int], None]
) -> dict[str, Any]:
    name = f"golden/{number:04}{picture.path.suffix.lower()}"
    (draft / "golden").mkdir(exist_ok=True)
    _copy(picture.path, draft / name)
    tell(1)
    return {
        "image": name,
        "sha256": digest_of(draft / name)[0],
        "slice": picture.slice,
        "expect": _expect(picture),
    }


def _expect(picture: Labelled) -> object:
    """The verdict where a person said it, else the class of the picture, or its boxes."""
    if picture.verdict is not None:
        return {"verdict": picture.verdict.value}
    assert picture.boxes is not None
    for each in picture.boxes:
        if each.box is None:
            return {"class": each.label}
    return [{"class": each.label, "box": list(each.box or ())} for each in picture.boxes]


def _manifest(
    wanted: Wanted, facts: Loaded, draft: Path, golden: list[dict[str, Any]]
) -> dict[str, Any]:
    sha256, size = digest_of(draft / wanted.weights.name)
    imgsz = facts.imgsz or USUAL_IMGSZ
    return {
        "schema": SCHEMA,
        "name": wanted.ref.name,
        "version": wanted.ref.version,
        "weights": {"file": wanted.weights.name, "sha256": sha256, "size": size},
        "task": facts.task,
        "classes": list(facts.classes),
        "input": {"imgsz": imgsz if isinstance(imgsz, int) else list(imgsz)},
        **({"products": list(wanted.products)} if wanted.products else {}),
        "recipe": {
            "confidence": wanted.confidence,
            "reject": list(wanted.reject),
            **({"part": wanted.part} if wanted.part is not None else {}),
        },
        "golden": golden,
        **({"lineage": dict(wanted.lineage)} if wanted.lineage else {}),
    }


def _copy(source: Path, destination: Path) -> None:
    try:
        if source.is_dir():
            shutil.copytree(source, destination)
        else:
            shutil.copyfile(source, destination)
    except OSError as error:
        raise SenderError(
            f"{source} cannot be copied: {error.strerror or error}.",
            hint="Check its permissions and the space on the disk.",
        ) from error
