"""The watch over drifting signals: its events, sentences, metric, and what it remembers."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from edge_daemon.app.drifts import FILE, Drifts
from edge_daemon.config.drift import DriftSettings
from edge_daemon.control.arrivals import Noticed
from edge_daemon.core.event_names import EventName
from edge_daemon.core.judged import Judged
from edge_daemon.core.parts.values import By, PartOutcome
from edge_daemon.core.picture import Measures
from edge_daemon.core.values import Assignment, BundleRef, Detection, Verdict
from edge_daemon.host.metrics import Metrics

ONE, TWO = BundleRef("bottle", "1.0.0"), BundleRef("bottle", "2.0.0")
SETTINGS = DriftSettings(learn=200, run_length=10_000.0)


class Line:
    """Frames whose light, verdicts and confidence a test sets. It takes the watch's turns."""

    def __init__(self, folder: Path, by: By | None = None) -> None:
        self.luck = random.Random(1)
        self.noticed: list[Noticed] = []
        self.metrics = Metrics()
        self.light, self.ng, self.confidence, self.model = 120.0, 0.1, 0.8, ONE
        self.product = "BTL"
        self.has_picture = True
        self.drifts = Drifts(SETTINGS, by, self.measures, self.noticed.append, self.metrics, folder)

    def measures(self) -> Measures | None:
        return Measures(self.light, 40.0) if self.has_picture else None

    def frames(self, count: int) -> None:
        for number in range(count):
            self.drifts.judged(self.frame(number))
        self.drifts.turn()

    def frame(self, number: int) -> Judged:
        verdict = Verdict.NG if self.luck.random() < self.ng else Verdict.OK
        box = Detection(
            "bottle", self.luck.uniform(self.confidence - 0.1, self.confidence), (0, 0, 9, 9)
        )
        made = Assignment(1, self.product, "WO-1")
        return Judged(number, 0.0, 0.0, made, verdict, None, self.model, "0" * 64, (box,))

    def said(self) -> list[str]:
        return [each.message for each in self.noticed]


@pytest.fixture
def line(tmp_path: Path) -> Line:
    return Line(tmp_path)


def test_light_that_falls_is_told_once_and_stays_in_health_until_it_is_over(line: Line) -> None:
    line.frames(600)
    assert (line.noticed, line.drifts.problems()) == ([], ())
    line.light = 80.0
    line.frames(150)
    [event] = line.noticed
    assert (event.event, event.model) == (EventName.DRIFTED, None)
    assert event.message.startswith("pictures are darker than usual of BTL (brightness is usually")
    assert line.drifts.problems() == (event.message,)
    assert b'edge_drift_evidence_log10{signal="brightness"}' in line.metrics.render()
    line.light = 120.0
    line.frames(600)
    assert line.drifts.problems() == ()
    assert len(line.noticed) == 1


def test_a_model_that_rejects_more_and_is_less_sure_is_named(line: Line) -> None:
    line.frames(400)
    line.ng, line.confidence = 0.6, 0.5
    line.frames(300)
    assert {each.model for each in line.noticed} == {ONE}
    assert any(text.startswith("more parts are rejected than usual") for text in line.said())
    assert any("less sure of what it finds" in text for text in line.said())


def test_another_model_or_product_has_a_usual_of_its_own(line: Line) -> None:
    """What it looks like is not that of the model; a swap learns verdicts anew."""
    line.frames(400)
    line.model, line.ng, line.confidence = TWO, 0.6, 0.5
    line.frames(400)
    assert line.noticed == []
    line.product, line.light = "CAN", 30.0
    line.frames(400)
    assert line.noticed == []


def test_a_restart_goes_on_from_what_was_learnt(tmp_path: Path) -> None:
    first = Line(tmp_path)
    first.drifts.start()
    first.frames(400)
    first.drifts.stop()
    again = Line(tmp_path)
    again.light = 60.0
    again.frames(150)
    assert len(again.noticed) == 1
    for content in ("[[1,2]]", "[" * 100_000, '[["x", "p", "m", {}]]'):
        (tmp_path / FILE).write_text(content)
        damaged = Line(tmp_path)
        damaged.light = 60.0
        damaged.frames(600)
        assert damaged.noticed == [], "it learns anew"


def test_parts_are_the_units_where_there_are_parts(tmp_path: Path) -> None:
    """Fifteen frames of one part are one unit, else they would raise each other's alarm."""
    line = Line(tmp_path, By.TRIGGER)
    for part in range(300):
        for _ in range(15):
            line.drifts.judged(line.frame(part))
        line.drifts.told([told(part, Verdict.NG if part % 10 == 0 else Verdict.OK)])
    line.drifts.start()
    line.drifts.stop()
    kept = {each[0]: each[3] for each in json.loads((tmp_path / FILE).read_text())}
    assert set(kept) == {"brightness", "contrast", "ng", "confidence"}
    assert {each["quiet"] for each in kept.values()} == {100}, "200 were learnt from"


def test_what_was_not_measured_or_judged_counts_for_nothing(line: Line) -> None:
    line.has_picture = False
    line.frames(300)
    assert b'signal="brightness"' not in line.metrics.render()
    line.drifts.judged(Judged(1, 0.0, 0.0, Assignment(1), Verdict.UNINSPECTED))
    line.drifts.turn()


def told(number: int, verdict: Verdict) -> PartOutcome:
    return PartOutcome(
        number,
        None,
        By.TRIGGER,
        verdict,
        None,
        (),
        (number,),
        None,
        None,
        ONE,
        "0" * 64,
        None,
        Assignment(1, "BTL", "WO-1"),
        None,
        5.0,
        late=False,
        trial=False,
    )
