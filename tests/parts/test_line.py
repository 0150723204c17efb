"""The parts' own thread: every captured frame ends in a part that is told, whatever is slow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from edge_daemon.core.judged import Judged
from edge_daemon.core.parts.values import (
    By,
    Opened,
    PartOutcome,
    PartReason,
    PartRules,
    Triggered,
)
from edge_daemon.core.values import (
    Assignment,
    BundleRef,
    Detection,
    Instant,
    Recipe,
    Rule,
    Verdict,
)
from edge_daemon.core.zones import Zone
from edge_daemon.errors import SenderError
from edge_daemon.parts import line as room
from edge_daemon.parts.line import PartLine
from tests.sim.clock import SimClock

MODEL = BundleRef("bottle", "1")
MIDDLE = Zone("middle", ((0.3, 0.0), (0.7, 0.0), (0.7, 1.0), (0.3, 1.0)))
RECIPE = Recipe(0.3, (Rule("scratch", "scratch", 0.3, at_most=0),), "bottle", (MIDDLE,))
ZONED = replace(RECIPE, rules=(replace(RECIPE.rules[0], zone=MIDDLE),))


class Station:
    """A part line, its clock, and the results that became durable."""

    def __init__(self, rules: PartRules, *, zone_name: str | None = None) -> None:
        self.clock = SimClock()
        self.told: list[PartOutcome] = []
        self.batches: list[int] = []
        self.changed = threading.Condition()
        self.broken = 0
        self.looks = 0
        self.line = PartLine(rules, self.clock.now, zone_name=zone_name)

    def is_trial(self) -> bool:
        return True

    def look(self) -> None:
        self.looks += 1
        if self.looks == 1:
            raise OSError("a look that fails ends nothing")

    def tell(self, parts: Sequence[PartOutcome]) -> None:
        if self.broken:
            self.broken -= 1
            raise OSError("the disk is full")
        with self.changed:
            self.told += parts
            self.batches.append(len(parts))
            self.changed.notify_all()

    def until(self, condition: Callable[[], bool]) -> None:
        """Time passes until it is so; ten milliseconds of it at a look."""
        give_up_at = time.monotonic() + 30.0
        while not condition():
            assert time.monotonic() < give_up_at
            with self.changed:
                self.changed.wait(0.01)
            self.clock.advance(0.01)

    def capture(self, number: int) -> Instant:
        now = self.clock.advance(1 / 30)
        self.line.captured(number, now, Assignment())
        return now

    def judge(self, number: int, at: Instant, *found: Detection, recipe: Recipe = RECIPE) -> None:
        verdict = Verdict.NG if any(each.label == "scratch" for each in found) else Verdict.OK
        self.line.judged(
            Judged(
                number,
                at.utc,
                at.at,
                Assignment(1, "BTL-500"),
                verdict,
                model=MODEL,
                sha256="9f",
                detections=found,
                recipe=recipe,
                size=(640, 480),
            )
        )


def test_every_frame_becomes_a_part_that_is_told_once() -> None:
    """In batches; with what was being made when the frame was judged."""
    station = Station(PartRules())
    station.line.start(station)
    for number in range(300):
        station.judge(number, station.capture(number))
    station.line.stop()
    station.line.stop()
    assert [each.part for each in station.told] == list(range(300))
    assert {each.assignment.product for each in station.told} == {"BTL-500"}
    assert all(each.trial for each in station.told)
    assert station.line.missed == station.line.lost == 0


def test_a_part_is_late_though_nothing_comes_any_more() -> None:
    """The clock alone is enough."""
    station = Station(PartRules(deadline_s=0.5))
    station.line.start(station)
    station.capture(0)
    station.clock.advance(0.6)
    station.until(lambda: bool(station.told))
    station.line.stop()
    assert [each.reason for each in station.told] == [PartReason.LATE]


def test_the_lane_learns_between_which_frames_a_part_is_split() -> None:
    """Once the thread has heard of the frames; what it has not heard of may be split."""
    station = Station(PartRules(By.TRIGGER, max_frames=2))
    station.line.start(station)
    splits = []
    for number in range(4):
        if number == 1:
            now = station.clock.advance(0.001)
            station.line.trigger(Triggered("a", now, now.at, Assignment()), lambda _: None)
        at = station.capture(number)
        splits.append(station.line.is_split(number, timeout_s=30.0))
        station.judge(number, at)
    assert splits == [False, False, True, False]
    assert station.line.is_split(4, timeout_s=0.0)  # not captured yet
    station.line.stop()


def test_results_outlive_a_disk_that_is_full_for_a_while() -> None:
    """They are written with a later batch, in their order."""
    station = Station(PartRules())
    station.broken = 3
    station.line.start(station)
    for number in range(5):
        station.judge(number, station.capture(number))
        station.clock.advance(1.0)
    station.until(lambda: len(station.told) == 5)
    station.line.stop()
    assert [each.part for each in station.told] == list(range(5))
    assert station.line.lost == 0


def test_a_disk_that_stays_full_costs_the_oldest_results_and_no_more_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was given up is counted, and said to people."""
    monkeypatch.setattr(room, "MOST_KEPT", 3)
    station = Station(PartRules())
    station.broken = 1 << 30
    station.line.start(station)
    for number in range(10):
        station.judge(number, station.capture(number))
    station.until(lambda: station.line.lost == 7)
    station.broken = 0
    station.line.stop()
    assert [each.part for each in station.told] == [7, 8, 9]
    assert station.line.problems() == (
        "7 results of parts were given up: they could not be written",
    )


def test_what_the_queue_has_no_room_for_is_counted_and_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each frame has a part with a reason, also one whose verdict was lost on the way."""
    monkeypatch.setattr(room, "MOST_WAITING", 10)
    station = Station(PartRules())
    at = [station.capture(number) for number in range(10)]
    for number in range(10):
        station.judge(number, at[number])  # no room: the thread was not started yet
    assert station.line.missed == 10
    assert "10 captures, verdicts or triggers came too fast" in station.line.problems()[0]
    station.line.start(station)
    station.until(lambda: station.line.waiting == 0)
    station.judge(10, station.capture(10))
    station.line.stop()
    assert [each.part for each in station.told] == list(range(11))
    assert {each.reason for each in station.told[:10]} == {PartReason.DROPPED_OVERFLOW}
    assert station.told[10].verdict is Verdict.OK


@pytest.mark.parametrize(
    ("recipe", "zone_name", "word"),
    [
        (RECIPE, "middle", ""),
        (RECIPE, "gate", "no zone 'gate'"),
        (RECIPE, None, ""),
        (ZONED, None, ""),
        (replace(ZONED, rules=ZONED.rules + RECIPE.rules), None, "set parts.zone"),
        (Recipe(0.3), None, "recipe.part"),
    ],
)
def test_a_recipe_by_which_nothing_is_followed_as_meant_is_told(
    recipe: Recipe, zone_name: str | None, word: str
) -> None:
    """In health, as long as it judges."""
    pytest.importorskip("scipy")
    station = Station(PartRules(By.TRACK), zone_name=zone_name)
    station.line.start(station)
    station.judge(0, station.capture(0), recipe=recipe)
    station.until(lambda: station.line.waiting == 0)
    station.line.stop()
    assert [word in each for each in station.line.problems()] == [True] * bool(word)


@pytest.mark.parametrize(("recipe", "zone_name"), [(RECIPE, "middle"), (ZONED, None)])
def test_followed_bottles_are_parts_and_their_scratches_theirs(
    recipe: Recipe, zone_name: str | None
) -> None:
    """In the zone that the settings name, or else where the rules of the recipe look."""
    pytest.importorskip("scipy")
    station = Station(PartRules(By.TRACK), zone_name=zone_name)
    station.line.start(station)
    for number in range(140):
        found = []
        for bottle in range(6):
            x = number * 9.0 - bottle * 100.0
            if not 0 < x < 640:
                continue
            found.append(Detection("bottle", 0.9, (x - 30, 100, x + 30, 200)))
            if bottle % 2:
                found.append(Detection("scratch", 0.9, (x - 5, 140, x + 5, 150)))
        station.judge(number, station.capture(number), *found, recipe=recipe)
    station.line.stop()
    assert [each.verdict for each in station.told] == [Verdict.OK, Verdict.NG] * 3
    assert all(192 <= 9 * each.frames[0] - 100 * each.part <= 201 for each in station.told)
    assert [each.causes for each in station.told[:2]] == [(), ("scratch",)]


def test_a_stop_does_not_wait_for_a_place_in_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that hangs holds up the parts' thread; what waits is told when it is back."""
    monkeypatch.setattr(room, "MOST_WAITING", 5)
    station = Station(PartRules())
    is_writing, is_back = threading.Event(), threading.Event()

    def hang(parts: Sequence[PartOutcome]) -> None:
        is_writing.set()
        is_back.wait(30.0)
        Station.tell(station, parts)

    monkeypatch.setattr(station, "tell", hang)
    station.line.start(station)
    station.judge(0, station.capture(0))
    station.until(is_writing.is_set)
    for number in range(1, 6):
        station.capture(number)
    stopper = threading.Thread(target=station.line.stop, args=(0.0,), daemon=True)
    stopper.start()
    stopper.join(30.0)
    assert not stopper.is_alive()
    is_back.set()
    station.until(lambda: len(station.told) == 6)


def test_who_cannot_be_answered_ends_no_other_part() -> None:
    """The thread goes on, and the part of that trigger is told all the same."""
    station = Station(PartRules(By.TRIGGER))
    answers: list[Opened] = []
    now = station.clock.now()

    def fail(_: Opened) -> None:
        raise OSError("nobody is there")

    station.line.start(station)
    station.line.trigger(Triggered("a", now, now.at), fail)
    station.line.trigger(Triggered("b", now, now.at), answers.append)
    station.until(lambda: len(answers) == 1)
    station.line.stop()
    assert [each.id for each in station.told] == ["a", "b"]


def test_no_trigger_gets_lost_at_a_stop() -> None:
    """It is answered and told, or refused in a sentence."""
    station = Station(PartRules(By.TRIGGER))
    answers: list[Opened] = []
    now = station.clock.now()
    station.line.trigger(Triggered("a", now, now.at), answers.append)
    station.line.start(station)
    station.line.stop()
    assert [(each.part, each.id) for each in answers] == [(0, "a")]
    assert [(each.part, each.reason) for each in station.told] == [(0, PartReason.STOPPED)]
    with pytest.raises(SenderError, match="stopping"):
        station.line.trigger(Triggered("b", now, now.at), answers.append)


def test_triggers_that_come_too_fast_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Aloud, and none that was heard gets lost."""
    monkeypatch.setattr(room, "MOST_WAITING", 2)
    station = Station(PartRules(By.TRIGGER))
    answers: list[Opened] = []
    now = station.clock.now()
    for name in ("a", "b"):
        station.line.trigger(Triggered(name, now, now.at), answers.append)
    with pytest.raises(SenderError, match="More triggers"):
        station.line.trigger(Triggered("c", now, now.at), answers.append)
    station.line.start(station)
    station.until(lambda: len(answers) == 2)
    station.line.stop()
    assert [each.id for each in station.told] == ["a", "b"]


def test_a_frame_is_told_which_parts_it_shows() -> None:
    """Once it has its outcome, also where its part is told with it; beyond that nobody waits."""
    station = Station(PartRules())
    station.line.start(station)
    for number in range(3):
        station.judge(number, station.capture(number))
    assert [station.line.parts_of(number, 30.0) for number in range(3)] == [(0,), (1,), (2,)]
    assert station.line.parts_of(3, 0.0) is None
    assert station.line.parts_of(4) is None, "it is behind: nobody waits for it"
    station.judge(3, station.capture(3))
    station.until(lambda: station.line.parts_of(3) == (3,))
    station.until(lambda: station.looks > 1)
    station.line.stop()
