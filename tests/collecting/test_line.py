"""From the lane to the folder: what is worth it is kept, and nothing waits for a disk."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_daemon.collecting.catalogue import Catalogue
from edge_daemon.collecting.line import CollectionRules, LineCollector
from edge_daemon.collecting.store import CollectionStore, RetentionLimits
from edge_daemon.core.collecting.hidden import PrivacyMask
from edge_daemon.core.collecting.quota import shares
from edge_daemon.core.collecting.reasons import Why
from edge_daemon.core.judged import Judged
from edge_daemon.core.parts.values import By
from edge_daemon.core.rollout.opinions import opinion
from edge_daemon.core.values import (
    BundleRef,
    Detection,
    Instant,
    Recipe,
    StoredBundle,
    Verdict,
)
from edge_daemon.frames.captured import Captured
from edge_daemon.frames.ring import Ring
from edge_daemon.host.memory import FrameShape
from tests.frames.test_images import GENEROUS_S
from tests.frames.test_images import judged as framed
from tests.frames.test_part_pictures import UTC, told

SHAPE = FrameShape(120, 160)
ALL = dict.fromkeys(Why, 1.0)
NEW = StoredBundle(BundleRef("bottle", "2.0.0"), "bb")
RECIPE = Recipe.rejecting(0.4, "scratch")


class Line:
    """A ring and its collector; frames are judged by the test."""

    def __init__(
        self,
        folder: Path,
        wanted: Mapping[Why, float] = ALL,
        *,
        by: By = By.FRAME,
        places: int = 16,
        boot: str = "b1",
        hidden: PrivacyMask | None = None,
        quota: int = 10**8,
        bits: int | None = None,
        room: int = 4,
    ) -> None:
        self.folder, self.ring, self.number = folder, Ring(places), 0
        keeping = RetentionLimits(quota, shares(wanted, 0.5), alike_bits=bits)
        self.store = CollectionStore(folder, keeping, boot, lambda: UTC, by_frame=by is By.FRAME)
        wish = CollectionRules(wanted, ".png", hidden or PrivacyMask())
        self.collector = LineCollector(self.ring, self.store, wish, boot, by, room)

    def capture(self, grey: int = 90) -> Captured:
        lease = self.ring.begin(SHAPE)
        lease.pixels.fill(grey)
        self.ring.commit(lease, Instant(0.0, 0.0))
        return self.ring.pop()

    def judge(self, verdict: Verdict = Verdict.OK, **more: Any) -> Judged:
        told = replace(framed(self.number, verdict), recipe=RECIPE, size=(160, 120))
        found = told.detections if verdict is Verdict.NG else ()
        self.number += 1
        return replace(told, **{"detections": found, **more})

    def offer(self, judged: Judged, captured: Captured | None = None) -> Captured:
        captured = captured or self.capture()
        self.collector.offer(judged, captured)
        self.ring.release(captured)
        return captured

    def end(self) -> None:
        self.collector.start()
        self.collector.stop(GENEROUS_S)

    def kept(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in sorted(self.folder.glob("*/*Z*.json"))]

    @property
    def is_all_free(self) -> bool:
        return not self.ring.tight


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    made = Line(tmp_path)
    yield made
    made.ring.close()


def test_a_picture_lies_beside_what_the_model_said(line: Line) -> None:
    """Without loss as png, with both what counts and what does not."""
    faint = (Detection("scratch", 0.3, (1.0, 2.0, 30.0, 40.0)),)
    line.offer(line.judge(Verdict.NG, faint=faint, causes=("scratch",)))
    line.end()
    (each,) = Catalogue(line.folder)
    record = each.record
    assert cv2.imread(str(each.path)).tolist() == np.full((120, 160, 3), 90).tolist()
    assert (record.leading, record.verdict, record.causes) == (
        Why.NEAR_THRESHOLD,
        "ng",
        ("scratch",),
    )
    assert record.reasons == (Why.NEAR_THRESHOLD, Why.NG, Why.AUDIT)
    (part,) = record.parts
    assert part.draw < part.probability == 1.0
    (said,) = record.opinions
    assert [(each.label, each.confidence, each.counts) for each in said.found] == [
        ("scratch", 0.91, True),
        ("scratch", 0.3, False),
    ]
    assert said.model == "bottle@1.4.0"


def test_what_nobody_asks_for_is_not_kept(tmp_path: Path) -> None:
    """Good parts pass by without a lease."""
    line = Line(tmp_path, {Why.NG: 1.0})
    for verdict in (Verdict.OK, Verdict.UNINSPECTED, Verdict.NG, Verdict.OK):
        line.offer(line.judge(verdict))
    line.end()
    assert [each["frame"] for each in line.kept()] == [2]


def test_a_burst_is_counted_and_costs_no_frame(tmp_path: Path) -> None:
    """More chosen frames than may wait: the others pass by, and are told."""
    line = Line(tmp_path, {Why.NG: 1.0}, places=8, room=3)
    captured = [line.offer(line.judge(Verdict.NG)) for _ in range(10)]
    assert all(each.dropped is None for each in captured)
    line.end()
    assert len(line.kept()) == 3
    assert line.collector.writer.tally.missed == 7
    status = Catalogue(tmp_path).status
    assert status["missed"] == 7
    assert status["kept"] == {"ng": 3}


def test_two_threads_write(tmp_path: Path) -> None:
    line = Line(tmp_path)
    before = set(threading.enumerate())
    line.collector.start()
    assert len(set(threading.enumerate()) - before) == 2
    line.collector.stop(GENEROUS_S)


def test_the_shadow_s_look_makes_it_a_disagreement(line: Line) -> None:
    """The lane chose it as a good part; beside the line the candidate rejects the same frame."""
    captured = line.capture()
    judged = line.judge()
    line.collector.offer(judged, captured)
    scratch = (Detection("scratch", 0.8, (5.0, 5.0, 50.0, 50.0)),)
    shadow = opinion(NEW, RECIPE, scratch, (160, 120), 3.0)
    line.collector.looked(replace(judged, shadow=shadow), captured)
    line.ring.release(captured)
    line.end()
    (kept,) = line.kept()
    assert kept["reason"] == "disagreement"
    assert [each["model"] for each in kept["opinions"]] == ["bottle@1.4.0", "bottle@2.0.0"]
    assert kept["parts"][0]["reasons"] == ["disagreement", "audit"]


def test_two_models_of_one_mind_make_one_picture(tmp_path: Path) -> None:
    """The candidate has looked before the picture was written, and needs no second place for it."""
    line = Line(tmp_path, {Why.NG: 1.0, Why.DISAGREEMENT: 1.0}, room=2)
    line.offer(line.judge(Verdict.NG))
    captured = line.capture()
    judged = line.judge(Verdict.NG)
    line.collector.offer(judged, captured)
    scratch = (Detection("scratch", 0.8, (5.0, 5.0, 50.0, 50.0)),)
    shadow = opinion(NEW, RECIPE, scratch, (160, 120), 3.0)
    line.collector.looked(replace(judged, shadow=shadow), captured)
    line.ring.release(captured)
    line.end()
    assert [each["reason"] for each in line.kept()] == ["ng", "ng"]
    assert line.collector.writer.tally.missed == 0


def test_what_found_no_room_may_be_chosen_by_a_later_look(tmp_path: Path) -> None:
    """The lane could not take the frame; when the candidate has looked, there is room again."""
    line = Line(tmp_path, {Why.NG: 1.0, Why.DISAGREEMENT: 1.0}, room=2)
    for _ in range(2):
        line.offer(line.judge(Verdict.NG))
    captured = line.capture()
    judged = line.judge(Verdict.NG)
    line.collector.offer(judged, captured)
    line.collector.start()
    while line.collector.writer.tally.kept < 3:
        line.collector.looked(judged, captured)
    line.ring.release(captured)
    line.collector.stop(GENEROUS_S)
    assert [each["frame"] for each in line.kept()] == [0, 1, 2]
    assert line.collector.writer.tally.missed > 0


def test_of_a_part_of_several_frames_the_most_telling_is_kept(tmp_path: Path) -> None:
    """Its first frame is drawn for the audit, its third is ng: that one takes its place."""
    line = Line(tmp_path, by=By.TRIGGER)
    for verdict in (Verdict.OK, Verdict.OK, Verdict.NG, Verdict.NG):
        judged = line.judge(verdict, part_in_view=True)
        line.offer(
            replace(judged, detections=(Detection("bottle", 0.9, (0, 0, 9, 9)), *judged.detections))
        )
        line.collector.seen(judged.frame, (7,))
    line.store.told([told(7, 0, 1, 2, 3, serial="SN-1")])
    line.end()
    (kept,) = line.kept()
    assert (kept["frame"], kept["reason"]) == (2, "ng")
    (part,) = kept["parts"]
    assert part["unit"] == "7"
    assert part["told"]["serial"] == "SN-1"
    assert part["reasons"] == ["ng", "audit"]


def test_a_part_that_was_triggered_and_shows_nothing(tmp_path: Path) -> None:
    """The line says that a part is there, and the model finds none."""
    line = Line(tmp_path, {Why.NOTHING_FOUND: 1.0}, by=By.TRIGGER)
    line.offer(line.judge())
    line.collector.seen(0, (3,))
    line.end()
    assert [each["reason"] for each in line.kept()] == ["nothing_found"]


def test_frames_of_no_part_are_let_go(tmp_path: Path) -> None:
    """Between two triggers nothing is kept, and no lease stays."""
    line = Line(tmp_path, by=By.TRIGGER, places=4)
    for _ in range(20):
        judged = line.judge(Verdict.NG)
        line.offer(judged)
        line.collector.seen(judged.frame, ())
    line.end()
    assert line.kept() == []
    assert line.is_all_free
    assert line.collector.writer.tally.missed == 0


def test_a_part_whose_frame_could_not_be_held_is_a_loss(tmp_path: Path) -> None:
    """The parts' thread is behind: only so many frames wait for it."""
    line = Line(tmp_path, {Why.NG: 1.0}, by=By.TRIGGER)
    for _ in range(5):
        line.offer(line.judge(Verdict.NG))
    for frame in range(5):
        line.collector.seen(frame, (frame,))
    line.end()
    assert len(line.kept()) == 2
    assert line.collector.writer.tally.missed == 3


def test_contrast_tells_of_a_part_that_no_model_finds(tmp_path: Path) -> None:
    """Learned from the line: pictures with parts have contrast, the bare belt has none."""
    line = Line(tmp_path, {Why.NOTHING_FOUND: 1.0})
    line.collector.start()

    def pass_by(grey: int, **more: Any) -> None:
        lease = line.ring.begin(SHAPE)
        lease.pixels.fill(90)
        lease.pixels[:, :80] = grey
        line.ring.commit(lease, Instant(0.0, 0.0))
        line.offer(line.judge(**more), line.ring.pop())
        while line.collector.is_measuring:
            pass

    bottle = (Detection("bottle", 0.9, (0.0, 0.0, 80.0, 120.0)),)
    for _ in range(30):
        pass_by(200, detections=bottle, part_in_view=True)
        pass_by(91)
    pass_by(200)  # a bottle that the model does not see
    line.collector.stop(GENEROUS_S)
    assert [each["frame"] for each in line.kept()] == [60]


def test_a_part_that_is_kept_already_learns_that_a_later_frame_shows_nothing(
    tmp_path: Path,
) -> None:
    """Its probability is that of all of its reasons, or estimates would weigh it wrongly."""
    line = Line(tmp_path, {Why.DISAGREEMENT: 1.0, Why.NOTHING_FOUND: 1.0}, by=By.TRACK, room=80)
    line.collector.start()

    def pass_by(grey: int, part: int, **more: Any) -> None:
        lease = line.ring.begin(SHAPE)
        lease.pixels.fill(90)
        lease.pixels[:, :80] = grey
        line.ring.commit(lease, Instant(0.0, 0.0))
        judged = line.judge(**more)
        line.offer(judged, line.ring.pop())
        line.collector.seen(judged.frame, (part,))
        while line.collector.is_measuring:
            pass

    bottle = (Detection("bottle", 0.9, (0.0, 0.0, 80.0, 120.0)),)
    for part in range(30):
        pass_by(200, part, detections=bottle, part_in_view=True)
        pass_by(91, part)
    scratch = (Detection("scratch", 0.8, (5.0, 5.0, 50.0, 50.0)),)
    shadow = opinion(NEW, RECIPE, scratch, (160, 120), 3.0)
    pass_by(200, 30, detections=bottle, part_in_view=True, shadow=shadow)
    pass_by(200, 30)  # the model does not see it any more
    line.collector.stop(GENEROUS_S)
    (kept,) = line.kept()
    assert kept["parts"][0]["reasons"] == ["disagreement", "nothing_found"]


def test_people_are_never_written(tmp_path: Path) -> None:
    """Cropped to a part of the view, boxes along with it; a person is black, a zone too."""
    hidden = PrivacyMask(
        crop=(0.25, 0.0, 1.0, 0.5),
        zones=(((0.9, 0.0), (1.0, 0.0), (1.0, 0.2), (0.9, 0.2)),),
        classes=frozenset({"person"}),
    )
    line = Line(tmp_path, hidden=hidden)
    found = (
        Detection("scratch", 0.9, (60.0, 10.0, 100.0, 50.0)),
        Detection("dent", 0.9, (60.0, 90.0, 100.0, 110.0)),  # below the crop
    )
    person = (Detection("person", 0.1, (110.0, 20.0, 120.0, 40.0)),)
    line.offer(line.judge(Verdict.NG, detections=found, faint=person))
    line.end()
    (each,) = Catalogue(tmp_path)
    picture = cv2.imread(str(each.path))
    assert picture.shape == (60, 120, 3)
    assert each.record.size == (120, 60)
    assert (picture[20:41, 70:80] == 0).all(), "a person can be seen"
    assert (picture[0:23, 105:] == 0).all(), "the zone can be seen"
    assert (picture[45:, :60] == 90).all(), "the rest is as it was"
    boxes = {found.label: found.box for found in each.record.opinions[0].found}
    assert boxes["scratch"] == (20.0, 10.0, 60.0, 50.0)
    assert "dent" not in boxes


def test_near_twins_are_left_out_and_stood_for(tmp_path: Path) -> None:
    """A part stands still in front of the camera: one picture, and how many it stands for."""
    line = Line(tmp_path, {Why.NG: 1.0}, bits=4, room=8)
    for _ in range(5):
        line.offer(line.judge(Verdict.NG))
    line.end()
    (kept,) = line.kept()
    assert kept["alike"] == 4
    assert line.store.alike == 4


def test_what_was_drawn_for_an_audit_is_never_left_out(tmp_path: Path) -> None:
    """It must stand for all parts, whatever they look like."""
    line = Line(tmp_path, {Why.AUDIT: 1.0}, bits=64, room=8)
    for _ in range(5):
        line.offer(line.judge())
    line.end()
    assert len(line.kept()) == 5
