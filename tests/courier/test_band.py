"""The courier rests while the line's slowest frames are slower than without it."""

from __future__ import annotations

from edge_daemon.courier.band import REST_S, Band


def test_it_rests_when_frames_are_slower_while_bytes_move_and_goes_on_later() -> None:
    band = Band()
    assert not band.is_left(20.0, 0.0, is_moving=False)
    assert not band.is_left(21.5, 1.0, is_moving=True)
    assert band.is_left(25.0, 2.0, is_moving=True)
    assert band.is_left(20.0, 3.0, is_moving=False)
    assert not band.is_left(20.0, 2.0 + REST_S, is_moving=True)


def test_what_others_of_the_box_cost_becomes_the_usual() -> None:
    band = Band()
    band.is_left(20.0, 0.0, is_moving=False)
    for second in range(60):
        assert not band.is_left(40.0, float(second), is_moving=False)
    assert not band.is_left(41.0, 61.0, is_moving=True)


def test_a_fast_model_is_not_told_apart_from_its_noise() -> None:
    band = Band()
    band.is_left(1.0, 0.0, is_moving=False)
    assert not band.is_left(1.9, 1.0, is_moving=True)


def test_a_line_that_judges_nothing_is_not_disturbed() -> None:
    assert not Band().is_left(None, 0.0, is_moving=True)
