"""Pictures of parts on which two models disagree: one of each part, and of no other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from edge_daemon.core.judged import Judged
from edge_daemon.core.parts.values import By
from edge_daemon.core.rollout.draw import assign
from edge_daemon.core.rollout.opinions import both
from edge_daemon.core.rollout.values import Opinion, Pair
from edge_daemon.core.values import (
    Assignment,
    BundleRef,
    Detection,
    Recipe,
    Verdict,
)
from edge_daemon.frames.disputed import MOST_FRAMES, DisputedFolder, is_disputed

OLD, NEW = BundleRef("bottle", "1.0.0"), BundleRef("bottle", "2.0.0")
RECIPE = Recipe.rejecting(0.5, "scratch")
SCRATCH = Detection("scratch", 0.9, (1.0, 2.0, 3.0, 4.0))


def opinion(model: BundleRef, verdict: str) -> Opinion:
    found = (SCRATCH,) if verdict == "ng" else ()
    causes = ("scratch",) if verdict == "ng" else ()
    return Opinion(model, "9f", Verdict(verdict), causes, found, RECIPE)


def frame(number: int, incumbent: str = "ok", candidate: str = "ng", unit: str = "") -> Judged:
    """One frame that both judged; the incumbent's verdict counts."""
    own = opinion(OLD, incumbent)
    return Judged(
        number,
        1000.0,
        0.0,
        Assignment(1),
        own.verdict,
        model=OLD,
        sha256="9f",
        detections=own.detections,
        recipe=RECIPE,
        assigned=assign("r1", "b1", unit or str(number), 0.0),
        shadow=opinion(NEW, candidate),
    )


def pair(part: int, *frames: int, incumbent: str = "ok", candidate: str = "ng") -> Pair:
    said = opinion(OLD, incumbent), opinion(NEW, candidate)
    assigned = assign("r1", "b1", str(part), 0.0)
    return Pair("r1", "b1", part, f"SN-{part}", assigned, *said, frames, 1000.0 + part)


def test_only_frames_that_may_matter_are_looked_at() -> None:
    assert is_disputed(frame(1))
    assert is_disputed(frame(1, "ng", "ok"))
    assert not is_disputed(frame(1, "ok", "ok"))
    assert not is_disputed(frame(1, "ng", "ng"))
    assert is_disputed(frame(1, "ng", "ng"), By.TRACK), "each may reject another object"
    assert not is_disputed(replace(frame(1), shadow=None))
    assert [each.verdict.value for each in both(frame(1)) if each] == ["ok", "ng"]


def test_one_picture_of_a_part_with_what_each_model_said(tmp_path: Path) -> None:
    """Whichever comes first, the picture or the pair."""
    folder = DisputedFolder(tmp_path / "d", 10**6)
    folder.write(frame(10, unit="7"), b"first")
    folder.write(frame(11, unit="7"), b"second")
    assert folder.recent(9) == [], "its part is not known yet"
    folder.paired(pair(7, 10, 11))
    folder.tend()
    (path,) = folder.recent(9)
    assert path.read_bytes() == b"first"
    facts = json.loads(path.with_suffix(".json").read_bytes())
    assert (facts["rollout"], facts["boot"], facts["part"], facts["id"]) == ("r1", "b1", 7, "SN-7")
    assert (facts["incumbent"]["verdict"], facts["candidate"]["verdict"]) == ("ok", "ng")
    assert facts["candidate"]["rejecting"] == ["scratch"]
    assert [each["class"] for each in facts["candidate"]["detections"]] == ["scratch"]
    folder.paired(pair(8, 12, 13))
    folder.tend()
    folder.write(frame(13, unit="8"), b"late")
    assert [each.read_bytes() for each in folder.recent(9)] == [b"late", b"first"]
    assert folder.read(path.name) == path.read_bytes()
    (tmp_path / "journal.sqlite").write_bytes(b"not a picture")
    assert folder.read("../journal.sqlite") is None


def test_pictures_without_such_a_part_leave_room_for_others(tmp_path: Path) -> None:
    """Parts on which both agree, and frames between parts, are forgotten."""
    folder = DisputedFolder(tmp_path, 10**6)
    for number in range(MOST_FRAMES + 5):
        folder.write(frame(number), b"x")
    assert not folder.has_room
    folder.paired(pair(1, 3, 4, candidate="ok"))
    folder.paired(pair(2, 200, 201, candidate="ok"))
    folder.tend()
    assert folder.has_room
    folder.write(frame(210), b"y")
    folder.paired(pair(3, 210))
    folder.tend()
    assert [each.read_bytes() for each in folder.recent(9)] == [b"y"]


def test_the_oldest_go_for_the_quota_and_strangers_stay(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    folder = DisputedFolder(tmp_path, 4000)
    for part in range(10):
        folder.write(frame(part), bytes(600))
        folder.paired(pair(part, part))
        folder.tend()
    assert folder.removed > 0
    assert len(folder.recent(99)) == 10 - folder.removed
    assert "000000009" in folder.recent(1)[0].name
    assert (tmp_path / "notes.txt").read_text() == "mine"
