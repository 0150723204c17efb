"""The folder of collected pictures as commands read it, while a station writes into it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_daemon.collecting.files import STATUS, TRUTH, take_away, whole_record
from edge_daemon.collecting.record import Record, day_of, read_box
from edge_daemon.core.collecting.estimate import Sampled
from edge_daemon.core.golden import ExpectedBox
from edge_daemon.core.values import Verdict
from edge_daemon.documents import MALFORMED
from edge_daemon.host.disk import write_whole


@dataclass(frozen=True)
class Truth:
    """What people say of a picture. `boxes`: None where only the verdict was said."""

    verdict: Verdict
    boxes: tuple[ExpectedBox, ...] | None = None
    by: str = ""
    utc: float = 0.0


@dataclass(frozen=True)
class Collected:
    """One picture with its record, and what people said of it, if they did."""

    path: Path
    record: Record
    truth: Truth | None = None


class Catalogue:
    """One folder; nothing is locked, and what goes meanwhile is passed over."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __iter__(self) -> Iterator[Collected]:
        """Every whole picture, the oldest first."""
        return self.without("")

    def without(self, mark: str) -> Iterator[Collected]:
        """Those beside which no file with this suffix lies; the others are not read."""
        for path in sorted(self._folder.glob("*/*.json")):
            if mark and path.with_suffix(mark).exists():
                continue
            picture = _collected(path)
            if picture is not None:
                yield picture

    def find(self, name: str) -> Collected | None:
        """One picture by its name, whatever folder or suffix stands round it."""
        stem = Path(name).name.partition(".")[0]
        return _collected(self._folder / day_of(stem) / f"{stem}.json")

    def note(self, picture: Collected, truth: Truth) -> bool:
        """What people say of it, instead of what they said before. False where it has gone.

        Raises OSError.
        """
        with suppress(FileNotFoundError):  # the whole day may have gone
            write_whole(picture.path.with_suffix(TRUTH), _written(truth))
            if picture.path.exists():
                return True
            picture.path.with_suffix(TRUTH).unlink()
        return False

    def remove(self, picture: Collected) -> None:
        """For good. Raises OSError."""
        take_away(picture.path)

    def remove_all(self, pictures: Iterable[Collected]) -> tuple[int, str]:
        """How many went, and why the others did not."""
        count = 0
        try:
            for each in pictures:
                self.remove(each)
                count += 1
        except OSError as error:
            return count, error.strerror or str(error)
        return count, ""

    @property
    def status(self) -> Mapping[str, Any]:
        """What the station says of its losses; empty where it never ran."""
        with suppress(OSError, *MALFORMED):
            told = json.loads((self._folder / STATUS).read_bytes())
            if isinstance(told, dict):
                return told
        return {}

    @property
    def since_utc(self) -> float:
        """Of all parts since then, no picture has gone for the quota."""
        with suppress(*MALFORMED):
            return float(self.status["since_utc"])
        return 0.0


def sampled(picture: Collected) -> Sampled | None:
    """The part that it shows, for an estimate; None where it shows several, or none was judged."""
    if len(picture.record.parts) != 1:
        return None
    (part,) = picture.record.parts
    told = part.told.verdict if part.told is not None else picture.record.verdict
    if told == Verdict.UNINSPECTED.value:
        return None
    truth = None if picture.truth is None else picture.truth.verdict is Verdict.NG
    is_rejected = told == Verdict.NG.value
    return Sampled(is_rejected, part.probability, truth, picture.record.alike)


def _collected(path: Path) -> Collected | None:
    record = whole_record(path)
    if record is None:
        return None
    picture = path.with_suffix(record.suffix)
    return Collected(picture, record, _truth(picture))


def _truth(picture: Path) -> Truth | None:
    with suppress(OSError, *MALFORMED):
        plain = json.loads(picture.with_suffix(TRUTH).read_bytes())
        boxes = plain["boxes"]
        return Truth(
            Verdict(plain["verdict"]),
            None
            if boxes is None
            else tuple(ExpectedBox(str(each["class"]), read_box(each["box"])) for each in boxes),
            str(plain["by"]),
            float(plain["utc"]),
        )
    return None


def _written(truth: Truth) -> bytes:
    boxes = truth.boxes
    return json.dumps(
        {
            "verdict": truth.verdict.value,
            "boxes": None
            if boxes is None
            else [{"class": each.label, "box": list(each.box or ())} for each in boxes],
            "by": truth.by,
            "utc": truth.utc,
        },
        ensure_ascii=False,
    ).encode()
