"""As many parts come out as went in: on belts that jitter, flicker, cross, stop and run fast."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_daemon.core.parts.objects import Shown, shown
from edge_daemon.core.parts.values import Seen
from edge_daemon.core.recipe import broken_rules
from edge_daemon.core.values import Box, Detection, Recipe, Rule, Verdict
from edge_daemon.core.zones import Zone
from edge_daemon.errors import BoxError
from edge_daemon.parts import tracker
from edge_daemon.parts.tracker import MOST_MISSES, MOST_TRACKS, Tracker

pytest.importorskip("scipy")

SIZE = (640, 480)
FPS = 30.0
MIDDLE = Zone("middle", ((0.3, 0.0), (0.7, 0.0), (0.7, 1.0), (0.3, 1.0)))


@dataclass(frozen=True)
class Thing:
    """One object: where its centre is at frame 0, how far it moves a frame, how large it is."""

    x: float
    y: float
    vx: float
    vy: float = 0.0
    side: float = 40.0
    verdict: Verdict = Verdict.OK

    def box(self, frame: float, trembles: float = 0.0, chance: random.Random | None = None) -> Box:
        chance = chance or random.Random(0)
        x = self.x + self.vx * frame + chance.gauss(0, trembles)
        y = self.y + self.vy * frame + chance.gauss(0, trembles)
        half = self.side / 2
        return (x - half, y - half, x + half, y + half)


class Belt:
    """Shows things to a tracker, and keeps what it made of them."""

    def __init__(self, zone: Zone | None = MIDDLE, *, seed: int = 1) -> None:
        self.tracker = Tracker(zone)
        self.chance = random.Random(seed)
        self.seen: dict[int, list[Seen]] = {}
        self.left: list[int] = []
        self.frame = 0
        self.stamp = -1.0
        self.shown_as: dict[int, set[Thing]] = {}

    def run(
        self,
        things: Iterable[Thing],
        frames: int,
        *,
        trembles: float = 0.0,
        missed: float = 0.0,
        stop_at: float = 1e9,
        late: float = 0.0,
        jitter: float = 0.0,
    ) -> None:
        """`late`: intervals that one frame in ten is stamped late by, at most. `jitter`: so much is
        a frame exposed late, by the driver's own stamp.
        """
        things = list(things)
        for _ in range(frames):
            exposed = jitter * self.chance.random()
            at = min(self.frame + exposed, stop_at)
            boxes = {thing: thing.box(at, trembles, self.chance) for thing in things}
            found = [
                (thing, Shown(box, 0.9, thing.verdict, ("c",) * (thing.verdict is Verdict.NG)))
                for thing, box in boxes.items()
                if 0 < (box[0] + box[2]) / 2 < SIZE[0]
                and 0 < (box[1] + box[3]) / 2 < SIZE[1]
                and self.chance.random() >= missed
            ]
            self.chance.shuffle(found)
            off = late * self.chance.random() * (self.chance.random() < 0.1)
            self.stamp = max(self.stamp + 0.01, self.frame + off + exposed)
            seen, left = self.tracker.follow(
                [s for _, s in found], SIZE, self.stamp / FPS, is_stamped=jitter > 0.0
            )
            for each in seen:
                self.seen.setdefault(each.track, []).append(each)
            self.left += left
            self.frame += 1


def row(count: int, pitch: float, speed: float, **how: float) -> list[Thing]:
    """Things that follow each other from the left."""
    return [Thing(-20.0 - n * pitch, 200.0, speed, **how) for n in range(count)]


@pytest.mark.parametrize("speed", [2.0, 7.0, 15.0, 29.0])
@pytest.mark.parametrize(("trembles", "missed"), [(0.0, 0.0), (2.0, 0.0), (0.0, 0.1), (2.0, 0.1)])
def test_as_many_parts_come_out_as_went_in(speed: float, trembles: float, missed: float) -> None:
    """Whatever the speed, with boxes that tremble and a tenth of all sights missed."""
    belt = Belt()
    things = row(20, 80.0, speed)
    belt.run(things, int((640 + 20 * 80 + 100) / speed), trembles=trembles, missed=missed)
    assert len(belt.seen) == 20
    assert sorted(belt.left) == sorted(belt.seen)


def test_a_defect_stays_with_its_part() -> None:
    """Every third is ng, on each of its frames and on no other's."""
    belt = Belt()
    things = [
        replace(thing, verdict=Verdict.NG if n % 3 == 0 else Verdict.OK)
        for n, thing in enumerate(row(18, 90.0, 9.0))
    ]
    belt.run(things, 300, trembles=1.0)
    verdicts = [{each.verdict for each in belt.seen[track]} for track in sorted(belt.seen)]
    assert verdicts == [{thing.verdict} for thing in things]


def test_objects_that_cross_keep_their_numbers() -> None:
    """Each goes on as it went."""
    belt = Belt(None)
    down = Thing(100.0, 100.0, 6.0, 3.0)
    up = Thing(100.0, 340.0, 6.0, -3.0, verdict=Verdict.NG)
    belt.run([down, up], 75)
    assert [{each.verdict for each in found} for found in belt.seen.values()] == [
        {Verdict.OK},
        {Verdict.NG},
    ]


def test_two_lanes_at_two_speeds() -> None:
    """A slow one beside a fast one."""
    belt = Belt()
    slow = [replace(thing, y=100.0) for thing in row(8, 90.0, 4.0)]
    fast = [replace(thing, y=350.0) for thing in row(16, 90.0, 11.0)]
    belt.run([*slow, *fast], 360, trembles=1.0, missed=0.05)
    assert len(belt.seen) == 24


def test_a_belt_that_stops_and_goes_on_shows_no_part_twice() -> None:
    """Objects that rest are the objects that came."""
    belt = Belt()
    things = row(6, 90.0, 9.0)
    belt.run(things, 60)
    resting = [replace(thing, x=thing.x + thing.vx * 60, vx=0.0) for thing in things]
    belt.run(resting, 60, trembles=1.0)
    on = [replace(thing, x=thing.x + thing.vx * (60 - 120)) for thing in things]
    belt.run(on, 100)
    assert len(belt.seen) == 6


def test_a_flicker_is_no_part_and_what_it_showed_is_not_lost() -> None:
    """One sight makes none; ng on the first sight of a real one counts with the second."""
    belt = Belt(None)
    belt.run([Thing(300.0, 200.0, 5.0, verdict=Verdict.NG)], 1)
    belt.run([], MOST_MISSES + 2)
    assert belt.seen == {}
    assert belt.left == []
    belt = Belt(None)
    belt.run([Thing(300.0, 200.0, 5.0, verdict=Verdict.NG)], 1)
    belt.run([Thing(300.0, 200.0, 5.0)], 2)
    (found,) = belt.seen.values()
    assert [each.verdict for each in found] == [Verdict.NG, Verdict.OK]
    assert found[0].causes == ("c",)


def test_two_boxes_on_one_object_are_one_part() -> None:
    """What the network did not suppress."""
    belt = Belt()
    things = row(10, 90.0, 9.0)
    belt.run([*things, *(replace(thing, side=46.0) for thing in things)], 180)
    assert len(belt.seen) == 10


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.floats(3.0, 25.0), st.floats(70.0, 160.0))
def test_the_same_frames_give_the_same_tracks(seed: int, speed: float, pitch: float) -> None:
    """In whatever order the detections come; and n in are n out."""
    first, second = Belt(seed=seed), Belt(seed=seed)
    things = row(12, pitch, speed)
    frames = int((640 + 12 * pitch + 100) / speed)
    first.run(things, frames)
    second.run(things[::-1], frames)
    assert first.seen == second.seen
    assert first.left == second.left
    assert len(first.seen) == 12


@pytest.mark.parametrize("late", [0.5, 1.5, 2.5])
def test_a_frame_that_is_stamped_late_makes_no_second_part(late: float) -> None:
    """One in ten, by up to so many intervals; the next ones come right after it."""
    belt = Belt()
    belt.run(row(40, 90.0, 9.0), int((640 + 40 * 90 + 100) / 9), late=late)
    assert len(belt.seen) == 40


def test_a_part_that_is_overlooked_is_not_taken_for_the_one_behind_it() -> None:
    """In the very frame in which that one comes into view, closer than the length of a part."""
    belt = Belt(None)
    parts = [Thing(60.0, 200.0, 8.0, side=60.0), Thing(-2.0, 200.0, 8.0, side=60.0)]
    belt.run(parts[:1], 2)
    belt.run(parts[1:], 1)
    belt.run(parts, 20)
    assert len(belt.seen) == 2
    assert sorted(len(each) for each in belt.seen.values()) == [20, 21]


def test_after_frames_that_were_lost_the_stamp_counts() -> None:
    """Objects moved on meanwhile, by less than a pitch."""
    belt = Belt()
    things = row(20, 150.0, 6.0)
    while belt.frame < (640 + 20 * 150 + 100) / 6:
        belt.run(things, 20)
        belt.frame += 8
    assert len(belt.seen) == 20


@pytest.mark.parametrize("few", [0, tracker.FEW])
def test_the_next_part_is_not_taken_for_one_that_left_while_frames_were_lost(
    few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands behind the last sight of that one, and alone in view."""
    monkeypatch.setattr(tracker, "FEW", few)
    belt = Belt()
    things = [Thing(-20.0, 200.0, 10.0), Thing(-520.0, 200.0, 10.0, verdict=Verdict.NG)]
    belt.run(things, 43)
    belt.frame += 45
    belt.run(things, 60)
    assert [{each.verdict for each in seen} for seen in belt.seen.values()] == [
        {Verdict.OK},
        {Verdict.NG},
    ]
    assert sorted(belt.left) == sorted(belt.seen)


@pytest.mark.parametrize("lost", [5, 7, 9])
def test_all_parts_are_not_taken_for_those_before_them_after_a_gap(lost: int) -> None:
    """Each stands almost where the one before it stood."""
    belt = Belt()
    things = row(40, 72.0, 8.0, side=53.0)
    while belt.frame < (640 + 40 * 72 + 100) / 8:
        belt.run(things, 31)
        belt.frame += lost
    assert len(belt.seen) == 40
    assert all(_moves_on(each) for each in belt.seen.values())


@pytest.mark.parametrize("lost", [1, 3, 6, 8])
def test_the_first_frames_may_come_at_any_time(lost: int) -> None:
    """A daemon that starts is slow with the first one; nobody knows yet what is usual."""
    belt = Belt()
    things = row(15, 150.0, 8.0, side=53.0)
    belt.frame = 60
    belt.run(things, 1)
    belt.frame += lost
    belt.run(things, 300)
    in_zone = [
        sum(192 <= thing.x + thing.vx * frame <= 448 for frame in range(61 + lost, 361 + lost))
        for thing in things
    ]
    assert len(belt.seen) == sum(frames > 1 for frames in in_zone)


@pytest.mark.parametrize("seed", range(8))
def test_a_driver_s_stamp_is_exact(seed: int) -> None:
    """Frames are exposed at any time, and now and then many are lost."""
    belt = Belt(seed=seed)
    things = row(40, 72.0, 8.0, side=53.0)
    while belt.frame < (640 + 40 * 72 + 100) / 8:
        belt.run(things, 11, jitter=0.9)
        belt.frame += 12
    assert len(belt.seen) == 40
    assert all(_moves_on(each) for each in belt.seen.values())


def _moves_on(seen: list[Seen]) -> bool:
    """Whether its boxes go one way only."""
    return [each.box for each in seen] == sorted(each.box for each in seen)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(3.0, 40.0), st.floats(42.0, 120.0))
def test_pairs_found_one_by_one_are_those_of_the_solver(
    seed: int, speed: float, pitch: float
) -> None:
    """Also where boxes come so close that there is a choice, tremble, and are missed."""
    belts = [Belt(seed=seed), Belt(seed=seed)]
    things = row(10, pitch, speed)
    frames = int((640 + 10 * pitch) / speed)
    with pytest.MonkeyPatch.context() as patch:
        for belt, few in zip(belts, (tracker.FEW, 0), strict=True):
            patch.setattr(tracker, "FEW", few)
            belt.run(things, frames, trembles=3.0, missed=0.1)
    assert belts[0].seen == belts[1].seen
    assert belts[0].left == belts[1].left


def test_without_scipy_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a station that follows objects needs it."""
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(BoxError, match="is not installed") as failed:
        Tracker(None)
    assert failed.value.hint == "Install it: pip install 'edge-daemon[tracks]'."


def test_memory_is_bounded() -> None:
    """A thousand objects in every frame, none where the last were."""
    belt = Belt(None)
    for frame in range(12):
        crowd = [
            Thing((n % 40) * 15.0 + frame * 3, (n // 40) * 18.0 + 5, 0.0, side=4.0)
            for n in range(1000)
        ]
        belt.run(crowd, 1)
        assert belt.tracker.followed <= MOST_TRACKS


# --------------------------------------------------------------------------- objects of one frame

RECIPE = Recipe(
    0.4,
    (
        Rule("scratch", "scratch", 0.3, at_most=0),
        Rule("cap", "cap", 0.3, at_least=1, at_most=1),
    ),
    "bottle",
)


def test_a_defect_belongs_to_the_smallest_box_that_holds_its_centre() -> None:
    """One that lies in none belongs to no part; each part needs its own cap."""
    large, small = (0.0, 0.0, 100.0, 100.0), (50.0, 50.0, 90.0, 90.0)
    found = [
        Detection("scratch", 0.9, (60.0, 60.0, 70.0, 70.0)),
        Detection("scratch", 0.9, (300.0, 0.0, 310.0, 10.0)),
        Detection("bottle", 0.9, large),
        Detection("bottle", 0.8, small),
        Detection("bottle", 0.1, (200.0, 0.0, 300.0, 100.0)),
        Detection("cap", 0.9, (10.0, 10.0, 20.0, 20.0)),
    ]
    for order in (found, found[::-1]):
        whole, inner = shown(order, RECIPE, SIZE)
        assert (whole.box, whole.verdict) == (large, Verdict.OK)
        assert (inner.box, inner.causes) == (small, ("scratch", "cap"))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 30))
def test_each_part_breaks_the_rules_that_its_own_detections_break(seed: int) -> None:
    """Looked at once for all parts, or for each alone: with zones, areas and what is no number."""
    chance = random.Random(seed)
    labels = ("bottle", "scratch", "cap")
    rules = tuple(
        Rule(
            f"rule-{number}",
            chance.choice(labels),
            chance.choice((0.3, 0.5)),
            at_least=chance.randint(0, 1),
            at_most=chance.choice((None, 1, 2)),
            min_area_px=chance.choice((0.0, 150.0)),
            zone=chance.choice((None, MIDDLE)),
        )
        for number in range(chance.randint(0, 4))
    )
    recipe = Recipe(0.4, rules, "bottle")
    found = []
    for place in range(4):
        x = place * 150.0
        found.append(Detection("bottle", chance.choice((0.3, 0.9)), (x, 0.0, x + 100.0, 100.0)))
        for _ in range(3):
            left, side = x + chance.uniform(0, 120), chance.choice((10.0, 20.0))
            sure = chance.choice((0.2, 0.4, 0.9, float("nan")))
            box = (left, 20.0, left + side, 20.0 + side)
            found.append(Detection(chance.choice(labels[1:]), sure, box))
    for part in shown(found, recipe, SIZE):
        left, top, right, bottom = part.box
        own = [
            each
            for each in found
            if each.label != "bottle"
            and left <= (each.box[0] + each.box[2]) / 2 <= right
            and top <= (each.box[1] + each.box[3]) / 2 <= bottom
        ]
        own += [each for each in found if each.box == part.box]
        assert part.causes == broken_rules(own, recipe, SIZE)
        assert part.verdict is (Verdict.NG if part.causes else Verdict.OK)
