"""The drawn line's light barrier announces each part once, when it is there."""

from __future__ import annotations

import json

from edge_daemon.demo.barrier import EARLY, STATION, WINDOW, Barrier
from edge_daemon.demo.conveyor import Conveyor
from edge_daemon.demo.stage import BELT
from edge_daemon.demo.truth import place_of, serial_of
from edge_daemon.messaging.inbox import parse_iso

FPS = 30.0
BEGAN = 1_800_000_000.0
LINE = Conveyor(belt=BELT)


class Line:
    """A line whose time is told, and what its barrier sent, with the time of each."""

    def __init__(self) -> None:
        self.now = BEGAN
        self.sent: list[tuple[float, str, float]] = []
        self.barrier = Barrier(LINE, FPS, self._take, lambda: self.now)

    def _take(self, body: bytes) -> None:
        trigger = json.loads(body)
        assert trigger["id"] == trigger["serial"]
        at = parse_iso(trigger["at"])
        assert at is not None
        self.sent.append((self.now, trigger["serial"], at))

    def run(self, seconds: float, first: int = 0) -> None:
        """Capture frame after frame; the barrier looks between them."""
        for index in range(first, first + round(seconds * FPS)):
            self.now = BEGAN + index / FPS
            self.barrier.captured(index, self.now)
            for _ in range(5):
                self.now += 0.2 / FPS
                self.barrier.look()


def test_each_part_is_announced_once_with_its_serial() -> None:
    """Four parts a second, none left out, none twice, in order."""
    line = Line()
    line.run(10.0)
    places = [place_of(serial) for _, serial, _ in line.sent]
    assert places == list(range(places[0], places[0] + len(places)))
    assert len(places) in (39, 40, 41)
    assert line.barrier.sent == [serial_of(place) for place in places]


def test_the_frames_of_its_window_show_the_announced_part_alone() -> None:
    """Whatever the jitter of their capture, and no neighbour reaches into the station then."""
    line = Line()
    line.run(10.0)
    assert len(line.sent) > 3
    for _, serial, at in line.sent:
        first = (at - BEGAN) * FPS
        frames = [index for index in range(400) if first - EARLY <= index < first + WINDOW + EARLY]
        assert 2 <= len(frames) <= 4
        assert {LINE.stands_at(index, STATION) for index in frames} == {place_of(serial)}
        for index in frames:
            boxes = [part.box for part in LINE.truth(index, "bottle")]
            inside = [box for box in boxes if box[2] > 0.3 * 640 and box[0] < 0.7 * 640]
            assert len(inside) == 1


def test_one_that_is_held_up_comes_later_and_tells_when_its_part_was_there() -> None:
    """The others come in time meanwhile."""
    line = Line()
    line.run(2.0)
    line.barrier.hold_up(1.5)
    line.run(4.0, first=60)
    delays = {serial: now - at for now, serial, at in line.sent}
    held = line.barrier.held
    assert held is not None
    assert 1.5 <= delays.pop(held) < 1.6
    assert max(delays.values()) < 0.1
    places = sorted(place_of(serial) for _, serial, _ in line.sent)
    assert places == list(range(places[0], places[0] + len(places)))


def test_nothing_is_announced_before_the_first_frame_or_after_the_end() -> None:
    """What was held up is sent at the end: no part is left without a result."""
    line = Line()
    line.barrier.look()
    assert line.sent == []
    line.run(2.0)
    line.barrier.hold_up(60.0)
    line.run(1.0, first=60)
    assert line.barrier.held not in line.barrier.sent
    line.barrier.stop()
    assert line.barrier.held in line.barrier.sent
