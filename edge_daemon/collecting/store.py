"""The folder of collected pictures: within its quota, one picture a part, near twins left out.

    <folder>/2026-11-28/20261128T143001123Z-000018230-3f2a….jpg, and beside it .json

The files are the only truth: what is known here is read from them at each start. A record is
written before its picture, so a picture that is there has its record; a record without a picture
was left by a life that ended between the two, and is cleaned away. Files that this room has not
named are left alone.
"""

from __future__ import annotations

import json
from bisect import bisect_left, insort
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_daemon.collecting.files import STATUS, clean, size_of, take_away, whole_record
from edge_daemon.collecting.record import PartResult, Record, both_of, read, told_of, written
from edge_daemon.core.collecting.alike import PictureDescriptor, Recent
from edge_daemon.core.collecting.choice import Inclusion
from edge_daemon.core.collecting.quota import goes_first
from edge_daemon.core.collecting.reasons import Why
from edge_daemon.core.parts.values import PartOutcome
from edge_daemon.documents import MALFORMED
from edge_daemon.host.disk import write_whole

_DAY_S = 86_400.0
_MOST_TOLD = 8_192
"""Results of parts whose picture is still being written; the oldest are given up."""
_SAY_S = 5.0
"""Between two writes of `status.json`."""
_COUNT_S = 60.0
"""Between two looks at what others have taken away."""


@dataclass(frozen=True)
class RetentionLimits:
    """How much is kept, and how long; `own`: the share of the quota that is each reason's."""

    quota_bytes: int
    own: Mapping[Why, float]
    days: int | None = None
    alike_bits: int | None = 4


@dataclass
class _StoredPicture:
    """One picture on the disk."""

    path: str  # below the folder
    leading: Why
    utc: float
    bytes: int
    units: tuple[str, ...]  # the parts that it shows, as they are drawn by
    boot: str
    parts: tuple[int, ...] = ()  # by number, once they were told


@dataclass(frozen=True)
class Overruled:
    """A person says that the station's verdict on a part is wrong."""

    boot: str
    part: int


class CollectionStore:
    """The collector's folder. `told` and `overruled` may be called by any thread and never wait;
    all else by one thread at a time. Raises OSError.

    Args:
        utc: POSIX seconds of now.
        borrow: a picture of a part that nobody collected, from where pictures of parts are kept.
        facts: what `status.json` says beside the pictures: losses, since the start.
        by_frame: whether a part is a frame, by the number of which it is drawn.
    """

    def __init__(
        self,
        folder: Path,
        keeping: RetentionLimits,
        boot: str,
        utc: Callable[[], float],
        *,
        by_frame: bool = True,
    ) -> None:
        self._folder, self._keeping = folder, keeping
        self._boot, self._utc, self._by_frame = boot, utc, by_frame
        self.borrow: Callable[[Overruled], tuple[Record, bytes] | None] = lambda _: None
        self.facts: Callable[[], Mapping[str, int]] = dict
        self._inbox: deque[PartOutcome | Overruled | Inclusion] = deque(maxlen=_MOST_TOLD)
        self._told: OrderedDict[str, PartResult] = OrderedDict()  # by unit, of pictures to come
        self._kept: dict[str, _StoredPicture] | None = None  # by name
        self._order: dict[Why, list[str]] = {}  # sorted, the oldest first
        self._bytes: dict[Why, int] = {}
        self._units: dict[tuple[str, str], str] = {}  # boot and unit -> name
        self._parts: dict[tuple[str, int], str] = {}  # boot and part, once it was told -> name
        self._late: OrderedDict[str, Inclusion] = OrderedDict()  # by unit, likewise
        self._recent = Recent(keeping.alike_bits)
        self._twins: dict[str, int] = {}  # not written down yet
        self._since_utc = 0.0
        self._said_at = self._counted_at = 0.0
        self._said: bytes = b""
        self.removed = 0
        """Pictures that went for the quota or by their age, since the start."""
        self.alike = 0
        """Pictures that were left out, since the start."""
        self.kept_by: dict[Why, int] = dict.fromkeys(Why, 0)
        """Pictures that were written, since the start."""

    # ------------------------------------------------------------------ any thread

    def told(self, parts: Iterable[PartOutcome]) -> None:
        """Results of parts; they are written beside their pictures later."""
        self._inbox.extend(parts)

    def overruled(self, word: Overruled) -> None:
        """The picture of this part is worth more now."""
        self._inbox.append(word)

    def chosen_anew(self, chosen: Inclusion) -> None:
        """More reasons hold for a part that has a picture."""
        self._inbox.append(chosen)

    # ------------------------------------------------------------------ one thread at a time

    def keep(self, record: Record, content: bytes, look: PictureDescriptor) -> None:
        """Write one picture and its record, unless there is nearly the same one already."""
        kept = self._opened()
        before = {self._units.get((record.boot, each.unit)) for each in record.parts} - {None}
        if record.name in before:
            self._rewrite(record.name, lambda old: _joined(old, record))
            return
        is_audited = any(each.is_audited for each in record.parts)
        twin = None if is_audited or before else self._recent.like(look)
        if twin is not None and twin in kept:
            self._twins[twin] = self._twins.get(twin, 0) + 1
            self.alike += 1
            return
        record = self._with_results(record)
        earlier = [each for each in map(self._read, filter(None, before)) if each is not None]
        better = next((old for old in earlier if old.leading.rank <= record.leading.rank), None)
        if better is not None:  # its frame was encoded first
            late = record
            self._rewrite(better.name, lambda old: _joined(late, old))
            return
        for old in earlier:
            record = _joined(old, record)
        self._write(record, content)
        self._recent.add(record.name, look)
        units = {each.unit for each in record.parts}
        for old in earlier:
            if units >= {each.unit for each in old.parts}:
                self._remove(old.name)

    def tend(self) -> None:
        """Now and then: results of parts, twins, pictures that are too old."""
        kept = self._opened()
        while self._inbox:
            word = self._inbox.popleft()
            try:
                self._hear(word)
            except OSError:
                self._inbox.appendleft(word)  # when the disk takes it again
                raise
        for name in list(self._twins):
            self._rewrite(name, self._with_twins)
            del self._twins[name]
        if self._keeping.days is not None:
            until = self._utc() - self._keeping.days * _DAY_S
            for name in [name for name, each in kept.items() if each.utc < until]:
                self._remove_oldest(name)
        self._count_again(kept)
        self._say()

    def close(self) -> None:
        """Write down what was told last."""
        if self._kept is not None:
            self._said_at = 0.0
            self.tend()

    # ------------------------------------------------------------------ results of parts

    def _hear(self, word: PartOutcome | Overruled | Inclusion) -> None:
        if isinstance(word, Overruled):
            self._overrule(word)
        elif isinstance(word, Inclusion):
            chosen, name = word, self._units.get((self._boot, word.unit))
            if name is not None:
                self._rewrite(name, lambda old: old.chosen_anew(chosen))
            else:
                self._late[word.unit] = word
                if len(self._late) > _MOST_TOLD:
                    self._late.popitem(last=False)
        elif (unit := self._unit_of(word)) is not None:
            self._result(told_of(word), unit)

    def _result(self, told: PartResult, unit: str) -> None:
        name = self._units.get((self._boot, unit))
        if name is not None:
            self._rewrite(name, lambda old: old.with_told(told, unit))
            return
        self._told[unit] = told
        while len(self._told) > _MOST_TOLD:
            self._told.popitem(last=False)

    def _unit_of(self, part: PartOutcome) -> str | None:
        if self._by_frame:
            return str(part.frames[0]) if part.frames else None
        return str(part.part)

    def _with_results(self, record: Record) -> Record:
        for each in record.parts:
            told, late = self._told.pop(each.unit, None), self._late.pop(each.unit, None)
            if told is not None:
                record = record.with_told(told, each.unit)
            if late is not None:
                record = record.chosen_anew(late)
        return record

    def _with_twins(self, record: Record) -> Record:
        return replace(record, alike=record.alike + self._twins[record.name])

    def _overrule(self, word: Overruled) -> None:
        name = self._parts.get((word.boot, word.part))
        if name is not None:
            self._rewrite(name, Record.overruled)
            return
        borrowed = self.borrow(word)
        if borrowed is not None:
            self._write(*borrowed)

    # ------------------------------------------------------------------ files

    def _write(self, record: Record, content: bytes) -> None:
        text = written(record)
        self._make_room(len(text) + len(content))
        path = self._folder / record.picture
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path.with_suffix(".json"), text)
        write_whole(path, content)  # last: a picture that is there has its record
        self._enter(record, len(text) + len(content))
        self.kept_by[record.leading] += 1

    def _rewrite(self, name: str, change: Callable[[Record], Record]) -> None:
        """Change a record; nothing where somebody has taken it away."""
        old = self._read(name)
        kept = self._opened()
        if old is None or name not in kept:
            return
        new = change(old)
        if new != old:
            before, after = len(written(old)), written(new)
            write_whole(self._folder / new.day / f"{name}.json", after)
            size = kept[name].bytes + len(after) - before
            self._forget(name)
            self._enter(new, size)

    def _read(self, name: str) -> Record | None:
        held = self._opened().get(name)
        if held is None:
            return None
        with suppress(OSError, ValueError):
            return read((self._folder / held.path).with_suffix(".json").read_bytes(), name)
        return None

    def _make_room(self, wanted_bytes: int) -> None:
        keeping = self._keeping
        while sum(self._bytes.values()) + wanted_bytes > keeping.quota_bytes:
            why = goes_first(self._bytes, keeping.own, keeping.quota_bytes)
            if why is None:
                return
            self._remove_oldest(self._order[why][0])

    def _remove_oldest(self, name: str) -> None:
        self._since_utc = max(self._since_utc, self._opened()[name].utc)
        self._remove(name)
        self.removed += 1

    def _remove(self, name: str) -> None:
        picture = self._folder / self._opened()[name].path
        take_away(picture)
        self._forget(name)

    # ------------------------------------------------------------------ what is known

    def _enter(self, record: Record, size: int) -> None:
        assert self._kept is not None
        why, name = record.leading, record.name
        units = tuple(each.unit for each in record.parts)
        parts = tuple(each.told.part for each in record.parts if each.told is not None)
        held = _StoredPicture(record.picture, why, record.utc, size, units, record.boot, parts)
        self._kept[name] = held
        self._bytes[why] = self._bytes.get(why, 0) + size
        order = self._order.setdefault(why, [])
        insort(order, name)  # names sort by time
        self._units.update({(held.boot, unit): name for unit in units})
        self._parts.update({(held.boot, part): name for part in parts})

    def _forget(self, name: str) -> None:
        assert self._kept is not None
        gone = self._kept.pop(name)
        self._bytes[gone.leading] -= gone.bytes
        order = self._order[gone.leading]
        del order[bisect_left(order, name)]
        for unit in gone.units:
            if self._units.get((gone.boot, unit)) == name:
                del self._units[gone.boot, unit]
        for part in gone.parts:
            if self._parts.get((gone.boot, part)) == name:
                del self._parts[gone.boot, part]

    def _opened(self) -> dict[str, _StoredPicture]:
        """What an earlier life, or another hand, left in the folder."""
        if self._kept is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            clean(self._folder)
            self._kept = {}
            for path in sorted(self._folder.glob("*/*.json")):
                if (record := whole_record(path)) is not None:
                    self._enter(record, size_of(self._folder / record.picture))
            with suppress(OSError, *MALFORMED):
                self._since_utc = float(
                    json.loads((self._folder / STATUS).read_bytes())["since_utc"]
                )
        return self._kept

    def _count_again(self, kept: Mapping[str, _StoredPicture]) -> None:
        """Pictures that a command has purged take no room any more."""
        if self._utc() - self._counted_at < _COUNT_S:
            return
        self._counted_at = self._utc()
        for name in [
            name for name, each in kept.items() if not (self._folder / each.path).exists()
        ]:
            self._forget(name)

    def _say(self) -> None:
        """How it stands, for commands: what only this process knows."""
        now = self._utc()
        if now - self._said_at < _SAY_S:
            return
        self._said_at = now
        plain: dict[str, Any] = {
            "boot": self._boot,
            "since_utc": self._since_utc,
            "kept": {why.value: count for why, count in self.kept_by.items() if count},
            "removed": self.removed,
            "alike": self.alike,
            **self.facts(),
        }
        content = json.dumps(plain).encode()
        if content != self._said:
            write_whole(self._folder / STATUS, content)
            self._said = content


def _joined(old: Record, new: Record) -> Record:
    """What is known of one part by two pictures of it, or twice by one: in the newer one's words.

    Of one frame the record that more models speak in is the whole one.
    """
    if old.name == new.name and len(old.opinions) > len(new.opinions):
        old, new = new, old
    known = {each.unit: each for each in old.parts}
    leading = min(old.leading, new.leading, key=lambda why: why.rank)
    return replace(
        new,
        leading=leading,
        alike=max(old.alike, new.alike),
        parts=tuple(both_of(known.get(each.unit, each), each) for each in new.parts),
    )
