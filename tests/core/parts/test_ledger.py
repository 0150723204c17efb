"""Every part has exactly one result, in order, in time or honestly late, by exactly one model."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_daemon.core.judged import Judged
from edge_daemon.core.parts.ledger import MOST_FREE, MOST_OPEN, PartLedger
from edge_daemon.core.parts.values import (
    By,
    Fold,
    FrameCaptured,
    FrameFollowed,
    FrameJudged,
    Opened,
    PartEvent,
    PartOutcome,
    PartReason,
    PartRules,
    Seen,
    Stopped,
    Ticked,
    Triggered,
)
from edge_daemon.core.values import (
    Assignment,
    BundleRef,
    Instant,
    Reason,
    Recipe,
    Verdict,
)
from tests.core.parts.reference import Line, expected

OLD, NEW = BundleRef("bottle", "1"), BundleRef("bottle", "2")
RECIPE = Recipe.rejecting(0.3, "scratch")
OK, NG, EMPTY = Verdict.OK, Verdict.NG, Verdict.EMPTY
LINE = Assignment(1, "BTL-500", "WO-17")

BY_FRAME = PartRules(deadline_s=5.0)
BY_TRIGGER = PartRules(By.TRIGGER, deadline_s=5.0, max_frames=2, window_s=(0.0, 3.0))
BY_TRACK = PartRules(By.TRACK, deadline_s=5.0, max_frames=2)


class Scenario:
    """Events in the words of a story; each word is a tenth of a second, and `t` is the time."""

    def __init__(self, rules: PartRules) -> None:
        self.ledger = PartLedger(rules)
        self.by = rules.by
        self.events: list[PartEvent] = []
        self.told: list[PartOutcome] = []
        self.steps: list[list[Line]] = []
        self.answers: list[Opened] = []
        self.t = 0.0
        self.frames = 0
        self.at: dict[int, float] = {}

    def take(self, event: PartEvent) -> list[PartOutcome]:
        found = self.ledger.take(event)
        self.events.append(event)
        self.answers += [each for each in found if isinstance(each, Opened)]
        results = [each for each in found if isinstance(each, PartOutcome)]
        self.told += results
        self.steps.append([Line.of(each) for each in results])
        self.t += 0.1
        return results

    def trigger(
        self, id_: str | None, at: float | None = None, *, has_waited: bool = False
    ) -> list[PartOutcome]:
        when = self.t if at is None else at
        triggered = Triggered(id_, Instant(when, 1e9 + when), self.t, LINE)
        return self.take(replace(triggered, has_waited=has_waited))

    def capture(self, count: int = 1) -> None:
        for _ in range(count):
            self.at[self.frames] = self.t
            self.take(FrameCaptured(self.frames, Instant(self.t, 1e9 + self.t), LINE, self.t))
            self.frames += 1

    def verdict(
        self, frame: int, verdict: Verdict = OK, *causes: str, by: BundleRef | None = OLD
    ) -> Judged:
        reason = Reason.WORKER_LOST if verdict is Verdict.UNINSPECTED else None
        model = None if reason else by
        at = self.at.setdefault(frame, self.t)
        judged = Judged(frame, 1e9 + at, at, LINE, verdict, reason, model, causes=causes)
        return replace(
            judged, sha256=str(model) if model else None, recipe=RECIPE if model else None
        )

    def judge(
        self, frame: int, verdict: Verdict = OK, *causes: str, by: BundleRef = OLD
    ) -> list[PartOutcome]:
        return self.take(FrameJudged(self.verdict(frame, verdict, *causes, by=by), self.t))

    def follow(
        self, *seen: tuple[int, Verdict], left: Sequence[int] = (), by: BundleRef = OLD
    ) -> list[PartOutcome]:
        judged = self.verdict(self.frames, OK, by=by)
        self.frames += 1
        marks = tuple(Seen(track, verdict, ("scratch",)) for track, verdict in seen)
        return self.take(FrameFollowed(judged, marks, tuple(left), self.t))

    def tick(self, after_s: float = 0.0, until: float | None = None) -> list[PartOutcome]:
        self.t += after_s
        return self.take(Ticked(self.t, self.t if until is None else until))

    def stop(self) -> list[PartOutcome]:
        return self.take(Stopped(self.t))


def only(told: Sequence[PartOutcome]) -> PartOutcome:
    (one,) = told
    return one


# --------------------------------------------------------------------------- by frame


def test_by_frame_each_frame_is_a_part() -> None:
    """With the frame's own verdict, model and causes."""
    scenario = Scenario(BY_FRAME)
    scenario.capture(2)
    first = only(scenario.judge(0, NG, "scratch", "dent"))
    assert (first.part, first.verdict, first.causes, first.frames) == (
        0,
        NG,
        ("scratch", "dent"),
        (0,),
    )
    assert (first.model, first.sha256, first.recipe) == (OLD, "bottle@1", RECIPE)
    assert (first.captured, first.triggered) == (Instant(0.0, 1e9), None)
    assert (first.age_ms, first.late) == (pytest.approx(200.0), False)
    assert only(scenario.judge(1, EMPTY)).verdict is EMPTY


def test_a_frame_that_has_no_verdict_is_a_part_with_its_reason() -> None:
    """No model is named."""
    scenario = Scenario(replace(BY_FRAME, min_frames=3))
    scenario.capture()
    told = only(scenario.judge(0, Verdict.UNINSPECTED))
    assert (told.verdict, told.reason, told.model) == (
        Verdict.UNINSPECTED,
        PartReason.WORKER_LOST,
        None,
    )
    assert only(scenario.judge(1)).verdict is OK  # whose capture was not told; one frame is enough


@pytest.mark.parametrize("late", [NG, Verdict.UNINSPECTED])
def test_what_is_not_judged_by_its_deadline_is_told_at_once(late: Verdict) -> None:
    """Whatever is found afterwards."""
    scenario = Scenario(replace(BY_FRAME, late=late))
    scenario.capture()
    assert scenario.tick(4.9) == []
    told = only(scenario.tick())
    assert (told.verdict, told.reason, told.late) == (late, PartReason.LATE, True)
    assert (told.model, told.causes) == (None, ())
    assert scenario.judge(0) == []


def test_a_verdict_after_the_deadline_is_late_though_no_tick_came() -> None:
    """Late but called in time: never."""
    scenario = Scenario(BY_FRAME)
    scenario.capture()
    scenario.t = 6.0
    assert only(scenario.judge(0)).late


def test_results_wait_for_those_before_them() -> None:
    """The order is that of the parts."""
    scenario = Scenario(BY_FRAME)
    scenario.capture(3)
    assert scenario.judge(2) == []
    assert scenario.judge(1) == []
    assert [each.part for each in scenario.judge(0)] == [0, 1, 2]


# --------------------------------------------------------------------------- by trigger


def test_the_frames_of_the_window_are_the_frames_of_the_part() -> None:
    """Told when the window is over and all are judged; causes are joined."""
    scenario = Scenario(replace(BY_TRIGGER, max_frames=30, window_s=(0.05, 0.35)))
    scenario.capture()  # before the trigger: of no part
    scenario.trigger("SN-1")
    scenario.capture(4)  # at 0.2 .. 0.5; the window ends before 0.45
    for frame in range(3):
        assert scenario.judge(frame, NG, f"c{frame % 2}") == []
        assert scenario.ledger.parts_of(frame) == ((0,) if frame else ())
    told = only(scenario.judge(3, NG, "c1"))
    assert (told.id, told.frames, told.causes) == ("SN-1", (1, 2, 3), ("c1", "c0"))
    assert told.triggered == Instant(0.1, 1e9 + 0.1)
    assert told.captured == Instant(0.2, 1e9 + 0.2)


def test_a_trigger_without_a_frame_is_told_when_its_window_is_over() -> None:
    """Not before all frames that were captured in it are known."""
    scenario = Scenario(BY_TRIGGER)
    scenario.trigger("SN-1")
    assert scenario.tick(4.0, until=2.9) == []
    told = only(scenario.tick(until=3.0))
    assert (told.reason, told.frames, told.assignment) == (PartReason.NO_FRAME, (), LINE)


def test_a_trigger_that_has_waited_takes_no_frame_and_ends_no_window() -> None:
    """Nobody knows when its part was there: the frames of now are another's."""
    line = Scenario(BY_TRIGGER)
    line.trigger("a")
    line.capture()
    line.trigger("late", has_waited=True)
    line.capture()
    line.judge(0)
    line.judge(1)
    assert [(each.id, each.frames, each.reason) for each in line.told] == [
        ("a", (0, 1), None),
        ("late", (), PartReason.NO_FRAME),
    ]


def test_a_trigger_ends_the_window_it_falls_into() -> None:
    """Each frame belongs to the part of the last trigger before it."""
    scenario = Scenario(replace(BY_TRIGGER, max_frames=30))
    scenario.trigger("a")
    scenario.capture(2)
    scenario.trigger("b")
    scenario.capture(2)
    for frame in range(4):
        scenario.judge(frame)
    scenario.tick(2.5)
    assert [(each.id, each.frames) for each in scenario.told] == [("a", (0, 1)), ("b", (2, 3))]


def test_a_trigger_that_is_told_late_gets_its_frames() -> None:
    """Those of no part, and those that were counted to the part before; judged or not."""
    scenario = Scenario(replace(BY_TRIGGER, max_frames=30, window_s=(0.0, 1.0)))
    scenario.capture(2)  # at 0.0, 0.1
    scenario.trigger("a", at=0.05)
    scenario.capture(2)  # at 0.3, 0.4
    scenario.judge(1, NG, "early")
    scenario.judge(3, NG, "late")
    scenario.trigger("b", at=0.35)
    scenario.judge(2)
    scenario.tick(1.0)
    assert [(each.id, each.frames, each.causes) for each in scenario.told] == [
        ("a", (1, 2), ("early",)),
        ("b", (3,), ("late",)),
    ]


def test_a_trigger_out_of_turn_takes_no_frame_of_a_later_one() -> None:
    """Its window ends where the next one begins, whichever was told first."""
    scenario = Scenario(BY_TRIGGER)
    scenario.capture(2)  # at 0.0, 0.1
    scenario.trigger("b", at=0.05)
    scenario.trigger("a", at=-0.5)
    for frame in range(2):
        scenario.judge(frame)
    scenario.tick(3.0)
    assert {each.id: each.frames for each in scenario.told} == {"b": (1,), "a": (0,)}


def test_the_same_id_opens_one_part() -> None:
    """And is answered with its number, also when that part was told long ago."""
    scenario = Scenario(BY_TRIGGER)
    scenario.trigger("a")
    scenario.trigger("a")
    scenario.trigger(None)
    scenario.trigger(None)
    scenario.tick(4.0)
    scenario.trigger("a")
    assert [(each.part, each.again) for each in scenario.answers] == [
        *((0, False), (0, True), (1, False), (2, False), (0, True))
    ]
    assert len(scenario.told) == scenario.ledger.opened == 3


def test_a_clock_that_is_ahead_holds_up_nobody() -> None:
    """A trigger for later than now counts as of now."""
    scenario = Scenario(BY_TRIGGER)
    scenario.trigger("a", at=1e9)
    scenario.capture()
    scenario.judge(0)
    assert [each.frames for each in scenario.tick(3.0)] == [(0,)]


def test_a_part_that_two_models_saw_is_not_judged() -> None:
    """A changeover in its window; a frame without a verdict does not make it mixed."""
    for second, reason in ((NEW, PartReason.CHANGEOVER), (OLD, None)):
        scenario = Scenario(replace(BY_TRIGGER, max_frames=3))
        scenario.trigger("a")
        scenario.capture(3)
        scenario.judge(0, NG, "scratch")
        scenario.judge(1, Verdict.UNINSPECTED)
        told = only(scenario.judge(2, by=second))
        assert told.reason is reason
        assert (told.model is None) is (reason is not None)


@pytest.mark.parametrize(
    ("fold", "frames", "verdict"),
    [
        (Fold.ANY_NG, (OK, OK, NG), NG),
        (Fold.ANY_NG, (OK, EMPTY, EMPTY), OK),
        (Fold.ANY_NG, (EMPTY, EMPTY, EMPTY), EMPTY),
        (Fold.MAJORITY, (OK, OK, NG), OK),
        (Fold.MAJORITY, (OK, EMPTY, NG), NG),
        (Fold.MAJORITY, (NG, OK, NG), NG),
        (2, (NG, OK, OK), OK),
        (2, (NG, OK, NG), NG),
        (3, (EMPTY, EMPTY, NG), OK),
    ],
)
def test_the_verdict_of_a_part_is_folded(
    fold: Fold | int, frames: tuple[Verdict, ...], verdict: Verdict
) -> None:
    """As many ng as ok are ng; frames without a part in view say nothing."""
    scenario = Scenario(replace(BY_TRIGGER, max_frames=3, verdict=fold))
    scenario.trigger("a")
    scenario.capture(3)
    for number, each in enumerate(frames):
        scenario.judge(number, each, *(["scratch"] if each is NG else []))
    told = only(scenario.told)
    assert (told.verdict, told.causes) == (verdict, ("scratch",) if verdict is NG else ())


@pytest.mark.parametrize(
    ("frames", "reason"),
    [((OK, OK), None), ((OK, Verdict.UNINSPECTED), "worker_lost"), ((OK,), "no_frame")],
)
def test_a_part_with_too_few_inspected_frames_is_not_judged(
    frames: tuple[Verdict, ...], reason: str | None
) -> None:
    """For the reason that its frames give, where one gives any."""
    scenario = Scenario(replace(BY_TRIGGER, min_frames=2))
    scenario.trigger("a")
    scenario.capture(len(frames))
    for number, each in enumerate(frames):
        scenario.judge(number, each)
    scenario.tick(3.0)
    told = only(scenario.told)
    assert (told.reason.value if told.reason else None) == reason


def test_a_stop_tells_what_is_left() -> None:
    """What is judged keeps its verdict."""
    scenario = Scenario(BY_FRAME)
    scenario.capture(2)
    scenario.judge(1)
    assert [(each.verdict, each.reason) for each in scenario.stop()] == [
        (Verdict.UNINSPECTED, PartReason.STOPPED),
        (OK, None),
    ]
    assert scenario.judge(0) == []
    scenario.capture()
    assert scenario.ledger.opened == 2


# --------------------------------------------------------------------------- by track


def test_a_followed_object_is_a_part() -> None:
    """Told when it leaves the zone, judged on the frames that show it there."""
    scenario = Scenario(replace(BY_TRACK, max_frames=30))
    scenario.follow((7, OK))
    scenario.follow((7, NG), (8, OK))
    assert scenario.ledger.parts_of(1) == (0, 1)
    assert only(scenario.follow((8, OK), left=[7])).frames == (0, 1)
    told = only(scenario.follow(left=[8]))
    assert (told.part, told.verdict, told.frames) == (1, OK, (1, 2))


def test_an_object_that_is_told_opens_no_second_part() -> None:
    """Late, or after as many frames as a part may have."""
    for wait_s in (0.0, 6.0):
        scenario = Scenario(BY_TRACK)
        scenario.follow((7, OK))
        scenario.tick(wait_s)
        scenario.follow((7, OK))
        scenario.follow((7, OK))
        assert only(scenario.told).late is (wait_s > 0)
        scenario.follow(left=[7])
        assert scenario.ledger.opened == 1


def test_a_frame_without_a_verdict_says_why_an_object_was_seen_too_little() -> None:
    """It may have shown the object; one that came before it did not."""
    for missed, reason in ((True, PartReason.WORKER_LOST), (False, PartReason.NO_FRAME)):
        scenario = Scenario(replace(BY_TRACK, min_frames=2))
        play(scenario, "un")
        scenario.follow((7, OK))
        if missed:
            play(scenario, "un")
        assert only(scenario.follow(left=[7])).reason is reason


def test_an_object_in_view_at_a_changeover_is_not_judged() -> None:
    """The next one is."""
    scenario = Scenario(BY_TRACK)
    scenario.follow((7, OK))
    assert only(scenario.follow((7, OK), (8, OK), by=NEW)).reason is PartReason.CHANGEOVER
    assert only(scenario.follow((8, OK), by=NEW)).model == NEW


# --------------------------------------------------------------------------- between two parts


@settings(max_examples=300)
@given(st.data())
def test_a_changeover_between_parts_is_seen_by_none(data: st.DataObject) -> None:
    """Triggers that are told before their frames, objects that come and go: the other model judges
    from the first frame on that would split no part, and no part is told as `changeover`."""
    rules = data.draw(st.sampled_from([BY_TRIGGER, replace(BY_TRACK, max_frames=30)]))
    scenario = Scenario(replace(rules, deadline_s=None))
    asked_at = data.draw(st.integers(1, 8))
    by, tracks, newest = OLD, list[int](), 0
    for frame in range(16):
        if rules.by is By.TRIGGER:
            if data.draw(st.booleans()):
                scenario.trigger(None)
            scenario.capture()
        if frame >= asked_at and by is OLD and not scenario.ledger.is_split(frame, tracks):
            by = NEW
        if rules.by is By.TRIGGER:
            scenario.judge(frame, by=by)
            continue
        left = [track for track in tracks if data.draw(st.booleans())]
        tracks = [track for track in tracks if track not in left]
        if data.draw(st.booleans()):
            newest += 1
            tracks.append(newest)
        scenario.follow(*((track, OK) for track in tracks), left=left, by=by)
    scenario.stop()
    assert {told.reason for told in scenario.told} <= {
        None,
        PartReason.NO_FRAME,
        PartReason.STOPPED,
    }


def test_a_frame_splits_the_part_that_was_seen_before_it() -> None:
    """Not the part that begins with it, and not one that is told."""
    scenario = Scenario(BY_TRIGGER)
    scenario.trigger("a")
    scenario.capture()
    assert not scenario.ledger.is_split(0)
    scenario.judge(0)
    scenario.capture()
    assert scenario.ledger.is_split(1)
    scenario.judge(1)
    scenario.capture()
    assert not scenario.ledger.is_split(2)
    followed = Scenario(BY_TRACK)
    assert not followed.ledger.is_split(0)
    followed.follow((7, OK))
    assert followed.ledger.is_split(1, [7])
    assert not followed.ledger.is_split(1)  # it was out of the zone again
    followed.follow((7, OK))
    assert not followed.ledger.is_split(2, [7])  # it has as many frames as a part may have
    assert followed.ledger.is_split(2, [7, 8])  # a newcomer that was seen once


# --------------------------------------------------------------------------- bounds


def test_memory_is_bounded_whatever_comes() -> None:
    """Triggers that nothing answers, and frames that nobody asked for: all are told once."""
    scenario = Scenario(replace(BY_TRIGGER, deadline_s=None, window_s=(0.0, 1e6)))
    for number in range(MOST_OPEN + 50):
        scenario.trigger(f"SN-{number}")
        scenario.t -= 0.1
    assert [each.reason for each in scenario.told] == [PartReason.DROPPED_OVERFLOW] * 50
    scenario.stop()
    assert [each.part for each in scenario.told] == list(range(MOST_OPEN + 50))
    idle = Scenario(BY_TRIGGER)
    idle.capture(MOST_FREE + 50)
    idle.trigger("a", at=0.0)
    idle.tick(10.0)
    assert only(idle.told).reason is PartReason.LATE
    assert only(idle.told).frames == ()


# --------------------------------------------------------------------------- any story


def check(scenario: Scenario, rules: PartRules) -> None:
    """What holds of every story, and what the reference makes of this one."""
    assert [each.part for each in scenario.told] == list(range(scenario.ledger.opened))
    numbers = [frame for each in scenario.told for frame in each.frames]
    if rules.by is not By.TRACK:
        assert len(numbers) == len(set(numbers))
    for each in scenario.told:
        assert each.late is (each.reason is PartReason.LATE)
        assert (each.verdict is Verdict.UNINSPECTED) is (
            each.reason is not None and not (each.late and each.verdict is NG)
        )
        assert (each.model is None) is (each.reason is not None)
        assert each.late is (each.age_ms > 5000.0 + 1e-6)
    assert scenario.steps == expected(scenario.events, rules)


WORDS = {
    BY_TRIGGER: ("a", "b", "a-1", "cap", "ok", "ng", "new", "tick", "long"),
    BY_FRAME: ("cap", "ok", "ng", "new", "un", "last", "tick", "long"),
    BY_TRACK: ("7ok", "7ng", "78", "new", "un", "left", "both", "tick", "long"),
}


def play(scenario: Scenario, word: str) -> None:
    due = len({e.judged.frame for e in scenario.events if isinstance(e, FrameJudged)})
    if word in {"a", "b"}:
        scenario.trigger(word)
    elif word == "a-1":
        scenario.trigger("c", at=scenario.t - 1.05)
    elif word == "cap":
        scenario.capture()
        scenario.t += 0.9
    elif word in {"tick", "long"}:
        scenario.tick({"tick": 1.0, "long": 3.1}[word])
    elif word in {"7ok", "7ng"}:
        scenario.follow((7, OK if word == "7ok" else NG))
    elif word == "78":
        scenario.follow((8, OK), (7, OK))
    elif word in {"left", "both"}:
        scenario.follow(left=[7, 8] if word == "both" else [7])
    elif scenario.by is By.TRACK:
        if word == "new":
            scenario.follow((7, OK), by=NEW)
        else:
            verdict = scenario.verdict(scenario.frames, Verdict.UNINSPECTED)
            scenario.frames += 1
            scenario.take(FrameFollowed(verdict, (), (), scenario.t))
    elif due < scenario.frames:
        frame = scenario.frames - 1 if word == "last" else due
        verdict = {"ng": NG, "un": Verdict.UNINSPECTED}.get(word, OK)
        scenario.judge(
            frame,
            verdict,
            *(["scratch"] if verdict is NG else []),
            by=NEW if word == "new" else OLD,
        )


def stories(words: Sequence[str], length: int) -> Iterator[tuple[str, ...]]:
    return itertools.product(words, repeat=length)


@pytest.mark.parametrize("rules", WORDS, ids=lambda rules: rules.by.value)
def test_every_small_story_ends_well(rules: PartRules) -> None:
    """All of four words and a stop, against the reference."""
    for words in stories(WORDS[rules], 4):
        tell(words, rules)


def tell(words: Iterable[str], rules: PartRules) -> None:
    scenario = Scenario(rules)
    used: set[str] = set()
    for word in words:
        if rules.by is By.TRACK and {"left", "both"} & used and word not in {"tick", "long", "un"}:
            continue  # a track that left does not come back
        used.add(word)
        play(scenario, word)
    scenario.stop()
    check(scenario, rules)


@settings(max_examples=300)
@given(st.data())
def test_every_long_story_ends_well(data: st.DataObject) -> None:
    """Longer ones, with other rules: folds, fewer and more frames, no deadline at all."""
    usual = data.draw(st.sampled_from(list(WORDS)))
    rules = replace(
        usual,
        verdict=data.draw(st.sampled_from([Fold.ANY_NG, Fold.MAJORITY, 2])),
        min_frames=data.draw(st.integers(1, 2)),
        max_frames=data.draw(st.integers(1, 4)),
        late=data.draw(st.sampled_from([NG, Verdict.UNINSPECTED])),
    )
    tell(data.draw(st.lists(st.sampled_from(WORDS[usual]), max_size=25)), rules)
