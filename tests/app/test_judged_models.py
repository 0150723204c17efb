"""Which bundle was active from when to when, and how many frames each one judged."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge_daemon.app.judged_models import EVERY_S, JudgedModels
from edge_daemon.app.resources import Resources
from edge_daemon.core.totals import ModelTotals, Spread, Totals
from edge_daemon.core.values import BundleRef, Instant, StoredBundle, Verdict
from edge_daemon.errors import StateError
from edge_daemon.host.journal import Entry
from tests.sim.clock import SimClock
from tests.sim.resources import resources
from tests.sim.status import station

B1, B2 = "bottle@1.0.0", "bottle@2.0.0"


class Line:
    """A line whose frames and active bundle the test sets."""

    def __init__(self, laid: Resources) -> None:
        self.clock = SimClock()
        self.frames: dict[str, int] = {}
        self.active: str | None = None
        self.journal = laid.journal
        self.before_totals: Callable[[], None] = lambda: None
        laid = replace(laid, clock=self.clock)
        self.judged = JudgedModels(laid, self._totals, self._active)

    def _totals(self) -> Totals:
        self.before_totals()
        tallies: dict[BundleRef | None, ModelTotals] = {
            BundleRef.parse(model): ModelTotals({Verdict.OK: count, Verdict.NG: 0}, Spread())
            for model, count in self.frames.items()
        }
        tallies[None] = ModelTotals({Verdict.OK: 5}, Spread())
        return Totals(models=tallies)

    def _active(self) -> StoredBundle | None:
        return None if self.active is None else StoredBundle(BundleRef.parse(self.active), "9f")

    def second(self, model: str | None, **frames: int) -> None:
        """One second later: this bundle is active, and so many frames were judged in all."""
        self.clock.advance(1.0)
        self.active = model
        self.frames.update({f"bottle@{name[1:]}.0.0": count for name, count in frames.items()})
        now = self.clock.now()
        self.judged.hear(station(now=Instant(now.at, now.utc)))

    def spans(self, model: str) -> list[tuple[float, int]]:
        found = self.journal.lineage.active(model, 9)
        return [(round(each.to_utc - each.from_utc, 3), each.frames) for each in found]


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    with resources(tmp_path) as laid:
        yield Line(laid)


def test_a_cutover_ends_one_span_and_begins_another(line: Line) -> None:
    """Seen within a second; the frames are those that each judged."""
    line.second(None)
    line.second(B1)
    for second in range(1, 11):
        line.second(B1, v1=30 * second)
    line.second(B2, v1=310, v2=20)
    line.second(B2, v2=50)
    line.judged.save()
    assert line.spans(B1) == [(11.0, 310)]
    assert line.spans(B2) == [(1.0, 50)]
    assert line.journal.lineage.judged(B1).frames == 310
    assert line.journal.lineage.judged(B2).frames == 50


def test_two_that_save_at_a_time_count_no_frame_twice(line: Line) -> None:
    """The monitor's minute is over while the daemon stops, which saves too."""
    line.second(B1)
    line.second(B1, v1=100)
    entered, go_on = threading.Semaphore(0), threading.Event()

    def waits() -> None:
        entered.release()
        assert go_on.wait(30.0)

    line.before_totals = waits
    savers = [threading.Thread(target=line.judged.save) for _ in range(2)]
    for saver in savers:
        saver.start()
    assert entered.acquire(timeout=30.0)
    entered.acquire(timeout=0.5)  # the second comes so far only where nothing keeps it out
    go_on.set()
    for saver in savers:
        saver.join(30.0)
    assert line.journal.lineage.judged(B1).frames == 100


def test_the_disk_is_written_once_a_minute(line: Line) -> None:
    """What a power cut may cost."""
    line.second(B1)
    for second in range(int(EVERY_S) - 1):
        line.second(B1, v1=second)
        assert line.journal.lineage.judged(B1).frames == 0
    line.second(B1, v1=99)
    assert line.journal.lineage.judged(B1).frames == 99
    assert line.spans(B1) == [(EVERY_S, 99)]


def test_a_version_that_is_counted_anew_is_added_up(line: Line) -> None:
    """The ledger counts the last sixteen models one by one; others begin at zero again."""
    line.second(B1, v1=100)
    line.judged.save()
    line.second(B2, v1=100, v2=10)
    line.second(B1, v1=7)
    line.judged.save()
    assert line.journal.lineage.judged(B1).frames == 107


def test_what_a_disk_refuses_is_written_the_next_time(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No frame is lost from the record and none is counted twice; the line goes on."""
    line.second(B1, v1=10)
    with monkeypatch.context() as full:
        full.setattr(line.journal, "commit", refuse)
        line.second(B1, v1=20)
        line.judged.save()
    assert line.journal.lineage.judged(B1).frames == 10
    line.second(B1, v1=25)
    line.judged.save()
    assert line.journal.lineage.judged(B1).frames == 25
    assert line.spans(B1) == [(2.0, 25)]


def refuse(entry: Entry) -> None:
    raise StateError("The disk is full.")
