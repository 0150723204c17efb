"""Messages of testers, on a real journal: parts that are known are noted, the rest is counted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_daemon.config.feedback import FeedbackSource
from edge_daemon.control.arrivals import Noticed
from edge_daemon.control.feedback_sources import MOST_UNSAVED, FeedbackSources
from edge_daemon.messaging.feedback_sources import compile_feedback
from edge_daemon.messaging.messages import Incoming
from tests.control.test_rollout_evaluator import Rig
from tests.sim.station import Station


class Downstream:
    """A station with parts, and a tester who publishes on a topic of its settings."""

    def __init__(self, station: Station) -> None:
        self.rig = Rig(station)
        self.told: list[Noticed] = []
        self.done = 0
        source = FeedbackSource.model_validate({"topic": "eol", "preset": "flat"})
        self.sources = FeedbackSources(
            (compile_feedback(source),), station.feedback, self.told.append, station.clock
        )
        self.labelled: list[tuple[int, str]] = []

    def says(self, document: Any, *, stored: bool = False) -> None:
        payload = document if isinstance(document, bytes) else json.dumps(document).encode()
        now = self.rig.station.clock.now()
        incoming = Incoming("eol", payload, now, stored=stored, done=self._acknowledge)
        self.sources.arrived(0, incoming, self._label)

    def _acknowledge(self) -> None:
        self.done += 1

    def _label(self, labelled: Any) -> None:
        self.labelled += [(each.part, each.verdict.value) for each in labelled]

    def of(self, part: int) -> list[tuple[str, str, str]]:
        station = self.rig.station
        rows = station.journal.rollouts.feedback_of(station.boot, part)
        return [(row.verdict, row.source, row.by_whom) for row in rows]


@pytest.fixture
def tester(tmp_path: Path) -> Iterator[Downstream]:
    with Station(tmp_path) as station:
        yield Downstream(station.run())


def test_what_a_tester_says_is_on_record_and_becomes_a_label(tester: Downstream) -> None:
    """By serial or number; nobody is answered."""
    tester.rig.parts(1, 2)
    tester.says([{"part": "SN-1", "verdict": "fail"}, {"part": 2, "verdict": "pass"}])
    assert tester.of(1) == [("ng", "downstream", "eol")]
    assert tester.of(2) == [("ok", "downstream", "eol")]
    assert tester.labelled == [(1, "ng"), (2, "ok")]
    assert tester.done == 1
    station = tester.rig.station
    station.until(lambda: station.journal.outbox_depth() == 0)
    assert not [packet for packet in station.heard() if "feedback" in packet.topic]


def test_parts_of_other_lines_are_nobodys_fault(tester: Downstream) -> None:
    tester.rig.parts(1)
    tester.says([{"part": "SN-1", "verdict": "ok"}, {"part": "OTHER-9", "verdict": "ng"}])
    assert tester.labelled == [(1, "ok")]
    assert tester.told == []
    assert tester.sources.problems() == ()


@pytest.mark.parametrize("serial", ["00340123450000000018" * 6, "99999999999999999999", "²"])
def test_a_serial_of_digits_is_no_number(tester: Downstream, serial: str) -> None:
    """It is of another line; what is said beside it counts."""
    tester.rig.parts(1)
    tester.says([{"part": serial, "verdict": "ng"}, {"part": "SN-1", "verdict": "ng"}])
    assert tester.labelled == [(1, "ng")]
    assert tester.done == 1


def test_what_cannot_be_read_is_told_once_and_then_counted(tester: Downstream) -> None:
    for _ in range(5):
        tester.says(b"{")
    assert len(tester.told) == 1
    assert "eol" in tester.told[0].message
    (problem,) = tester.sources.problems()
    assert problem.startswith("feedback on eol cannot be read")
    tester.rig.station.clock.advance(61.0)
    tester.sources.tick()
    assert "4 more feedback could not be read" in tester.told[-1].message
    assert tester.done == 5, "and it does not come again"


def test_what_a_full_disk_does_not_take_is_noted_when_there_is_room(tester: Downstream) -> None:
    """In its order; the broker is not left with so much unacknowledged that it sends no more."""
    tester.rig.parts(1)
    journal = tester.rig.station.journal
    journal.is_full = True
    for _ in range(MOST_UNSAVED + 5):
        tester.says({"part": "SN-1", "verdict": "ok"})
    tester.sources.tick()
    assert (tester.of(1), tester.done) == ([], 5)
    journal.is_full = False
    tester.says({"part": "SN-1", "verdict": "ng"})
    tester.sources.tick()
    assert tester.done == MOST_UNSAVED + 6
    assert tester.labelled == [(1, "ok")] * (MOST_UNSAVED - 1) + [(1, "ng")]
    assert tester.of(1)[-1] == ("ng", "downstream", "eol")


def test_what_the_broker_only_had_in_keeping_is_no_news(tester: Downstream) -> None:
    """A person may have said otherwise since."""
    tester.rig.parts(1)
    tester.says({"part": "SN-1", "verdict": "ng"})
    tester.rig.say(part=1, verdict="ok", by="kim")
    tester.says({"part": "SN-1", "verdict": "ng"}, stored=True)
    assert tester.of(1)[-1] == ("ok", "operator", "kim")
    assert tester.done == 2
