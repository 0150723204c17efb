"""Pictures cost nothing until somebody wants them, and never cost a frame."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge_daemon.core.judged import Judged
from edge_daemon.core.values import (
    Assignment,
    BundleRef,
    Detection,
    Instant,
    Reason,
    Verdict,
)
from edge_daemon.errors import CameraError
from edge_daemon.frames.captured import Captured
from edge_daemon.frames.collector import Collector
from edge_daemon.frames.images import Pictures, annotate, encode, reduced
from edge_daemon.frames.ring import Ring
from edge_daemon.host.memory import FrameShape

SHAPE = FrameShape(120, 160)
GENEROUS_S = 60.0


def judged(frame: int = 0, verdict: Verdict = Verdict.NG) -> Judged:
    inspected = verdict is not Verdict.UNINSPECTED
    return Judged(
        frame=frame,
        captured_utc=1_795_000_000.0 + frame,
        captured_at=float(frame),
        assignment=Assignment(product="BTL-500", job_order="WO-17"),
        verdict=verdict,
        reason=None if inspected else Reason.CHANGEOVER,
        model=BundleRef("bottle", "1.4.0") if inspected else None,
        sha256="9f" * 32 if inspected else None,
        detections=(Detection("scratch", 0.91, (40.0, 30.0, 90.0, 80.0)),) if inspected else (),
    )


class Lane:
    """A ring with one thread that captures, judges and offers, as the lane does."""

    def __init__(self, places: int = 4) -> None:
        self.ring = Ring(places)
        self.number = 0

    def judge(self, verdict: Verdict) -> tuple[Judged, Captured]:
        lease = self.ring.begin(SHAPE)
        lease.pixels.fill(90)
        self.ring.commit(lease, Instant(0.0, 0.0))
        return judged(self.number, verdict), self.ring.pop()

    def offer(self, pictures: Pictures | Collector, verdict: Verdict) -> Captured:
        told, captured = self.judge(verdict)
        self.number += 1
        pictures.offer(told, captured)
        self.ring.release(captured)
        return captured

    def is_held(self, captured: Captured) -> bool:
        try:
            self.ring.retain(captured)
        except ValueError:
            return False
        self.ring.release(captured)
        return True


@pytest.fixture
def lane() -> Iterator[Lane]:
    built = Lane()
    yield built
    built.ring.close()


def test_boxes_and_verdict_are_drawn_on_a_copy() -> None:
    """The frame itself stays as the camera gave it, and the picture shows what was found."""
    frame = np.full((120, 160, 3), 90, np.uint8)
    picture = annotate(frame, judged())
    assert (frame == 90).all()
    assert (picture[30:81, 40] != 90).all(), "no left edge of the box"
    assert (picture[60:75, 50:80] == 90).all(), "the box is filled"
    decoded = cv2.imdecode(np.frombuffer(encode(picture), np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert decoded.shape == (120, 160, 3)


def test_a_box_at_the_rim_of_the_frame_is_no_fault() -> None:
    """Boxes that lie partly or wholly outside do not stop the drawing."""
    frame = np.zeros((120, 160, 3), np.uint8)
    outside = Detection("dent", 1.0, (-50.0, -50.0, 400.0, 400.0))
    told = judged()
    picture = annotate(frame, Judged(**{**vars(told), "detections": (outside,)}))
    assert picture.shape == frame.shape
    assert not frame.any()


def test_nothing_is_held_when_nobody_asks(lane: Lane) -> None:
    """Without viewers no frame is taken along."""
    pictures = Pictures(lane.ring)
    assert not lane.is_held(lane.offer(pictures, Verdict.NG))


def test_a_snapshot_is_the_next_judged_frame(lane: Lane) -> None:
    """Whoever asks gets a fresh picture, also while parts are uninspected."""
    pictures = Pictures(lane.ring)
    pictures.start()
    got: list[bytes] = []
    thread = threading.Thread(target=lambda: got.append(pictures.snapshot(GENEROUS_S)))
    thread.start()
    while thread.is_alive():
        lane.offer(pictures, Verdict.UNINSPECTED)
        thread.join(0.005)
    pictures.stop(GENEROUS_S)
    assert got[0].startswith(b"\xff\xd8")


def test_a_snapshot_without_frames_says_so(lane: Lane) -> None:
    """No old picture is passed off as a new one."""
    pictures = Pictures(lane.ring)
    with pytest.raises(CameraError, match="no picture"):
        pictures.snapshot(0.01)


def test_viewers_share_a_limited_rate_and_cost_nothing_when_gone(lane: Lane) -> None:
    """Between two pictures frames pass by; after the last viewer has gone, all of them do."""
    hands = [0.0]
    pictures = Pictures(lane.ring, now=lambda: hands[0])
    pictures.start()
    assert pictures.watch(0, 0.0) is None
    lane.offer(pictures, Verdict.OK)
    picture = pictures.watch(0, GENEROUS_S)
    assert picture is not None
    assert (picture.serial, picture.frame) == (1, 0)
    hands[0] = 0.05
    assert not lane.is_held(lane.offer(pictures, Verdict.OK))
    hands[0] = 0.15
    newer = None
    while newer is None:  # an offer may find the thread not yet done with the one before
        lane.offer(pictures, Verdict.OK)
        newer = pictures.watch(picture.serial, 0.05)
    assert newer.frame >= 2
    hands[0] = 1000.0
    pictures.stop(GENEROUS_S)
    idle = Pictures(lane.ring, now=lambda: hands[0])
    idle.watch(0, 0.0)
    hands[0] = 2000.0
    assert not lane.is_held(lane.offer(idle, Verdict.OK))


def test_the_live_view_is_narrowed_and_a_snapshot_is_not(lane: Lane) -> None:
    """Viewers get what a screen shows; who asks for a picture gets all of it."""
    pictures = Pictures(lane.ring, view_width=80)
    pictures.start()
    widths = []
    for ask in (lambda: pictures.watch(0, GENEROUS_S), lambda: pictures.snapshot(GENEROUS_S)):
        asked: list[object] = []
        asking = threading.Thread(target=lambda ask=ask, asked=asked: asked.append(ask()))
        asking.start()
        while asking.is_alive():
            lane.offer(pictures, Verdict.OK)
            asking.join(0.01)
        jpeg = asked[0] if isinstance(asked[0], bytes) else asked[0].jpeg  # type: ignore[attr-defined]
        widths.append(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape[1])
    pictures.stop()
    assert widths == [80, SHAPE.width]


def test_a_snapshot_that_is_asked_for_while_a_view_is_drawn_is_whole(lane: Lane) -> None:
    """The picture in hand is a viewer's; the next one is the snapshot."""
    drawing, asked = threading.Event(), threading.Event()

    class Slow(tuple[Detection, ...]):
        def __iter__(self) -> Iterator[Detection]:
            drawing.set()
            asked.wait(GENEROUS_S)
            return super().__iter__()

    def now() -> float:
        if threading.current_thread() is asker:
            asked.set()
        return time.monotonic()

    pictures = Pictures(lane.ring, view_width=80, now=now)
    got: list[bytes] = []
    asker = threading.Thread(target=lambda: got.append(pictures.snapshot(GENEROUS_S)))
    pictures.start()
    pictures.watch(0, 0.0)
    told, captured = lane.judge(Verdict.NG)
    pictures.offer(replace(told, detections=Slow(told.detections)), captured)
    lane.ring.release(captured)
    assert drawing.wait(GENEROUS_S)
    asker.start()
    while asker.is_alive():
        lane.offer(pictures, Verdict.OK)
        asker.join(0.005)
    pictures.stop(GENEROUS_S)
    shown = cv2.imdecode(np.frombuffer(got[0], np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    assert shown.shape[1] == SHAPE.width


def test_a_picture_is_made_coarser_and_smaller_until_it_fits() -> None:
    """A broker's limit is kept; below 160 pixels there is nothing left to see."""
    noise = np.random.default_rng(1).integers(0, 255, (480, 640, 3), np.uint8)
    jpeg = encode(noise)
    assert reduced(jpeg, len(jpeg)) is jpeg
    for most in (len(jpeg) - 1, len(jpeg) // 4, 20_000):
        smaller = reduced(jpeg, most)
        assert smaller is not None
        assert len(smaller) <= most
        assert cv2.imdecode(np.frombuffer(smaller, np.uint8), cv2.IMREAD_COLOR).shape[1] >= 160
    assert reduced(jpeg, 1000) is None
