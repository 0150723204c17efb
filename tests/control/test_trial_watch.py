"""The trial: measured from the cutover on, judged once there is evidence, and then over."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from edge_daemon.control.receipts import Receipts
from edge_daemon.control.trial_watch import TrialWatch
from edge_daemon.core.effects import StartTrial
from edge_daemon.core.shares import Shift
from edge_daemon.core.trial import Response, TrialLimits, VerdictWatch, Window
from edge_daemon.core.values import BundleRef, Counts, Instant, Latency, StoredBundle
from edge_daemon.slots.frame_control import FrameControl

LIMITS = TrialLimits(frames=100, seconds=10.0)
NOW = Instant(1_000.0, 1_795_000_000.0)
NEW = StartTrial("s-1", StoredBundle(BundleRef("bottle", "2.0.0"), "cd"))


def window(inspected: int, ms: float = 10.0) -> Window:
    """So many frames, each judged in this time."""
    return Window(Counts(inspected, inspected), 0, Latency(inspected, ms, ms))


class Station:
    """The line and the receipts, with what they measured."""

    def __init__(self) -> None:
        self.during, self.before = window(0), window(1000)
        self.after_doubt = window(0)
        self.elapsed_s = 0.0
        self.shift = Shift()
        self.recorded: list[BundleRef] = []
        self.asked: list[str] = []
        self.watch = TrialWatch(LIMITS, cast("FrameControl", self), cast("Receipts", self))

    def begin_record(self, ref: BundleRef) -> None:
        self.recorded.append(ref)

    def mark(self) -> object:
        return self.during

    def since(self, mark: object) -> Window:
        return self.after_doubt

    def trial_windows(self, swap_id: str, now: Instant) -> tuple[Window, Window | None, float]:
        self.asked.append(swap_id)
        return self.during, self.before, self.elapsed_s

    def trial_shift(self, swap_id: str, alpha: float) -> Shift:
        return self.shift

    def runs(self, frames: int, seconds: float, ms: float = 10.0) -> None:
        self.during, self.elapsed_s = window(frames, ms), seconds


@pytest.fixture
def station() -> Station:
    return Station()


def test_where_nothing_is_on_trial_nothing_is_measured(station: Station) -> None:
    """Most of the time."""
    assert station.watch.look(NOW) is None
    assert station.asked == []


def test_verdicts_are_recorded_from_the_cutover_on(station: Station) -> None:
    """Those of the version before are no evidence."""
    station.watch.start(NEW)
    assert station.recorded == [NEW.target.ref]


@pytest.mark.parametrize(("frames", "seconds"), [(0, 60.0), (99, 60.0), (100, 9.9), (5000, 1.0)])
def test_there_is_no_judgement_without_frames_and_time(
    station: Station, frames: int, seconds: float
) -> None:
    """Both: a second of 5,000 frames, and a minute of none, are no evidence."""
    station.watch.start(NEW)
    station.runs(frames, seconds)
    assert station.watch.look(NOW) is None


def test_a_trial_without_a_finding_passes_once(station: Station) -> None:
    """It is over then: the next look has nothing to say."""
    station.watch.start(NEW)
    station.runs(100, 10.0)
    judged = station.watch.look(NOW)
    assert judged is not None
    assert (judged.swap_id, judged.passed) == ("s-1", True)
    assert station.watch.look(NOW) is None


def test_a_failing_model_is_not_waited_for(station: Station) -> None:
    """One failed inference is one too many, whatever the time."""
    station.watch.start(NEW)
    station.during = replace(window(3), failed=1)
    judged = station.watch.look(NOW)
    assert judged is not None
    assert (judged.passed, judged.reason) == (False, "1 of 4 inferences failed on trial.")


def test_a_slow_version_fails_against_the_one_before(station: Station) -> None:
    """By its median."""
    station.watch.start(NEW)
    station.runs(100, 10.0, ms=40.0)
    judged = station.watch.look(NOW)
    assert judged is not None
    assert not judged.passed
    assert "40.0 ms" in judged.reason


@pytest.mark.parametrize(("tail_ms", "passed"), [(10.0, True), (60.0, False)])
def test_a_slow_moment_makes_the_trial_longer(
    station: Station, tail_ms: float, passed: bool
) -> None:
    """As many frames again decide whether the model or the box was slow."""
    slow = Latency(100, 10.0, 60.0)
    station.watch.start(NEW)
    station.during, station.elapsed_s = replace(window(100), inference_ms=slow), 10.0
    assert station.watch.look(NOW) is None
    station.after_doubt = window(99)
    assert station.watch.look(NOW) is None
    station.after_doubt = replace(window(100), inference_ms=Latency(100, 10.0, tail_ms))
    judged = station.watch.look(NOW)
    assert judged is not None
    assert judged.passed == passed


def test_the_next_trial_has_no_doubt(station: Station) -> None:
    """What was slow under an earlier version says nothing of this one."""
    station.watch.start(NEW)
    station.during = replace(window(100), inference_ms=Latency(100, 10.0, 60.0))
    station.elapsed_s = 10.0
    assert station.watch.look(NOW) is None
    station.watch.start(NEW)
    station.runs(100, 10.0)
    judged = station.watch.look(NOW)
    assert judged is not None
    assert judged.passed


def test_a_version_that_rejects_far_less_fails(station: Station) -> None:
    """It may be blind, though it is fast."""
    station.watch.start(NEW)
    station.runs(100, 10.0)
    station.shift = Shift(low=("ng: 0.1 % instead of 5 %",))
    judged = station.watch.look(NOW)
    assert judged is not None
    assert not judged.passed
    assert "0.1 %" in judged.reason


def test_a_version_that_rejects_more_is_a_warning(station: Station) -> None:
    """Perhaps it sees what the other one missed."""
    station.watch.start(NEW)
    station.runs(100, 10.0)
    station.shift = Shift(high=("ng: 9 % instead of 5 %",))
    judged = station.watch.look(NOW)
    assert judged is not None
    assert (judged.passed, judged.warning) == (True, "ng: 9 % instead of 5 %")


def test_limits_that_were_changed_count_at_once(station: Station) -> None:
    """By a reload, in the midst of a trial."""
    station.watch.start(NEW)
    station.runs(100, 10.0)
    station.shift = Shift(low=("ng: 0.1 % instead of 5 %",))
    off = VerdictWatch(low=Response.OFF, high=Response.OFF)
    station.watch.limits = replace(LIMITS, verdicts=off)
    judged = station.watch.look(NOW)
    assert judged is not None
    assert judged.passed


def test_a_trial_that_is_stopped_is_judged_no_more(station: Station) -> None:
    """Somebody confirmed it, or rolled it back."""
    station.watch.start(NEW)
    station.runs(100, 10.0)
    station.watch.stop()
    assert station.watch.look(NOW) is None


def test_the_next_swap_takes_the_place_of_a_trial(station: Station) -> None:
    """At most one at a time."""
    station.watch.start(NEW)
    station.watch.start(replace(NEW, swap_id="s-2"))
    station.runs(100, 10.0)
    judged = station.watch.look(NOW)
    assert judged is not None
    assert judged.swap_id == "s-2"
    assert station.asked == ["s-2"]
