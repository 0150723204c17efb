"""A subscriber of the demo counts frames and parts, and the summary says what it counted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edge_daemon.cli.drill_ledger import SubscriberLedger
from edge_daemon.demo.barrier import STATION
from edge_daemon.demo.conveyor import Conveyor
from edge_daemon.demo.stage import BELT
from edge_daemon.demo.subscriber import ROOT, Subscriber
from edge_daemon.demo.summary import tell_summary
from edge_daemon.demo.truth import Truth, serial_of

LINE = Conveyor(belt=BELT)
PREVIEWED = 10
GOOD = [place for place in range(9) if not LINE.flaws(place, "bottle")]


class Heard:
    """A subscriber, and what its barrier was told."""

    def __init__(self) -> None:
        self.captured: list[tuple[int, float]] = []
        truth = Truth(LINE, STATION)
        self.subscriber = Subscriber(
            SubscriberLedger({}), truth, lambda *frame: bool(self.captured.append(frame))
        )

    def hear(self, topic: str, **message: Any) -> None:
        self.subscriber.hear(f"{ROOT}/{topic}", json.dumps(message).encode())

    def frame(self, number: int, verdict: str = "ok", **changes: Any) -> None:
        message = {"boot": "b", "frame": number, "verdict": verdict, "model": "bottle@1.0.0"}
        message |= {"sha256": "9f", "time": f"2027-01-15T08:00:00.{number:03}Z"}
        self.hear("result", **message | {"product": None} | changes)

    def part(self, number: int, place: int, verdict: str = "ok", **changes: Any) -> None:
        first = round(LINE.reaches(place, STATION)) - PREVIEWED
        message = {"part": number, "serial": serial_of(place), "verdict": verdict, "causes": []}
        message |= {"frames": [first], "model": "bottle@1.0.0", "reason": None, "late": False}
        self.hear("part", **message | changes)

    def placed(self) -> None:
        self.hear("camera/status", previewed=PREVIEWED)


def test_frames_and_parts_wait_until_it_is_known_which_ones_they_are() -> None:
    """The daemon says how many frames were drawn before the first one only once it has begun."""
    heard = Heard()
    heard.hear("camera/status", previewed=0)
    heard.frame(0)
    heard.part(0, GOOD[0])
    assert heard.captured == []
    assert heard.subscriber.truth.parts == 0
    heard.placed()
    heard.frame(1)
    assert [index for index, _ in heard.captured] == [PREVIEWED, PREVIEWED + 1]
    assert heard.subscriber.truth.parts == 1


def test_verdicts_late_parts_and_covered_frames_are_counted_once() -> None:
    """A part that the broker delivers again is no second one."""
    heard = Heard()
    heard.placed()
    heard.frame(0, "uninspected", reason="bad_picture", model=None, sha256=None)
    heard.part(0, GOOD[0])
    heard.part(0, GOOD[0])
    heard.part(1, GOOD[1], "ng", late=True, reason="late", model=None)
    subscriber = heard.subscriber
    assert subscriber.counts == {"ok": 1, "ng": 1}
    assert list(subscriber.late) == [serial_of(GOOD[1])]
    assert subscriber.hidden == [0]


def test_the_last_word_is_good_when_nothing_was_lost(capsys: pytest.CaptureFixture[str]) -> None:
    """The sums of frames and parts, each model's recall by part, and status 0."""
    heard = Heard()
    heard.placed()
    heard.frame(0)
    heard.part(0, GOOD[0])
    assert tell_summary(heard.subscriber, [serial_of(GOOD[0])], 0) == 0
    told = capsys.readouterr().out
    assert "1 frames captured = 1 inspected + 0 dropped + 0 uninspected" in told
    assert "1 triggers, 1 parts = 1 ok + 0 ng + 0 empty + 0 uninspected; 0 late" in told
    assert "bottle@1.0.0: 1 parts, 0 of them flawed; found 0, escaped 0" in told
    assert "FAULT" not in told


def test_the_last_word_is_bad_when_a_frame_or_a_part_is_missing_or_the_daemon_failed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each is named, and the status is 1."""
    heard = Heard()
    heard.placed()
    heard.frame(0)
    heard.frame(2)
    assert tell_summary(heard.subscriber, [serial_of(GOOD[0])], 3) == 1
    told = capsys.readouterr().out
    assert f"1 parts have no result, such as {serial_of(GOOD[0])}" in told
    assert "the daemon ended with status 3" in told
    assert told.count("FAULT") == 3


def test_frames_that_found_no_room_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    """They are counted and nothing is wrong with them; the box has too much to do."""
    heard = Heard()
    heard.placed()
    heard.frame(0, "uninspected", reason="dropped_overflow", model=None, sha256=None)
    assert tell_summary(heard.subscriber, [], 0) == 1
    assert "too much to do: 1 frames found no room" in capsys.readouterr().out
