"""Transfers pause while the line's slowest frames are slower than without them."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_daemon.core.values import Latency
from edge_daemon.courier.latency_guard import PAUSE_S, LatencyGuard

WINDOW = 300


@dataclass
class Line:
    """So many frames a second, and what the guard says of them."""

    fps: int = 30
    second: int = 0
    guard: LatencyGuard = field(default_factory=LatencyGuard)

    def look(self, p99_ms: float | None, *, is_moving: bool) -> bool:
        """The next second."""
        self.second += 1
        judged = self.second * self.fps
        latency = Latency() if p99_ms is None else Latency(min(WINDOW, judged), p99=p99_ms)
        return self.guard.must_pause(latency, judged, float(self.second), is_moving=is_moving)

    def paused_s(self, p99_ms: float, seconds: int) -> int:
        """How many of the next seconds it pauses; bytes move in the others."""
        is_paused, count = True, 0
        for _ in range(seconds):
            is_paused = self.look(p99_ms, is_moving=not is_paused)
            count += is_paused
        return count


def test_transfers_pause_when_frames_are_slower_while_bytes_move_and_goes_on_later() -> None:
    line = Line()
    assert not line.look(20.0, is_moving=False)
    assert not line.look(21.5, is_moving=True)
    assert line.look(25.0, is_moving=True)
    for _ in range(int(PAUSE_S) - 1):
        assert line.look(20.0, is_moving=False)
    assert not line.look(20.0, is_moving=True)
    assert not line.look(21.5, is_moving=True)
    assert line.look(25.0, is_moving=True)


def test_what_others_of_the_box_cost_becomes_the_usual() -> None:
    line = Line()
    line.look(20.0, is_moving=False)
    for _ in range(60):
        assert not line.look(40.0, is_moving=False)
    assert not line.look(41.0, is_moving=True)


def test_a_line_that_others_slow_down_meanwhile_costs_one_pause() -> None:
    """It stays as slow while nothing is transferred, so it was not the transfer."""
    line = Line()
    line.look(20.0, is_moving=False)
    assert line.paused_s(40.0, 600) == PAUSE_S


def test_frames_of_before_the_pause_cause_no_second_one() -> None:
    """At 5 frames a second the slow ones stay among the last 300 for a minute."""
    line = Line(fps=5)
    for _ in range(90):
        line.look(20.0, is_moving=False)
    assert line.paused_s(40.0, 59) == PAUSE_S
    assert line.paused_s(20.0, 600) == 0


def test_a_slow_line_that_the_transfer_slows_pauses_again() -> None:
    line = Line(fps=5)
    for _ in range(90):
        line.look(20.0, is_moving=False)
    assert line.paused_s(40.0, 600) > 5 * PAUSE_S


def test_a_fast_model_is_not_told_apart_from_its_noise() -> None:
    line = Line()
    line.look(1.0, is_moving=False)
    assert not line.look(1.9, is_moving=True)


def test_a_line_that_judges_nothing_is_not_disturbed() -> None:
    assert not Line().look(None, is_moving=True)
