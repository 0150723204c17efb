"""The capture goes on: lost, hanging, changing and lying cameras cost their own frames only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from edge_daemon.core.picture import PictureLimits
from edge_daemon.core.values import Instant, Reason
from edge_daemon.errors import CameraError
from edge_daemon.frames.camera_state import (
    CameraPhase,
    Patience,
)
from edge_daemon.frames.capture import Capture
from edge_daemon.frames.captured import Captured
from edge_daemon.frames.ring import Ring
from edge_daemon.host.clock import SystemClock
from edge_daemon.host.memory import FrameShape
from tests.sim.camera import (
    Change,
    End,
    Fail,
    Frames,
    Frozen,
    Refuse,
    SimSource,
    Stall,
    number_in,
)
from tests.sim.reports import GENEROUS_S, Reports

CALM = Patience(first_retry_s=0.001, longest_retry_s=0.002)
HASTY = Patience(
    open_timeout_s=0.05,
    read_timeout_s=0.1,
    margin_s=0.05,
    first_retry_s=0.001,
    longest_retry_s=0.002,
    most_left_behind=2,
)


class Station:
    """A capture on a simulated camera, with the lane's end of the ring in the test's hand."""

    def __init__(self) -> None:
        self.source = SimSource()
        self.ring = Ring(8)
        self.reports = Reports()
        self._capture: Capture | None = None

    def start(
        self,
        patience: Patience = CALM,
        now: Callable[[], Instant] | None = None,
        picture: PictureLimits | None = None,
    ) -> Capture:
        self._capture = Capture(
            self.source.make,
            self.ring,
            now or SystemClock().now,
            replace(patience, chance=lambda: 1.0),
            picture,
        )
        self._capture.start(self.reports)
        return self._capture

    def take(self) -> tuple[Captured, int]:
        """The next frame, with the number that the camera wrote into it."""
        assert self.ring.head(GENEROUS_S) is not None
        frame = self.ring.pop()
        assert frame.address is not None
        number = number_in(frame.address.pixels)
        self.ring.release(frame)
        return frame, number

    def end(self) -> None:
        self.source.unstick()
        if self._capture is not None:
            assert self._capture.stop(GENEROUS_S)
        self.ring.close()


@pytest.fixture
def station() -> Iterator[Station]:
    built = Station()
    yield built
    built.end()


def test_frames_go_into_the_ring_in_order(station: Station) -> None:
    """What the camera gives arrives once, whole and in order, and the state says online."""
    capture = station.start()
    station.source.play(Frames(5))
    assert [station.take()[1] for _ in range(5)] == [0, 1, 2, 3, 4]
    assert station.reports.next() == ("up", FrameShape(4, 6))
    state = capture.state
    assert (state.state, state.width, state.height) == (CameraPhase.ONLINE, 6, 4)
    assert state.source == "sim:"


def test_what_a_camera_did_not_take_is_known_while_it_is_online(station: Station) -> None:
    """The state says so from the first frame on."""
    station.source.remarks = ("camera.gain is 400, and the device has 100",)
    capture = station.start()
    assert capture.state.remarks == ()
    station.source.play(Frames(1))
    station.reports.next()
    assert capture.state.remarks == station.source.remarks


def test_a_frame_was_captured_when_the_driver_says_if_that_can_be(station: Station) -> None:
    """A busy machine reads frames late; a stamp of another clock says nothing."""
    now = Instant(1000.0, 1_795_000_000.0)
    station.source.exposures.extend([999.5, 999.75, 999.6, 1000.5, 1.0, 999.9])
    station.source.play(Frames(7))
    station.start(now=lambda: now)
    times = [station.take()[0].captured for _ in range(7)]
    assert [each.at for each in times] == [999.5, 999.75, 1000.0, 1000.0, 1000.0, 1000.0, 1000.0]
    assert times[0] == Instant(999.5, 1_794_999_999.5, is_stamped=True)


def test_a_camera_that_is_not_there_is_tried_until_it_is(station: Station) -> None:
    """A start without a camera is no error of the daemon: it is reported once, and retried."""
    gone = CameraError("There is no camera.")
    station.source.play(Refuse(gone), Refuse(gone), Refuse(gone), Frames(1))
    station.start()
    assert station.take()[1] == 0
    assert station.reports.next() == ("lost", gone)
    assert station.reports.next()[0] == "up"
    assert station.source.opens == 4


def test_a_lost_camera_comes_back(station: Station) -> None:
    """After an error in the middle, numbering goes on with the next frame that was captured."""
    station.source.play(Frames(2), Fail(CameraError("Gone.")), Frames(2))
    station.start()
    frames = [station.take() for _ in range(4)]
    assert [(frame.number, seen) for frame, seen in frames] == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert [station.reports.next()[0] for _ in range(3)] == ["up", "lost", "up"]


def test_a_driver_that_raises_nonsense_is_a_lost_camera(station: Station) -> None:
    """Whatever a driver throws is reported as a camera error, without passwords, and retried."""
    station.source.play(Fail(RuntimeError("rtsp://me:secret@cam/x")), Frames(1))
    station.start()
    kind, error = station.reports.next()
    assert kind == "lost"
    assert isinstance(error, CameraError)
    assert "RuntimeError" in str(error)
    assert "secret" not in str(error)
    assert station.take()[1] == 0


def test_a_read_that_hangs_is_left_behind_and_its_late_frame_stays_out(station: Station) -> None:
    """A hanging driver costs its own frame; when it wakes up, nothing of it enters the ring."""
    station.source.play(Frames(1), Stall())
    station.start(HASTY)
    assert station.take()[1] == 0
    station.source.wait_for(lambda: station.source.stalled == 1)
    assert station.reports.next()[0] == "up"
    assert station.reports.next()[0] == "lost"
    station.source.play(Frames(1))
    assert station.take()[1] == 1
    station.source.unstick()
    station.source.wait_for(
        lambda: station.source.cameras[0].closes == 2
    )  # its own thread has let go
    station.source.play(Frames(2))
    assert [(frame.number, seen) for frame, seen in (station.take(), station.take())] == [
        (2, 2),
        (3, 3),
    ]
    assert station.ring.next_number == 4


def test_a_hanging_read_keeps_its_place_to_itself(station: Station) -> None:
    """What a stuck driver writes at last harms no other frame, even when the ring is full."""
    station.source.play(Stall())
    station.start(HASTY)
    station.source.wait_for(lambda: station.source.stalled == 1)
    assert station.reports.next()[0] == "lost"
    station.source.play(Frames(8))
    assert station.reports.next()[0] == "up"
    station.source.play(Change(FrameShape(6, 10)), Frames(1))  # asked for after the eighth is in
    while station.reports.next() != ("up", FrameShape(6, 10)):
        pass
    station.source.unstick()
    station.source.wait_for(lambda: station.source.cameras[0].closes == 2)  # its thread has let go
    assert [station.take()[1] for _ in range(7)] == list(range(7))
    assert station.ring.pop().dropped is Reason.DROPPED_OVERFLOW


def test_hanging_reads_are_not_left_behind_without_end(station: Station) -> None:
    """With as many stuck threads as allowed, the capture waits for one of them to come back."""
    station.source.play(Stall(), Stall(), Frames(1))
    station.start(HASTY)
    station.source.wait_for(lambda: station.source.stalled == 2)
    hangs = [station.reports.next() for _ in range(2)]
    assert [kind for kind, _ in hangs] == ["lost", "lost"]
    assert "hang" in str(hangs[1][1])
    assert station.source.opens == 2
    station.source.unstick()
    assert station.take()[1] == 0


def test_another_shape_is_taken_over_without_a_reconnect(station: Station) -> None:
    """A camera may change its resolution while it runs; no frame is lost or mixed."""
    station.source.play(Frames(2), Change(FrameShape(6, 10)), Frames(2))
    station.start()
    frames = [station.take() for _ in range(4)]
    assert [seen for _, seen in frames] == [0, 1, 2, 3]
    shapes = [frame.address.pixels.shape for frame, _ in frames if frame.address]
    assert shapes == [(4, 6, 3), (4, 6, 3), (6, 10, 3), (6, 10, 3)]
    assert station.source.opens == 1
    while station.reports.next() != ("up", FrameShape(6, 10)):
        pass


def test_the_end_of_a_source_is_said_and_is_no_fault(station: Station) -> None:
    """A file that is not looped ends: the state says so, and nothing is retried."""
    station.source.play(Frames(2), End())
    capture = station.start()
    assert [station.take()[1] for _ in range(2)] == [0, 1]
    assert [station.reports.next()[0] for _ in range(2)] == ["up", "ended"]
    assert capture.state.state is CameraPhase.ENDED
    assert station.source.opens == 1


def ticking(step_s: float) -> Callable[[], Instant]:
    """A clock that each look moves on."""
    hands = iter(range(100_000))

    def now() -> Instant:
        at = next(hands) * step_s
        return Instant(at, at)

    return now


FROZEN_ONLY = PictureLimits(mean=None, contrast=None, likeness=None, frozen_s=3.0)


def test_a_frozen_picture_is_no_evidence_and_told_once(station: Station) -> None:
    """Each frame that repeats the one before once more carries the reason, until one moves."""
    station.source.play(Frames(1), Frozen(60, number=77), Frames(2))
    station.ring = Ring(64)
    capture = station.start(Patience(read_timeout_s=1000.0), ticking(0.1), FROZEN_ONLY)
    seen = [station.take() for _ in range(63)]
    assert [number for _, number in seen] == [0] + [77] * 60 + [1, 2]
    flaws = [frame.flaw for frame, _ in seen]
    assert flaws == [None] * 3 + [Reason.BAD_PICTURE] * 58 + [None] * 2
    assert station.reports.next()[0] == "up"
    kind, flaw = station.reports.next()
    assert (kind, flaw.kind) == ("bad", "frozen")
    assert station.reports.told.empty()
    assert capture.state.flaws == (flaw,)


def test_a_black_picture_is_told_when_it_begins_and_when_it_is_over(station: Station) -> None:
    """SimCamera paints each frame in the grey of its number: the first eight are black."""
    station.ring = Ring(128)
    station.source.play(Frames(8 + 60))
    limits = PictureLimits(mean=(7.2, 255.0), contrast=None, frozen_s=None)
    station.start(Patience(read_timeout_s=1000.0), ticking(0.1), limits)
    frames = [station.take()[0] for _ in range(68)]
    assert [frame.flaw for frame in frames] == [Reason.BAD_PICTURE] * 8 + [None] * 60
    told = [station.reports.next() for _ in range(3)]
    assert sorted(kind for kind, _ in told) == ["bad", "good", "up"]
    spell = next(news for kind, news in told if kind == "good")
    assert spell.frames == 8
    assert spell.flaw.words.startswith("is black: mean ")


def test_a_listener_that_fails_costs_no_frame(station: Station) -> None:
    """The capture goes on when whoever listens does not."""

    def fail(shape: FrameShape, fps: float | None) -> None:
        raise RuntimeError("listener")

    station.reports.camera_up = fail  # type: ignore[method-assign]
    station.source.play(Frames(1), Fail(CameraError("Gone.")), Frames(1))
    station.start()
    assert [station.take()[1] for _ in range(2)] == [0, 1]
    assert station.reports.next()[0] == "lost"


def test_stop_is_bounded_while_the_driver_hangs(station: Station) -> None:
    """Stopping leaves a stuck thread behind, says so, and nothing enters the ring afterwards."""
    station.source.play(Stall())
    capture = station.start()
    station.source.wait_for(lambda: station.source.stalled == 1)
    assert not capture.stop(0.01)
    station.source.unstick()
    station.source.wait_for(
        lambda: station.source.cameras[0].closes == 2
    )  # its own thread has let go
    assert station.ring.next_number == 0


def test_retries_grow_to_a_limit_with_jitter() -> None:
    """The wait doubles from the first to the longest, and chance takes up to half of it away."""
    patience = Patience(first_retry_s=0.5, longest_retry_s=15.0)
    unlucky, lucky = (replace(patience, chance=lambda at=at: at) for at in (1.0, 0.0))
    assert [unlucky.retry_s(n) for n in range(7)] == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0]
    assert lucky.retry_s(3) == 2.0
    assert unlucky.retry_s(10_000) == 15.0
