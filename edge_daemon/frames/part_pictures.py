"""The folder of traceability: pictures with what was said of them, by day, order and part.

    <folder>/2026-11-28/WO-17/SN-1234-143001.123-000018230-ng.jpg, and beside it .json, and with
    `drawn` a .drawn.jpg

A picture lies on the disk before its part is told; then the JSON is written anew with the part, and
both files are named by its serial number. Files that this room has not named are left alone.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any

from edge_daemon.core.judged import Judged
from edge_daemon.core.parts.values import PartOutcome
from edge_daemon.core.recipe import digest
from edge_daemon.documents import MALFORMED
from edge_daemon.errors import StateError
from edge_daemon.frames.rejected import frame_facts
from edge_daemon.host.disk import write_whole
from edge_daemon.host.picture_index import PartRow, PictureIndex, PictureRow

NO_ORDER = "no-order"
_OURS = re.compile(r"(?:.{1,64}-)?\d{6}\.\d{3}-\d{9,}-(?:ok|ng|empty|uninspected)\.jpg")
_DRAWN = ".drawn.jpg"
_DAY_S = 86_400.0
_MOST_TOLD = 8_192
"""Parts of frames whose pictures are still being written; the oldest are given up."""
_digest_of = lru_cache(maxsize=16)(digest)


@dataclass(frozen=True)
class RetentionLimits:
    """How long pictures are kept; days None: only the quota counts."""

    quota_bytes: int
    days: int | None = None


class PartPictures:
    """JPEG and JSON of frames, at most so many bytes and days of them.

    `expect`, `told` and `names` never wait, and may be called by any thread; all else by one thread
    at a time. Raises OSError or StateError.

    Args:
        boot: the daemon's start, by which frame numbers are told apart.
        utc: POSIX seconds of now.
    """

    def __init__(
        self, folder: Path, keeping: RetentionLimits, boot: str, utc: Callable[[], float]
    ) -> None:
        self._folder, self._keeping = folder, keeping
        self._boot, self._utc = boot, utc
        self._index: PictureIndex | None = None
        self._inbox: deque[PartOutcome] = deque(maxlen=_MOST_TOLD)
        self._told: OrderedDict[int, list[PartOutcome]] = OrderedDict()  # by frame
        self._expected: OrderedDict[int, Judged] = OrderedDict()  # the lane's
        self.removed = 0
        """Pictures that went for the quota or by their age, since the start."""
        self.never_copied = 0
        """Those of them that still waited to be copied."""

    @property
    def is_open(self) -> bool:
        """Whether the index is ready; any thread."""
        return self._index is not None

    def expect(self, judged: Judged) -> None:
        """A frame whose picture was taken to be kept; before its verdict is told."""
        self._expected[judged.frame] = judged
        if len(self._expected) > _MOST_TOLD:
            self._expected.popitem(last=False)

    def names(self, part: PartOutcome) -> tuple[str, ...]:
        """What the pictures of a part will be called below the folder, its serial included.

        Nothing is waited for: a picture that the disk then refuses is counted as such, and one of
        a frame that is judged after its part was told is found in the index only.
        """
        frames = (self._expected.get(frame) for frame in part.frames)
        serial = _serial([part])
        return tuple(str(_named(_place(each), serial)) for each in frames if each is not None)

    def told(self, parts: Iterable[PartOutcome]) -> None:
        """Results of parts; they are written beside their pictures later."""
        self._inbox.extend(parts)

    def write(self, judged: Judged, jpeg: bytes, drawn: bytes | None = None) -> None:
        """Keep one frame's picture, and beside it the one that is drawn on."""
        index = self._opened()
        parts = self._told.pop(judged.frame, [])
        facts = _facts(self._boot, judged) | {"parts": [_part(each) for each in parts]}
        content = _json(facts)
        size = len(jpeg) + len(content) + len(drawn or b"")
        self._make_room(index, size)
        path = self._folder / _named(_place(judged), _serial(parts))
        path.parent.mkdir(parents=True, exist_ok=True)
        row = PictureRow(
            str(path.relative_to(self._folder)),
            self._boot,
            judged.frame,
            judged.captured_utc,
            judged.verdict.value,
            size,
        )
        with ExitStack() as undo:  # what the index does not know would take room for ever
            for each in (path.with_suffix(".json"), drawn_of(path), path):
                undo.callback(each.unlink, missing_ok=True)
            write_whole(path.with_suffix(".json"), content)
            if drawn is not None:
                write_whole(drawn_of(path), drawn)
            write_whole(path, jpeg)  # last: a picture that is there has its facts
            index.add((row, self._rows(judged.frame, parts)))
            undo.pop_all()

    def tend(self) -> None:
        """Now and then: parts that were told, and pictures that are too old."""
        index = self._opened()
        while self._inbox:
            part = self._inbox.popleft()
            try:
                self._enter(index, part)
            except (OSError, StateError):
                self._inbox.appendleft(part)  # when the disk takes it again
                raise
        while len(self._told) > _MOST_TOLD:
            self._told.popitem(last=False)
        if self._keeping.days is not None:
            until = self._utc() - self._keeping.days * _DAY_S
            while (oldest := index.oldest()) is not None and oldest.utc < until:
                self._remove(index, oldest)

    def close(self) -> None:
        """Write down the parts that were told last."""
        if self._index is not None:
            try:
                self.tend()
            finally:
                self._index.close()
                self._index = None

    # ------------------------------------------------------------------ files

    def _enter(self, index: PictureIndex, part: PartOutcome) -> None:
        """A part is told: its pictures say so, and those that are not written yet will."""
        for frame in part.frames:
            row = index.of_frame(self._boot, frame)
            if row is None:
                waiting = self._told.setdefault(frame, [])
                if part not in waiting:
                    waiting.append(part)
            elif (self._folder / row.path).exists():
                self._amend(index, row, part)
            else:
                index.remove(row)  # deleted by another program

    def _amend(self, index: PictureIndex, row: PictureRow, part: PartOutcome) -> None:
        """The JSON names the part; the files are called by its serial number."""
        old = self._folder / row.path
        try:
            facts = json.loads(old.with_suffix(".json").read_bytes())
            others = [each for each in facts["parts"] if each["part"] != part.part]
        except (FileNotFoundError, *MALFORMED):  # changed by another program
            index.change(row, row.path, row.bytes, self._rows(row.frame, [part]))
            return
        content = _json(facts | {"parts": [*others, _part(part)]})
        serial = _clean(part.serial) if part.serial else ""
        has_serial = re.match(r"\d{6}\.\d{3}-", old.name) is None
        new = old if has_serial else _named(old, serial)
        write_whole(new.with_suffix(".json"), content)
        if new != old:
            with suppress(FileNotFoundError):  # there may be none
                os.replace(drawn_of(old), drawn_of(new))
            os.replace(old, new)
            old.with_suffix(".json").unlink(missing_ok=True)
        size = new.stat().st_size + len(content) + _size(drawn_of(new))
        relative = str(new.relative_to(self._folder))
        index.change(row, relative, size, self._rows(row.frame, [part]))

    def _make_room(self, index: PictureIndex, wanted_bytes: int) -> None:
        while index.bytes + wanted_bytes > self._keeping.quota_bytes:
            oldest = index.oldest()
            if oldest is None:
                return
            self._remove(index, oldest)

    def _remove(self, index: PictureIndex, row: PictureRow) -> None:
        path = self._folder / row.path
        path.unlink(missing_ok=True)
        for beside in (path.with_suffix(".json"), drawn_of(path)):
            beside.unlink(missing_ok=True)
        self.never_copied += index.remove(row)
        self.removed += 1
        for folder in (path.parent, path.parent.parent):
            with suppress(OSError):  # others lie there yet
                folder.rmdir()

    def _rows(self, frame: int, parts: Iterable[PartOutcome]) -> list[PartRow]:
        return [PartRow(self._boot, each.part, frame, each.id, each.serial) for each in parts]

    # ------------------------------------------------------------------ the index

    def _opened(self) -> PictureIndex:
        """The index, with what an earlier life or another hand did in the folder."""
        if self._index is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            index = PictureIndex(self._folder)
            self._clear()
            there = {
                str(path.relative_to(self._folder))
                for path in self._folder.glob("*/*/*.jpg")
                if _OURS.fullmatch(path.name)
            }
            known = index.paths()
            index.forget(known - there)
            index.add(*(found for path in sorted(there - known) for found in self._read(path)))
            self._index = index
        return self._index

    def _clear(self) -> None:
        """What an earlier life did not finish: a JSON without its picture, half a file."""
        for path in self._folder.glob("*/*/*.json"):
            picture = path.with_suffix(".jpg")
            if _OURS.fullmatch(picture.name) and not picture.exists():
                path.unlink(missing_ok=True)
                drawn_of(picture).unlink(missing_ok=True)
        for path in self._folder.glob("*/*/.*.part"):
            whole = path.name[1:].removesuffix(".part").replace(_DRAWN, ".jpg")
            name = Path(whole).with_suffix(".jpg").name
            if _OURS.fullmatch(name):
                path.unlink(missing_ok=True)

    def _read(self, relative: str) -> Iterator[tuple[PictureRow, list[PartRow]]]:
        """A picture that the index does not know, by its JSON; one without is not ours."""
        path = self._folder / relative
        with suppress(OSError, *MALFORMED):
            content = path.with_suffix(".json").read_bytes()
            facts = json.loads(content)
            boot, frame = _text(facts["boot"]), _number(facts["frame"])
            utc = float(facts["utc"])
            if not math.isfinite(utc):
                raise ValueError("no time")
            size = path.stat().st_size + len(content) + _size(drawn_of(path))
            parts = [
                PartRow(
                    boot, _number(each["part"]), frame, *map(_name, (each["id"], each["serial"]))
                )
                for each in facts["parts"]
            ]
            yield PictureRow(relative, boot, frame, utc, _text(facts["verdict"]), size), parts


def drawn_of(path: Path) -> Path:
    """Where the picture lies that is drawn on, beside the clean one."""
    return path.with_suffix(_DRAWN)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _text(value: object) -> str:
    """What a stranger may have written into a JSON; raises ValueError or TypeError."""
    if not isinstance(value, str):
        raise TypeError("no text")
    value.encode()  # half a character is no text
    return value


def _name(value: object) -> str | None:
    return None if value is None else _text(value)


def _number(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value < 1 << 62:
        raise ValueError("no number")
    return value


def _place(judged: Judged) -> Path:
    when = datetime.fromtimestamp(judged.captured_utc, timezone.utc)
    order = judged.assignment.job_order
    stamp = f"{when:%H%M%S}.{when.microsecond // 1000:03d}"
    name = f"{stamp}-{judged.frame:09d}-{judged.verdict.value}.jpg"
    return Path(f"{when:%Y-%m-%d}", _clean(order) if order else NO_ORDER, name)


def _named(place: Path, serial: str) -> Path:
    return place.with_name(f"{serial}-{place.name}") if serial else place


def _serial(parts: Iterable[PartOutcome]) -> str:
    return next((_clean(each.serial) for each in parts if each.serial), "")


def _clean(text: str) -> str:
    """A stranger's word as a file's name: no separator, no dot at its start, 64 characters."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", text)[:64].lstrip(".") or "_"


def _json(facts: dict[str, Any]) -> bytes:
    return json.dumps(facts, ensure_ascii=False).encode()


def _part(told: PartOutcome) -> dict[str, Any]:
    return {
        "part": told.part,
        "id": told.id,
        "serial": told.serial,
        "verdict": told.verdict.value,
        "causes": list(told.causes),
        "reason": told.reason.value if told.reason else None,
    }


def _facts(boot: str, judged: Judged) -> dict[str, Any]:
    """With the digest and the zones of the recipe that judged.

    All that a viewer needs to draw on the picture, which stays as the camera gave it.
    """
    return {
        "boot": boot,
        **frame_facts(judged),
        "utc": judged.captured_utc,
        "recipe": _digest_of(judged.recipe) if judged.recipe else None,
        "reason": judged.reason.value if judged.reason else None,
        "causes": list(judged.causes),
        "size": judged.size,
        "zones": {zone.name: zone.points for zone in judged.recipe.zones} if judged.recipe else {},
    }
