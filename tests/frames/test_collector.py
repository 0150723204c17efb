"""Every picture of a rejected part is kept, or counted; none costs a frame."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_daemon.core.values import Verdict
from edge_daemon.frames.collector import Collector, PictureCounts, as_jpeg
from edge_daemon.frames.images import encode
from edge_daemon.frames.rejected import RejectedFolder
from tests.frames.test_images import GENEROUS_S, Lane, judged


@pytest.fixture
def lane() -> Iterator[Lane]:
    built = Lane(16)
    yield built
    built.ring.close()


def writing(lane: Lane, folder: Path, room: int) -> Collector:
    rejected = RejectedFolder(folder, 10**6)
    return Collector(lane.ring, rejected, as_jpeg(rejected), room=room)


def frames_in(folder: Path) -> list[int]:
    facts = (json.loads(path.read_text()) for path in folder.glob("*.json"))
    return sorted(each["frame"] for each in facts)


def test_a_burst_waits_for_the_disk_and_is_kept_whole(lane: Lane, tmp_path: Path) -> None:
    """As many frames as there is room for wait in the ring; beyond it they are counted."""
    collector = writing(lane, tmp_path, room=4)
    held = [lane.offer(collector, Verdict.NG) for _ in range(6)]  # no thread runs yet
    assert [lane.is_held(each) for each in held] == [True] * 4 + [False] * 2
    assert collector.tally == PictureCounts(missed=2)
    collector.start()
    collector.stop(GENEROUS_S)
    assert frames_in(tmp_path) == [0, 1, 2, 3]
    assert collector.tally == PictureCounts(kept=4, missed=2)
    assert not any(lane.is_held(each) for each in held)
    assert not lane.is_held(lane.offer(collector, Verdict.NG)), "it has stopped"


def test_pictures_give_way_where_the_ring_is_tight(tmp_path: Path) -> None:
    """Some are held all the same; the others pass by, counted, so that no frame is dropped."""
    lane = Lane(4)
    collector = writing(lane, tmp_path, room=4)
    held = [lane.offer(collector, Verdict.NG) for _ in range(4)]
    assert [lane.is_held(each) for each in held] == [True, True, False, False]
    assert collector.tally == PictureCounts(missed=2)
    assert all(each.dropped is None for each in held)
    collector.start()
    collector.stop(GENEROUS_S)
    lane.ring.close()


def test_only_rejected_parts_are_kept_with_their_facts(lane: Lane, tmp_path: Path) -> None:
    """The picture is the camera's own, and the JSON beside it says what the result topic says."""
    folder = tmp_path / "ng" / "line3"
    rejected = RejectedFolder(folder, 10**6)
    collector = Collector(lane.ring, rejected, as_jpeg(rejected))
    for verdict in (Verdict.OK, Verdict.NG, Verdict.UNINSPECTED):
        lane.offer(collector, verdict)
    collector.start()
    collector.stop(GENEROUS_S)
    (picture,) = rejected.recent(9)
    pixels = cv2.imread(str(picture))
    assert pixels is not None
    assert np.abs(pixels.astype(int) - 90).max() <= 2, "boxes were drawn on what is kept"
    facts = json.loads(picture.with_suffix(".json").read_text())
    assert facts["frame"] == 1
    assert facts["model"] == "bottle@1.4.0"
    assert facts["job_order"] == "WO-17"
    assert facts["detections"] == [
        {"class": "scratch", "confidence": 0.91, "box": [40.0, 30.0, 90.0, 80.0]}
    ]


def test_the_oldest_pictures_make_room_within_the_quota(tmp_path: Path) -> None:
    """The folder never grows beyond its quota, across restarts, and foreign files stay."""
    jpeg = encode(np.zeros((120, 160, 3), np.uint8))
    stranger = tmp_path / "notes.jpg"
    stranger.write_bytes(b"x" * 5000)
    one = RejectedFolder(tmp_path, 10**6)
    size = one.write(judged(0), jpeg).stat().st_size
    facts = sum(path.stat().st_size for path in tmp_path.glob("*.json"))
    quota = 3 * (size + facts) + 50
    for frame in range(1, 3):
        one.write(judged(frame), jpeg)
    restarted = RejectedFolder(tmp_path, quota)
    for frame in range(3, 6):
        restarted.write(judged(frame), jpeg)
        ours = [path for path in tmp_path.iterdir() if path != stranger]
        assert sum(path.stat().st_size for path in ours) <= quota
    assert frames_in(tmp_path) == [3, 4, 5]
    assert restarted.removed == 3
    assert stranger.exists()
    assert len(list(tmp_path.iterdir())) == 7


def test_a_picture_that_the_disk_refuses_leaves_no_facts(tmp_path: Path) -> None:
    """The quota counts pictures: facts alone would take room for ever."""
    folder = RejectedFolder(tmp_path, 10**6)
    path = folder.write(judged(1), b"jpeg")
    for each in tmp_path.iterdir():
        each.unlink()
    path.mkdir()
    with pytest.raises(OSError, match=path.name):
        folder.write(judged(1), b"jpeg")
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_fails_is_told_counted_and_costs_no_frame(lane: Lane, tmp_path: Path) -> None:
    """Where the folder cannot be, the fault names no path, and every frame is given back."""
    (tmp_path / "ng").write_text("a file is in the way")
    collector = writing(lane, tmp_path / "ng", room=3)
    held = [lane.offer(collector, Verdict.NG) for _ in range(3)]
    assert collector.fault is None
    collector.start()
    collector.stop(GENEROUS_S)
    assert collector.tally == PictureCounts(failed=3)
    assert collector.fault is not None
    assert str(tmp_path) not in collector.fault
    assert not any(lane.is_held(each) for each in held)
