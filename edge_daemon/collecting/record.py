"""What is known of one collected picture: the JSON that lies beside it.

`<day>/<name>.jpg` (or .png) is the picture, `<name>.json` the record, and `<name>.truth.json` what
people said of it. The station writes the first two, commands write the third, so that nobody
overwrites another's words.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Annotated, Any, Union

import msgspec
from msgspec.structs import replace as changed

from edge_daemon.core.collecting.choice import Inclusion
from edge_daemon.core.collecting.reasons import Why
from edge_daemon.core.judged import Judged
from edge_daemon.core.parts.values import PartOutcome
from edge_daemon.core.recipe import counted, digest
from edge_daemon.core.rollout.opinions import both
from edge_daemon.core.rollout.values import Opinion
from edge_daemon.core.values import Box, Detection, Verdict
from edge_daemon.documents import MALFORMED
from edge_daemon.messaging.times import iso_utc

SCHEMA = 1
NAME = re.compile(r"\d{8}T\d{9}Z-\d{9,}-[A-Za-z0-9_]{1,12}")
SUFFIXES = (".jpg", ".png")
_Whole = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]
_Verdict = Annotated[str, msgspec.Meta(pattern=f"^({'|'.join(Verdict)})$")]


class FoundObject(msgspec.Struct, frozen=True, rename={"label": "class"}):
    """One object that a model found; box in pixels of the picture as it is kept.

    `counts`: by the recipe; what does not was found with too little confidence.
    """

    label: str
    confidence: float
    box: Box
    counts: bool = True


class ModelResult(msgspec.Struct, frozen=True, rename={"found": "detections"}):
    """What one model says of the picture, by its own recipe."""

    model: str
    sha256: str
    recipe: Union[str, None]
    verdict: _Verdict
    causes: tuple[str, ...]
    found: tuple[FoundObject, ...]


class PartResult(msgspec.Struct, frozen=True):
    """The result of a part, as the station told it."""

    part: _Whole
    id: Union[str, None]
    serial: Union[str, None]
    verdict: _Verdict
    causes: tuple[str, ...] = ()


class ShownPart(msgspec.Struct, frozen=True, rename={"is_audited": "audited"}):
    """One part that the picture shows, and why it was chosen: exactly where draw < probability.

    `told` is None until the part has its result; where no parts are counted it stays so.
    """

    unit: str
    draw: float
    probability: float
    reasons: tuple[Why, ...]
    is_audited: bool = False
    told: Union[PartResult, None] = None


@dataclass(frozen=True)
class Record:
    """One picture. `alike`: so many more were left out, because they are nearly the same."""

    name: str
    boot: str
    frame: _Whole
    utc: float
    leading: Why
    verdict: _Verdict
    causes: tuple[str, ...] = ()
    product: Union[str, None] = None
    job_order: Union[str, None] = None
    size: tuple[_Whole, _Whole] = (0, 0)
    suffix: str = ".jpg"
    hash: int = 0
    alike: _Whole = 0
    parts: tuple[ShownPart, ...] = ()
    opinions: tuple[ModelResult, ...] = ()

    @property
    def day(self) -> str:
        """The folder in which it lies."""
        return day_of(self.name)

    @property
    def picture(self) -> str:
        """The picture's path below the folder."""
        return f"{self.day}/{self.name}{self.suffix}"

    @property
    def reasons(self) -> tuple[Why, ...]:
        """Of all its parts, the most telling first."""
        found = {why for part in self.parts for why in part.reasons}
        return tuple(sorted(found, key=lambda why: why.rank))

    def with_told(self, told: PartResult, unit: str) -> Record:
        """The same once the part of this unit has its result."""
        parts = (changed(p, told=told) if p.unit == unit else p for p in self.parts)
        return replace(self, parts=tuple(parts))

    def chosen_anew(self, chosen: Inclusion) -> Record:
        """The same once more reasons hold for one of its parts."""
        parts = tuple(
            changed(
                each,
                probability=chosen.probability,
                reasons=tuple(sorted({*each.reasons, *chosen.reasons}, key=lambda why: why.rank)),
            )
            if each.unit == chosen.unit
            else each
            for each in self.parts
        )
        return replace(self, parts=parts)

    def overruled(self) -> Record:
        """The same once a person said that its verdict is wrong."""
        parts = tuple(
            changed(each, reasons=tuple(dict.fromkeys((Why.OVERRULED, *each.reasons))))
            for each in self.parts
        )
        return replace(self, leading=Why.OVERRULED, parts=parts)


def name_of(boot: str, frame: int, utc: float) -> str:
    """By time, so that names sort; the boot tells stations and starts apart."""
    when = datetime.fromtimestamp(utc, timezone.utc)
    stamp = f"{when:%Y%m%dT%H%M%S}{when.microsecond // 1000:03d}Z"
    return f"{stamp}-{frame:09d}-{re.sub(r'[^A-Za-z0-9]', '_', boot)[:12]}"


def day_of(name: str) -> str:
    """The folder of a picture, by its name."""
    return f"{name[:4]}-{name[4:6]}-{name[6:8]}"


@dataclass(frozen=True)
class SavedPicture:
    """How the kept picture was made of the frame."""

    suffix: str
    size: tuple[int, int]
    hash: int = 0
    moved: Callable[[Box], Box | None] = field(default=lambda box: box)
    """A box of the frame in pixels of the picture; None where it lies outside."""


def record_of(boot: str, judged: Judged, chosen: Sequence[Inclusion], made: SavedPicture) -> Record:
    """The record of a judged frame that was chosen for these parts."""
    leading = min((each.leading for each in chosen), key=lambda why: why.rank)
    return Record(
        name=name_of(boot, judged.frame, judged.captured_utc),
        boot=boot,
        frame=judged.frame,
        utc=judged.captured_utc,
        leading=leading,
        verdict=judged.verdict.value,
        causes=judged.causes,
        product=judged.assignment.product,
        job_order=judged.assignment.job_order,
        size=made.size,
        suffix=made.suffix,
        hash=made.hash,
        parts=tuple(
            ShownPart(each.unit, each.draw, each.probability, each.reasons, each.is_audited)
            for each in chosen
        ),
        opinions=tuple(_said(each, made.moved) for each in both(judged) if each is not None),
    )


def both_of(old: ShownPart, new: ShownPart) -> ShownPart:
    """What is known of one part by two records of it."""
    reasons = sorted({*old.reasons, *new.reasons}, key=lambda why: why.rank)
    return changed(
        new,
        probability=max(old.probability, new.probability),
        reasons=tuple(reasons),
        is_audited=old.is_audited or new.is_audited,
        told=new.told or old.told,
    )


def told_of(part: PartOutcome) -> PartResult:
    """A part's result."""
    return PartResult(part.part, part.id, part.serial, part.verdict.value, part.causes)


def _said(said: Opinion, moved: Callable[[Box], Box | None]) -> ModelResult:
    recipe = said.recipe
    kept = said.detections if recipe is None else counted(said.detections, recipe)
    found = []
    for each in (*said.detections, *said.faint):
        box = moved(each.box)
        if box is not None and math.isfinite(each.confidence):
            found.append(_found(each, box, counts=each in kept))
    return ModelResult(
        str(said.model),
        said.sha256,
        None if recipe is None else digest(recipe),
        said.verdict.value,
        said.causes,
        tuple(found),
    )


def _found(each: Detection, box: Box, *, counts: bool) -> FoundObject:
    x1, y1, x2, y2 = (round(value, 1) for value in box)
    return FoundObject(each.label, round(each.confidence, 4), (x1, y1, x2, y2), counts)


# --------------------------------------------------------------------------- JSON


def written(record: Record) -> bytes:
    """The record as JSON; the time stands there twice, once for people."""
    plain = {
        "schema": SCHEMA,
        "picture": record.name + record.suffix,
        "boot": record.boot,
        "frame": record.frame,
        "time": iso_utc(record.utc),
        "utc": record.utc,
        "reason": record.leading.value,
        "verdict": record.verdict,
        "causes": list(record.causes),
        "product": record.product,
        "job_order": record.job_order,
        "size": list(record.size),
        "hash": f"{record.hash:016x}",
        "alike": record.alike,
        "parts": msgspec.to_builtins(record.parts),
        "opinions": msgspec.to_builtins(record.opinions),
    }
    return json.dumps(plain, ensure_ascii=False).encode()


_SAME = (
    *("boot", "frame", "utc", "verdict", "causes", "product", "job_order", "size", "alike"),
    *("parts", "opinions"),
)
"""Fields that are called the same in the file."""


def read(content: bytes, name: str) -> Record:
    """A record that was written; raises ValueError for what is none."""
    try:
        plain = msgspec.json.decode(content)
        suffix = str(plain["picture"])[len(name) :]
        if not NAME.fullmatch(name) or suffix not in SUFFIXES:
            raise ValueError("no name of a picture")
        known = {key: plain[key] for key in _SAME}
        own = {"name": name, "suffix": suffix, "hash": int(plain["hash"], 16)}
        return msgspec.convert({**known, **own, "leading": plain["reason"]}, Record)
    except MALFORMED as error:
        raise ValueError(f"{name}.json is no record of a picture: {error}") from error


def read_box(plain: Sequence[Any]) -> Box:
    """Four numbers; raises ValueError."""
    box: Box = msgspec.convert(plain, Box)
    return box
