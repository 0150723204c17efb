"""Pictures of parts: named, described, found by serial number, and gone in their time."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_daemon.core.parts.values import By, PartOutcome, PartReason
from edge_daemon.core.recipe import digest
from edge_daemon.core.traceability import Choice
from edge_daemon.core.values import UNASSIGNED, Detection, Recipe, Rule, Verdict
from edge_daemon.core.zones import Zone
from edge_daemon.errors import StateError
from edge_daemon.frames.collector import PICTURES, Collector, PictureCounts, as_jpeg
from edge_daemon.frames.images import encode
from edge_daemon.frames.part_pictures import NO_ORDER, PartPictures, RetentionLimits, drawn_of
from edge_daemon.host.picture_index import FILE, PictureIndex, find_pictures
from tests.frames.test_images import GENEROUS_S, Lane
from tests.frames.test_images import judged as framed
from tests.sim.device import wait_until

JPEG = encode(np.zeros((48, 64, 3), np.uint8))
UTC = 1_795_000_000.0
DAY = "2026-11-18"


def told(part: int, *frames: int, serial: str | None = None, **more: Any) -> PartOutcome:
    usual = PartOutcome(
        part=part,
        id=None,
        by=By.TRIGGER,
        verdict=Verdict.NG,
        reason=None,
        causes=("scratch",),
        frames=frames,
        triggered=None,
        captured=None,
        model=None,
        sha256=None,
        recipe=None,
        assignment=UNASSIGNED,
        serial=serial,
        age_ms=1.0,
        late=False,
        trial=False,
    )
    return replace(usual, **more)


def kept(
    folder: Path, boot: str = "b1", quota: int = 10**7, days: int | None = None, utc: float = UTC
) -> PartPictures:
    return PartPictures(folder, RetentionLimits(quota, days), boot, lambda: utc)


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.jpg"))


def facts_of(folder: Path, name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / name).with_suffix(".json").read_text())
    return read


def test_a_picture_says_what_judged_it(tmp_path: Path) -> None:
    """By day, order and frame; the JSON beside it has the verdict and all that it rests on."""
    recipe = Recipe.rejecting(0.3, "scratch")
    pictures = kept(tmp_path)
    pictures.write(replace(framed(12), recipe=recipe, causes=("scratch",)), JPEG)
    pictures.write(replace(framed(13, Verdict.UNINSPECTED), assignment=UNASSIGNED), JPEG)
    first, second = names(tmp_path)
    assert first.startswith(f"{DAY}/WO-17/")
    assert first.endswith("-000000012-ng.jpg")
    assert second.startswith(f"{DAY}/{NO_ORDER}/")
    facts = facts_of(tmp_path, first)
    assert (facts["boot"], facts["frame"], facts["model"]) == ("b1", 12, "bottle@1.4.0")
    assert (facts["verdict"], facts["causes"]) == ("ng", ["scratch"])
    assert facts["recipe"] == digest(recipe)
    assert facts_of(tmp_path, second)["reason"] == "changeover"


@pytest.mark.parametrize("part_first", [True, False])
def test_a_part_is_found_by_its_serial_number(tmp_path: Path, part_first: bool) -> None:
    """Whichever comes first, the picture or the result of its part; also while the daemon runs."""
    pictures = kept(tmp_path)
    part = told(812, 5, 6, serial="SN-1234", id="t-9", reason=PartReason.LATE)
    if part_first:
        pictures.told([part])
        pictures.tend()
    for frame in (5, 6, 7):
        pictures.write(framed(frame), JPEG)
    if not part_first:
        pictures.told([part])
        pictures.tend()
    found = find_pictures(tmp_path, "SN-1234")
    assert [(each.part.part, each.part.frame) for each in found] == [(812, 5), (812, 6)]
    assert found == find_pictures(tmp_path, "t-9")
    assert all(each.path.read_bytes() == JPEG for each in found)
    assert [each.path.name.startswith("SN-1234-") for each in found] == [True, True]
    (about,) = facts_of(tmp_path, str(found[0].path))["parts"]
    assert (about["serial"], about["verdict"], about["reason"]) == ("SN-1234", "ng", "late")
    assert find_pictures(tmp_path, "SN-9") == ()
    assert find_pictures(tmp_path / "none", "SN-1234") == ()
    assert len(list(tmp_path.rglob("*.json"))) == 3, "a JSON was left under its old name"


@pytest.mark.parametrize("part_first", [True, False])
@pytest.mark.parametrize("serial", ["SN/1", None])
def test_the_names_are_known_before_anything_is_written(
    tmp_path: Path, part_first: bool, serial: str | None
) -> None:
    """A result names the files that will be there, and waits for no disk."""
    pictures = kept(tmp_path)
    part = told(812, 5, 6, 7, serial=serial)
    for frame in (5, 7):
        pictures.expect(framed(frame))
    promised = pictures.names(part)
    assert names(tmp_path) == []
    assert len(promised) == 2, "frame 6 was not wanted, or there was no room"
    for step in range(2):
        if part_first == (step == 0):
            pictures.told([part])
            pictures.tend()
        else:
            for frame in (5, 7):
                pictures.write(framed(frame), JPEG)
    assert sorted(promised) == names(tmp_path)


def test_a_frame_may_show_several_parts(tmp_path: Path) -> None:
    """Followed objects: each finds the picture, which is called by the first."""
    pictures = kept(tmp_path)
    pictures.write(framed(5), JPEG)
    pictures.told([told(1, 5, serial="A"), told(2, 5, serial="B")])
    pictures.tend()
    (name,) = names(tmp_path)
    assert "/A-" in name
    assert [each["part"] for each in facts_of(tmp_path, name)["parts"]] == [1, 2]
    assert find_pictures(tmp_path, "A")[0].path == find_pictures(tmp_path, "B")[0].path


@pytest.mark.parametrize(
    "serial", ["../../etc/passwd", ".hidden", "a/b", "x" * 300, "\0", "ß", "."]
)
def test_no_serial_number_leads_out_of_the_folder(tmp_path: Path, serial: str) -> None:
    """It is a stranger's text; it is found as it was told all the same."""
    pictures = kept(tmp_path / "kept")
    pictures.write(framed(5), JPEG)
    pictures.told([told(1, 5, serial=serial)])
    pictures.tend()
    (found,) = find_pictures(tmp_path / "kept", serial)
    assert found.path.parent == tmp_path / "kept" / DAY / "WO-17"
    assert not found.path.name.startswith(".")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_the_quota_holds_across_lives(tmp_path: Path) -> None:
    """The oldest go with their JSON and their empty folders; foreign files stay."""
    pictures = kept(tmp_path)
    pictures.write(framed(0), JPEG)
    pictures.close()
    size = sum(path.stat().st_size for path in tmp_path.rglob("*-ng.*"))
    stranger = tmp_path / DAY / "WO-17" / "mine.jpg"
    stranger.write_bytes(b"x" * 10**6)
    later = kept(tmp_path, "b2", quota=3 * size + 40)
    for frame in range(1, 6):
        later.write(framed(frame), JPEG)
    assert later.removed == 3
    found = [name for name in names(tmp_path) if not name.endswith("mine.jpg")]
    assert [int(name.split("-")[-2]) for name in found] == [3, 4, 5]
    assert stranger.exists()


def test_copies_in_the_folder_take_no_room_twice(tmp_path: Path) -> None:
    """Somebody copied an order's folder: each frame counts once, so the quota takes no others."""
    pictures = kept(tmp_path)
    for frame in range(3):
        pictures.write(framed(frame), JPEG)
    pictures.close()
    with closing(PictureIndex(tmp_path)) as index:
        held = index.bytes
    shutil.copytree(tmp_path / DAY / "WO-17", tmp_path / DAY / "WO-17 copy")
    again = kept(tmp_path, quota=held + held // 3 + 9)
    again.write(framed(3), JPEG)
    assert again.removed == 0
    again.close()


def test_pictures_go_by_their_age_too(tmp_path: Path) -> None:
    """Whatever room there is, and also while nothing is written."""
    pictures = kept(tmp_path, days=2)
    pictures.write(framed(0), JPEG)
    pictures.tend()
    assert len(names(tmp_path)) == 1
    pictures.close()
    older = kept(tmp_path, days=2, utc=UTC + 2 * 86_400 + 1)
    older.tend()
    assert names(tmp_path) == []
    assert older.removed == 1
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize("damage", ["gone", "emptied", "scribbled"])
def test_an_index_that_is_damaged_is_made_anew(tmp_path: Path, damage: str) -> None:
    """All that it says stands beside the pictures."""
    pictures = kept(tmp_path)
    pictures.write(framed(5), JPEG)
    pictures.told([told(1, 5, serial="SN-1")])
    pictures.close()
    index = tmp_path / FILE
    if damage == "gone":
        index.unlink()
    else:
        index.write_bytes(b"" if damage == "emptied" else b"SQLite format 3\0" + b"\x17" * 4096)
    again = kept(tmp_path, "b2", quota=10**7)
    again.tend()
    assert [each.part.serial for each in find_pictures(tmp_path, "SN-1")] == ["SN-1"]


@pytest.mark.parametrize(
    "changes",
    [
        {"boot": 5},
        {"frame": "6"},
        {"frame": 1 << 70},
        {"utc": "now"},
        {"utc": float("nan")},
        {"parts": [{"part": 1, "id": {}, "serial": None}]},
        {"parts": [{"part": 1, "id": None, "serial": "\ud800"}]},
        {"parts": [[]]},
    ],
    ids=str,
)
def test_facts_of_a_stranger_stop_nobody(tmp_path: Path, changes: dict[str, Any]) -> None:
    """An index that is made anew from them leaves that picture out, and has the others."""
    pictures = kept(tmp_path)
    for frame in (5, 6):
        pictures.write(framed(frame), JPEG)
    pictures.close()
    first, second = names(tmp_path)
    (tmp_path / first).with_suffix(".json").write_text(
        json.dumps(facts_of(tmp_path, first) | changes)
    )
    (tmp_path / FILE).unlink()
    again = kept(tmp_path, "b2")
    again.write(framed(7), JPEG)
    with closing(PictureIndex(tmp_path)) as index:
        assert index.paths() == {second, names(tmp_path)[2]}


def test_what_a_cut_left_half_done_goes(tmp_path: Path) -> None:
    """A JSON without its picture and a file that was being written; nothing of others."""
    pictures = kept(tmp_path)
    for frame in (5, 6):
        pictures.write(framed(frame), JPEG)
    pictures.close()
    cut = tmp_path / names(tmp_path)[0]
    cut.rename(cut.with_name(f".{cut.name}.part"))
    (cut.parent / "notes.json").write_text("{}")
    (cut.parent / ".notes.part").write_text("")
    kept(tmp_path).tend()
    left = sorted(path.name for path in cut.parent.iterdir())
    assert left[:1] == [".notes.part"]
    assert left[-1] == "notes.json"
    assert len(left) == 4
    assert len(names(tmp_path)) == 1


def test_what_somebody_took_away_is_not_found(tmp_path: Path) -> None:
    """Before a start, and while the daemon runs."""
    pictures = kept(tmp_path)
    for frame in (5, 6):
        pictures.write(framed(frame), JPEG)
    (tmp_path / names(tmp_path)[0]).unlink()
    pictures.told([told(1, 5, 6, serial="SN-1")])
    pictures.tend()
    assert [each.part.frame for each in find_pictures(tmp_path, "SN-1")] == [6]
    pictures.close()
    (tmp_path / names(tmp_path)[0]).unlink()
    kept(tmp_path).tend()
    assert find_pictures(tmp_path, "SN-1") == ()


def test_a_part_that_the_disk_refused_is_named_later(
    tmp_path: Path,
) -> None:
    """A fault until then; no picture is lost for it, and the part stands there once."""
    lane = Lane(16)
    pictures = kept(tmp_path)
    collector = Collector(lane.ring, pictures, as_jpeg(pictures), room=3, events=PICTURES)
    pictures.write(framed(100), JPEG)
    (json_file,) = tmp_path.rglob("*.json")
    in_the_way = json_file.with_name(f".SN-1-{json_file.name}.part")
    in_the_way.mkdir()
    pictures.told([told(7, 100, serial="SN-1")])
    collector.start()
    wait_until(lambda: collector.fault is not None, "a fault")
    assert collector.tally.failed == 0
    in_the_way.rmdir()
    wait_until(lambda: collector.fault is None, "the end of it")
    collector.stop(GENEROUS_S)
    (found,) = find_pictures(tmp_path, "SN-1")
    assert [each["part"] for each in facts_of(tmp_path, str(found.path))["parts"]] == [7]
    lane.ring.close()


@pytest.mark.parametrize("content", [None, b"", b"[]", b'{"parts": 3}'])
def test_facts_that_somebody_spoilt_cost_no_part(tmp_path: Path, content: bytes | None) -> None:
    """The picture is found by its part all the same, and the next part is named too."""
    pictures = kept(tmp_path)
    for frame in (5, 6):
        pictures.write(framed(frame), JPEG)
    spoilt = min(tmp_path.rglob("*.json"))
    spoilt.unlink() if content is None else spoilt.write_bytes(content)
    pictures.told([told(1, 5, serial="A"), told(2, 6, serial="B")])
    pictures.tend()
    assert [each.part.frame for each in find_pictures(tmp_path, "A")] == [5]
    assert [each.part.frame for each in find_pictures(tmp_path, "B")] == [6]


def test_the_lane_is_asked_for_each_frame_and_waits_for_none(tmp_path: Path) -> None:
    """Two threads write a mixed stream while parts are told: each wanted picture is there once."""
    lane = Lane(64)
    folder = kept(tmp_path)
    choice = Choice(ok_share=0.5)
    wants = partial(choice.wants, "b1")
    collector = Collector(lane.ring, folder, as_jpeg(folder), room=64, wants=wants, events=PICTURES)
    verdicts = [Verdict.NG, Verdict.OK, Verdict.UNINSPECTED, Verdict.EMPTY] * 10
    for verdict in verdicts:
        lane.offer(collector, verdict)
    collector.start()
    teller = threading.Thread(
        target=lambda: folder.told(told(n, n, serial=f"SN-{n}") for n in range(len(verdicts)))
    )
    teller.start()
    teller.join()
    collector.stop(GENEROUS_S)
    wanted = [n for n, verdict in enumerate(verdicts) if wants(framed(n, verdict))]
    assert collector.tally == PictureCounts(kept=len(wanted))
    assert len(names(tmp_path)) == len(wanted)
    found = [find_pictures(tmp_path, f"SN-{n}")[0].part.frame for n in wanted]
    assert found == wanted
    lane.ring.close()


def test_a_picture_that_cannot_be_kept_leaves_nothing(tmp_path: Path) -> None:
    """The disk refuses the picture, or the index: no quota would ever remove what is left."""
    pictures = kept(tmp_path)
    pictures.tend()
    with closing(sqlite3.connect(tmp_path / FILE)) as index:
        index.execute("ALTER TABLE pictures RENAME TO elsewhere")
    with pytest.raises(StateError):
        pictures.write(framed(1), JPEG, JPEG)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [FILE]


def test_a_disk_that_takes_none_is_a_fault(tmp_path: Path) -> None:
    """Counted, and named without a path."""
    lane = Lane(16)
    (tmp_path / "kept").write_text("a file is in the way")
    folder = kept(tmp_path / "kept")
    collector = Collector(lane.ring, folder, as_jpeg(folder), room=3, events=PICTURES)
    for _ in range(3):
        lane.offer(collector, Verdict.NG)
    collector.start()
    collector.stop(GENEROUS_S)
    assert collector.tally == PictureCounts(failed=3)
    assert collector.fault is not None
    assert str(tmp_path) not in collector.fault
    lane.ring.close()


DRAWN = encode(np.full((48, 64, 3), 200, np.uint8))


def drawn_names(folder: Path) -> list[str]:
    return sorted(name for name in names(folder) if name.endswith(".drawn.jpg"))


def test_a_drawn_picture_lies_beside_the_clean_one(tmp_path: Path) -> None:
    """It is renamed with it, found in the same place by another life, and goes with it."""
    pictures = kept(tmp_path)
    for frame in (1, 2):
        pictures.write(framed(frame), JPEG, DRAWN)
    pictures.told([told(7, 1, serial="SN-1")])
    pictures.tend()
    first, second = find_pictures(tmp_path, "SN-1")[0].path, tmp_path / drawn_names(tmp_path)[0]
    assert drawn_of(first).name.startswith("SN-1-")
    assert (first.read_bytes(), drawn_of(first).read_bytes()) == (JPEG, DRAWN)
    assert len(names(tmp_path)) == 4
    assert len(list(tmp_path.rglob("*.json"))) == 2
    used = sum(path.stat().st_size for path in tmp_path.glob("*/*/*") if path.is_file())
    pictures.close()
    with closing(PictureIndex(tmp_path)) as index:
        assert index.bytes == used
    (tmp_path / FILE).unlink()
    second.with_name(second.name.replace(".drawn", "")).unlink()  # a person took the clean one
    again = kept(tmp_path, quota=2 * used)
    again.tend()
    assert names(tmp_path) == sorted(
        str(path.relative_to(tmp_path)) for path in (first, drawn_of(first))
    )
    again.close()
    small = kept(tmp_path, quota=1)
    small.write(framed(9), JPEG)
    assert not drawn_of(first).exists()
    assert len(names(tmp_path)) == 1


def test_the_facts_suffice_to_draw(tmp_path: Path) -> None:
    """Zones as shares, corners and key points: a viewer needs nothing else."""
    zone = Zone("body", ((0.1, 0.2), (0.9, 0.2), (0.9, 1.0)))
    rules = (Rule("scratch", "scratch", 0.3, zone=zone, at_most=0),)
    recipe = Recipe(rules=rules, zones=(zone,))
    turned = Detection(
        "scratch",
        0.9,
        (1.0, 2.0, 30.0, 40.0),
        polygon=((1.0, 2.0), (30.0, 3.0), (29.0, 40.0), (2.0, 39.0)),
    )
    pictures = kept(tmp_path)
    pictures.write(replace(framed(1), recipe=recipe, size=(64, 48), detections=(turned,)), JPEG)
    (name,) = names(tmp_path)
    facts = facts_of(tmp_path, name)
    assert facts["zones"] == {"body": [[0.1, 0.2], [0.9, 0.2], [0.9, 1.0]]}
    assert facts["size"] == [64, 48]
    assert facts["detections"][0]["polygon"][1] == [30.0, 3.0]
