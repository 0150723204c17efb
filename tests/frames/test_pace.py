"""The schedule of sources that have no rate of their own."""

from __future__ import annotations

from edge_daemon.frames.pace import Pace


class Hands:
    """A clock that moves by waiting only."""

    def __init__(self) -> None:
        self.at = 100.0
        self.cut_short = False

    def now(self) -> float:
        return self.at

    def wait(self, seconds: float) -> bool:
        self.at += seconds
        return self.cut_short


def test_the_schedule_does_not_drift() -> None:
    """Work between two turns takes nothing from the rate, however long the run."""
    hands = Hands()
    pace = Pace(30.0, hands.now, hands.wait)
    for turn in range(3000):
        assert pace.wait_turn()
        assert abs(hands.at - (100.0 + turn / 30.0)) < 0.02
        hands.at += 0.007 if turn % 5 else 0.045


def test_a_stall_is_not_caught_up_in_a_burst() -> None:
    """After a long pause the rate goes on from there; frames that were missed are past."""
    hands = Hands()
    pace = Pace(10.0, hands.now, hands.wait)
    assert pace.wait_turn()
    hands.at += 60.0
    times = []
    for _ in range(4):
        assert pace.wait_turn()
        times.append(round(hands.at - 160.0, 6))
    assert times == [0.0, 0.1, 0.2, 0.3]


def test_a_wait_can_be_cut_short() -> None:
    """A camera that is closed does not sit out its turn."""
    hands = Hands()
    pace = Pace(0.001, hands.now, hands.wait)
    assert pace.wait_turn()
    hands.cut_short = True
    assert not pace.wait_turn()
