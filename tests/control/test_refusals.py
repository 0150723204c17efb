"""What cannot be read is told once and then counted; health names where it comes from."""

from __future__ import annotations

from edge_daemon.control.refusals import AT_ONCE, EVERY_S, QUIET_S, TOPICS, RefusalReport, Refusals
from edge_daemon.errors import SenderError
from tests.sim.clock import SimClock

NOISE = SenderError("The order has no product: looked at `productCode`.", hint="Correct it.")


class Ear:
    """Refusals on a clock that the test turns, and all that was told."""

    def __init__(self) -> None:
        self.clock = SimClock()
        self.refusals = Refusals()
        self.told: list[RefusalReport] = []

    def refuse(self, topic: str = "acme/temp", error: SenderError = NOISE) -> None:
        self.told += self.refusals.refused(topic, error, self.clock.now())

    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.told += self.refusals.tick(self.clock.now())

    @property
    def problems(self) -> tuple[str, ...]:
        return self.refusals.problems(self.clock.now())


def test_a_thousand_unreadable_messages_are_one_line_a_count_and_one_problem() -> None:
    """The first at once, with the next step; what follows each minute, as a number."""
    ear = Ear()
    for _ in range(1000):
        ear.refuse()
        ear.clock.advance(0.01)
    assert ear.told == [RefusalReport("acme/temp", str(NOISE))]
    (problem,) = ear.problems
    assert "acme/temp" in problem
    assert "productCode" in problem
    ear.wait(EVERY_S)
    assert [told.count for told in ear.told] == [None, 999]
    assert "acme/temp (999)" in ear.told[-1].error
    ear.wait(EVERY_S)
    assert len(ear.told) == 2, "nothing more came"


def test_a_flood_without_a_pause_is_counted_each_minute_too() -> None:
    """No quiet moment is needed for the count."""
    ear = Ear()
    for _ in range(5 * 60 * 10):
        ear.refuse()
        ear.clock.advance(0.1)
    assert 4 <= len(ear.told) <= 6


def test_many_topics_and_many_words_are_bounded_alike() -> None:
    """A wide filter over a plant, each sensor with its own number in the message."""
    ear = Ear()
    for number in range(1000):
        ear.refuse(f"acme/sensor{number}", SenderError(f"It says {number}."))
        ear.clock.advance(0.01)
    assert len(ear.told) == AT_ONCE
    (problem,) = ear.problems
    assert f"{TOPICS - 1} other topics" in problem
    ear.wait(EVERY_S)
    assert ear.told[-1].count == 1000 - AT_ONCE
    assert "other topics" in ear.told[-1].error


def test_another_fault_of_the_same_topic_is_told_at_once() -> None:
    """A MES whose orders are wrong in different ways is not counted away."""
    ear = Ear()
    for order in ("WO-1", "WO-2", "WO-1"):
        ear.refuse("mes/orders", SenderError(f"The order has no product for {order}."))
    assert len(ear.told) == 2


def test_the_problem_ends_some_minutes_after_the_last_refusal() -> None:
    """Readable or silent, which is the same here; and the next refusal is news again."""
    ear = Ear()
    ear.refuse()
    ear.refuse()
    ear.wait(QUIET_S - 1)
    assert ear.problems
    ear.wait(1)
    assert not ear.problems
    ear.refuse()
    assert [told.count for told in ear.told] == [None, 1, None]
    assert ear.problems
