"""The folder keeps within its quota, survives a kill at any point, and learns of results later."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec.structs import replace as changed

from edge_daemon.collecting.catalogue import Catalogue
from edge_daemon.collecting.record import Record, ShownPart, name_of, read, written
from edge_daemon.collecting.store import CollectionStore, Overruled, RetentionLimits
from edge_daemon.core.collecting.alike import PictureDescriptor
from edge_daemon.core.collecting.choice import Inclusion
from edge_daemon.core.collecting.quota import shares
from edge_daemon.core.collecting.reasons import Why
from edge_daemon.core.values import Verdict
from edge_daemon.host import disk
from tests.frames.test_part_pictures import UTC, told

LOOK = PictureDescriptor(0, (), ())
CONTENT = b"x" * 1000


class Killed(BaseException):
    """The process is gone."""


def record(frame: int, why: Why = Why.NG, boot: str = "b1", unit: str = "") -> Record:
    utc = UTC + frame
    part = ShownPart(unit or str(frame), 0.1, 1.0, (why,))
    return Record(name_of(boot, frame, utc), boot, frame, utc, why, "ng", parts=(part,))


def opened(
    folder: Path,
    quota: int = 10**7,
    wanted: Iterable[Why] = Why,
    *,
    days: int | None = None,
    utc: float = UTC,
    boot: str = "b1",
    by_frame: bool = True,
) -> CollectionStore:
    keeping = RetentionLimits(quota, shares(wanted, 0.5), days, alike_bits=None)
    made = CollectionStore(folder, keeping, boot, lambda: utc, by_frame=by_frame)
    made.tend()
    return made


def frames(folder: Path) -> list[int]:
    return [each.record.frame for each in Catalogue(folder)]


def test_a_record_is_read_as_it_was_written() -> None:
    whole = replace(record(7, Why.AUDIT), product="BTL", hash=2**63 + 5, alike=3, size=(640, 480))
    assert read(written(whole), whole.name) == whole


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"nonsense", b"\xff\xfe", b'{"schema": 1}'])
def test_what_is_no_record_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="no record"):
        read(content, record(1).name)


@pytest.mark.parametrize(
    "change",
    [
        {"frame": True},
        {"frame": -1},
        {"utc": "1"},
        {"verdict": "fine"},
        {"reason": "none"},
        {"size": [640]},
        {"causes": [7]},
        {"picture": "other.jpg"},
        {"hash": 5},
        {"parts": [{}]},
    ],
)
def test_a_record_with_a_wrong_or_missing_word_is_refused(change: dict[str, object]) -> None:
    whole = record(7)
    plain = json.loads(written(whole))
    (key,) = change
    for broken in ({**plain, **change}, {name: plain[name] for name in plain if name != key}):
        with pytest.raises(ValueError, match="no record"):
            read(json.dumps(broken).encode(), whole.name)


@pytest.mark.parametrize("step", range(8))
def test_a_kill_at_any_point_leaves_whole_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Each file operation in turn is the last one of a life; the next life finds whole pairs."""
    store = opened(tmp_path, quota=4 * 1400)
    for frame in range(3):
        store.keep(record(frame), CONTENT, LOOK)
    left = step

    def dies(real: object) -> object:
        def call(*arguments: object, **named: object) -> object:
            nonlocal left
            if left == 0:
                raise Killed
            left -= 1
            return real(*arguments, **named)  # type: ignore[operator]

        return call

    monkeypatch.setattr(disk.os, "replace", dies(os.replace))
    monkeypatch.setattr(Path, "write_bytes", dies(Path.write_bytes))
    monkeypatch.setattr(Path, "unlink", dies(Path.unlink))
    try:
        store.keep(record(3), CONTENT, LOOK)
        store.keep(record(4), CONTENT, LOOK)
    except Killed:
        pass
    monkeypatch.undo()
    again = opened(tmp_path, quota=4 * 1400)
    kept = frames(tmp_path)
    assert kept == sorted(kept)
    assert set(kept) >= {1, 2}
    names = {path.name.partition(".")[0] for path in tmp_path.glob("*/*")}
    assert len(names) == len(kept), "a rest was left"
    assert len(list(tmp_path.glob("*/*"))) == 2 * len(kept)
    again.keep(record(9), CONTENT, LOOK)
    assert 9 in frames(tmp_path)


def test_rare_reasons_keep_their_part_of_the_quota(tmp_path: Path) -> None:
    """Rejects come in hundreds, disagreements in dozens: none of these goes."""
    store = opened(tmp_path, quota=40_000, wanted=[Why.NG, Why.DISAGREEMENT])
    for frame in range(200):
        store.keep(record(frame, Why.DISAGREEMENT if frame < 10 else Why.NG), CONTENT, LOOK)
    kept = [each.record.leading for each in Catalogue(tmp_path)]
    assert kept.count(Why.DISAGREEMENT) == 10
    size = sum(path.stat().st_size for path in tmp_path.glob("*/*"))
    assert 35_000 < size <= 40_000
    assert store.removed == 200 - len(kept)
    store.close()
    assert Catalogue(tmp_path).since_utc > UTC + 10, "estimates begin after what has gone"


def test_old_pictures_go_with_all_that_lies_beside_them(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.keep(record(1), CONTENT, LOOK)
    (picture,) = tmp_path.glob("*/*.jpg")
    picture.with_suffix(".truth.json").write_text("{}")
    opened(tmp_path, days=1, utc=UTC + 2 * 86_400)
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]


@pytest.mark.parametrize("first", ["picture", "result"])
def test_the_result_of_a_part_joins_its_picture(tmp_path: Path, first: str) -> None:
    """Whichever comes first, and also where the part is more than one frame."""
    store = opened(tmp_path, by_frame=False)
    if first == "result":
        store.told([told(7, 4, 5, serial="SN-7")])
        store.tend()
    store.keep(record(5, unit="7"), CONTENT, LOOK)
    store.told([told(7, 4, 5, serial="SN-7"), told(8, 6)])
    store.tend()
    (each,) = Catalogue(tmp_path)
    (part,) = each.record.parts
    assert part.told is not None
    assert (part.told.part, part.told.serial, part.told.verdict) == (7, "SN-7", "ng")


def test_an_overruled_part_becomes_rare(tmp_path: Path) -> None:
    """By its boot and number, also after a restart."""
    store = opened(tmp_path)
    store.keep(record(3, Why.AUDIT), CONTENT, LOOK)
    store.told([told(3, 3)])
    store.tend()
    later = opened(tmp_path, boot="b2")
    later.overruled(Overruled("b1", 3))
    later.tend()
    (each,) = Catalogue(tmp_path)
    assert each.record.leading is Why.OVERRULED
    assert each.record.reasons == (Why.OVERRULED, Why.AUDIT)


def test_an_overruled_part_without_a_picture_is_borrowed(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.borrow = lambda word: (record(word.part, Why.OVERRULED, boot=word.boot), CONTENT)
    store.overruled(Overruled("b0", 12))
    store.tend()
    assert [(each.record.boot, each.record.frame) for each in Catalogue(tmp_path)] == [("b0", 12)]


def test_a_later_reason_raises_the_probability(tmp_path: Path) -> None:
    """The picture of a part that was drawn stays; how likely that was is known at the end."""
    store = opened(tmp_path, by_frame=False)
    store.keep(record(3, Why.NG, unit="7"), CONTENT, LOOK)
    store.chosen_anew(Inclusion("7", 0.1, 1.0, (Why.NG, Why.AUDIT), Why.NG))
    store.tend()
    (each,) = Catalogue(tmp_path)
    assert each.record.parts[0].reasons == (Why.NG, Why.AUDIT)


def test_a_later_reason_waits_for_the_picture(tmp_path: Path) -> None:
    """The thread that writes is behind: nothing is forgotten meanwhile."""
    store = opened(tmp_path, by_frame=False)
    store.chosen_anew(Inclusion("7", 0.1, 1.0, (Why.NG, Why.AUDIT), Why.NG))
    store.tend()
    low = changed(record(3, Why.NG, unit="7").parts[0], probability=0.2)
    store.keep(replace(record(3, Why.NG, unit="7"), parts=(low,)), CONTENT, LOOK)
    (each,) = Catalogue(tmp_path)
    assert each.record.parts[0].reasons == (Why.NG, Why.AUDIT)
    assert each.record.parts[0].probability == 1.0


def test_what_others_take_away_is_no_fault(tmp_path: Path) -> None:
    """A person or a purge has removed pictures: the quota counts what is there."""
    store = opened(tmp_path)
    for frame in range(3):
        store.keep(record(frame), CONTENT, LOOK)
    for each in Catalogue(tmp_path):
        Catalogue(tmp_path).remove(each)
    store.told([told(1, 1)])
    store.tend()
    store.keep(record(9), CONTENT, LOOK)
    assert frames(tmp_path) == [9]


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    day = tmp_path / "2026-11-18"
    day.mkdir()
    for name in ("notes.json", "mine.jpg", "holiday.truth.json"):
        (day / name).write_text("{}")
    opened(tmp_path)
    assert sorted(path.name for path in day.iterdir()) == [
        "holiday.truth.json",
        "mine.jpg",
        "notes.json",
    ]
    assert frames(tmp_path) == []


def test_a_disk_that_fails_keeps_the_word_for_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(tmp_path)
    store.keep(record(3), CONTENT, LOOK)
    store.told([told(3, 3, serial="SN-3")])

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        store.tend()
    monkeypatch.undo()
    store.tend()
    (each,) = Catalogue(tmp_path)
    assert each.record.parts[0].told is not None


def test_a_part_s_verdict_is_ng_only_where_it_was_told_so(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.keep(record(3), CONTENT, LOOK)
    store.told([told(3, 3, verdict=Verdict.OK, causes=())])
    store.tend()
    (each,) = Catalogue(tmp_path)
    assert each.record.parts[0].told is not None
    assert each.record.parts[0].told.verdict == "ok"
