"""Transfers pause while the line's slowest frames are slower than without them."""

from __future__ import annotations

from edge_daemon.courier.latency_guard import PAUSE_S, LatencyGuard


def test_transfers_pause_when_frames_are_slower_while_bytes_move_and_goes_on_later() -> None:
    guard = LatencyGuard()
    assert not guard.must_pause(20.0, 0.0, is_moving=False)
    assert not guard.must_pause(21.5, 1.0, is_moving=True)
    assert guard.must_pause(25.0, 2.0, is_moving=True)
    assert guard.must_pause(20.0, 3.0, is_moving=False)
    assert not guard.must_pause(20.0, 2.0 + PAUSE_S, is_moving=True)


def test_what_others_of_the_box_cost_becomes_the_usual() -> None:
    guard = LatencyGuard()
    guard.must_pause(20.0, 0.0, is_moving=False)
    for second in range(60):
        assert not guard.must_pause(40.0, float(second), is_moving=False)
    assert not guard.must_pause(41.0, 61.0, is_moving=True)


def test_a_fast_model_is_not_told_apart_from_its_noise() -> None:
    guard = LatencyGuard()
    guard.must_pause(1.0, 0.0, is_moving=False)
    assert not guard.must_pause(1.9, 1.0, is_moving=True)


def test_a_line_that_judges_nothing_is_not_disturbed() -> None:
    assert not LatencyGuard().must_pause(None, 0.0, is_moving=True)
