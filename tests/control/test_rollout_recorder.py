"""The recorder of rollouts: how soon a pair is on the disk, and what a kill or a full disk leaves.

Time is the test's own where it matters: the disk takes as long as it is told.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from edge_daemon.config.rollouts import PairRetentionSettings
from edge_daemon.control.block_scheduler import BlockScheduler
from edge_daemon.control.feedback_handler import Labelled
from edge_daemon.control.rollout_recorder import EvaluatorTools, RolloutRecorder
from edge_daemon.core.event_names import EventName
from edge_daemon.core.events import Decision
from edge_daemon.core.records import Announce
from edge_daemon.core.rollout.draw import assign
from edge_daemon.core.rollout.plan import digest, read_plan
from edge_daemon.core.rollout.rule import RuleResult
from edge_daemon.core.rollout.values import Opinion, Pair
from edge_daemon.core.state import Durable, Rollout, State
from edge_daemon.core.values import BundleRef, StoredBundle, Verdict
from edge_daemon.errors import StateError
from edge_daemon.host.journal import AuditRow, Entry, Journal
from edge_daemon.host.journal_rollouts import FeedbackRow, RolloutsEntry
from edge_daemon.host.metrics import Metrics
from edge_daemon.slots.turns import Turns
from tests.sim.clock import SimClock
from tests.sim.device import wait_until

OLD, NEW = (StoredBundle(BundleRef("bottle", each), each) for each in ("1.0.0", "2.0.0"))
PLAN = read_plan({"stages": [{"shadow": 1.0, "until": {"parts": 10}}, {"full": True}]})
BEGUN = Rollout("r-1", NEW, OLD, PLAN, digest(PLAN), "request", is_begun=True)


class Disk(Journal):
    """A real journal; a write takes as long as it is told."""

    is_full = False
    write: Callable[[Entry], None] = staticmethod(lambda _: None)

    def commit(self, entry: Entry) -> None:
        if self.is_full:
            raise StateError("There is no room left on the disk.", hint="Free space.")
        super().commit(entry)
        self.write(entry)


class Desk:
    """A recorder on a journal, and what it is told."""

    def __init__(self, folder: Path, most: int = 100_000) -> None:
        journal = Disk.open(folder)
        assert isinstance(journal, Disk)
        self.folder, self.journal, self.clock = folder, journal, SimClock()
        self.recorder = RolloutRecorder(
            EvaluatorTools(
                journal,
                lambda _: None,
                lambda _: None,
                lambda: 0,
                Metrics(),
                self.clock,
                PairRetentionSettings(most=most),
                blocks=BlockScheduler(Turns()),
            )
        )

    def step(self, rollout: Rollout | None, *records: Announce) -> None:
        self.recorder.stepped(State("boot", (), durable=Durable(rollout=rollout)), records)

    def begin(self) -> Desk:
        self.step(BEGUN)
        self.recorder.record()
        return self

    def settle(self) -> None:
        """Until labels are written, too."""
        for _ in range(2):
            self.recorder.record()

    def again(self) -> Desk:
        """The next start, after a kill: what was not recorded is gone."""
        self.journal.close()
        return Desk(self.folder)

    def feedback(self, part: int, verdict: str) -> None:
        """What a person said, on record; the recorder is not told."""
        now = self.clock.advance(1.0).utc
        row = FeedbackRow("f", now, "boot", part, verdict, "operator", "kim", "ok")
        self.journal.commit(Entry(rollouts=RolloutsEntry(feedback=(row,))))

    @property
    def kept(self) -> dict[str, Any]:
        """Its progress, as the journal has it."""
        row = self.journal.rollouts.find("r-1")
        assert row is not None
        read: dict[str, Any] = json.loads(row.progress)
        return read

    @property
    def cells(self) -> list[int]:
        """Outcome by truth, of all parts."""
        blocks: list[list[int]] = self.kept["evidence"]["slices"]["all"]["blocks"]
        return [sum(column) for column in zip(*blocks, strict=True)]


def pair(part: int) -> Pair:
    """The incumbent alone rejects it."""
    ours = Opinion(OLD.ref, "0", Verdict.NG)
    theirs = Opinion(NEW.ref, "0", Verdict.OK)
    assigned, utc = assign("r-1", "boot", part, 0.0), SimClock().now().utc
    return Pair("r-1", "boot", part, None, assigned, ours, theirs, (part,), utc)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path).begin()
    yield made
    made.journal.close()


class Afternoon:
    """Pairs that come at moments of their own, and a disk that takes its time."""

    def __init__(self, desk: Desk, arrivals: list[float], cost_s: Callable[[], float]) -> None:
        self._desk, self._cost_s = desk, cost_s
        self._due = deque(enumerate(sorted(arrivals)))
        self._came: dict[int, float] = {}
        self.ages: list[float] = []
        """Of each pair, from its coming to the end of its write."""
        self.writes = 0
        desk.journal.write = self._write

    def _until(self, at: float) -> None:
        clock = self._desk.clock
        while self._due and self._due[0][1] <= at:
            part, came_at = self._due.popleft()
            clock.advance(max(0.0, came_at - clock.now().at))
            self._came[part] = came_at
            self._desk.recorder.pair(pair(part))
        clock.advance(at - clock.now().at)

    def _write(self, entry: Entry) -> None:
        self.writes += 1
        self._until(self._desk.clock.now().at + self._cost_s())
        assert entry.rollouts is not None
        now = self._desk.clock.now().at
        self.ages += [now - self._came.pop(row.part) for row in entry.rollouts.pairs]

    def live(self) -> None:
        """As its thread does: it sleeps until something comes, and a little longer."""
        while self._due or self._came:
            if not self._came:
                self._until(self._due[0][1])
            self._until(self._desk.clock.now().at + self._desk.recorder.due_in_s)
            self._desk.recorder.record()


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("pace", [0.7, 30.0, 200.0])
def test_no_pair_is_older_than_a_group_and_two_writes(desk: Desk, seed: int, pace: float) -> None:
    """Whenever it comes, also in the middle of a write; and writes are few, however many come."""
    random = Random(seed)
    slowest = random.choice((0.005, 0.05, 0.35))
    arrivals, at = [], desk.clock.now().at
    for _ in range(200):
        at += random.expovariate(pace)
        arrivals.append(at)
    afternoon = Afternoon(desk, arrivals, lambda: random.uniform(0.0, slowest))
    afternoon.live()
    assert len(afternoon.ages) == 200
    assert max(afternoon.ages) <= max(0.25, slowest) + slowest < 1.0
    assert afternoon.writes <= (arrivals[-1] - arrivals[0]) / 0.25 + 3


def test_what_is_decided_is_decided_from_what_was_written(desk: Desk) -> None:
    """On a full disk the last evidence that a power cut would leave."""
    desk.recorder.pair(pair(1))
    desk.journal.is_full = True
    desk.recorder.record()
    assert desk.recorder.saved.row is not None
    assert json.loads(desk.recorder.saved.row.progress)["parts"] == 0
    desk.journal.is_full = False
    desk.recorder.record()
    assert json.loads(desk.recorder.saved.row.progress) == desk.kept
    assert desk.kept["parts"] == 1


def test_a_journal_that_cannot_be_read_loses_neither_pair_nor_label(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise StateError("The disk cannot be read.", hint="Replace it.")

    desk.recorder.pair(pair(1))
    desk.recorder.record()
    desk.feedback(1, "ng")
    desk.recorder.label([Labelled("boot", 1, Verdict.NG)])
    desk.recorder.pair(pair(2))
    monkeypatch.setattr(desk.journal.rollouts, "pairs_of", refuse)
    with pytest.raises(StateError):
        desk.recorder.record()
    assert desk.kept["parts"] == 2, "pairs wait for no query"
    monkeypatch.undo()
    desk.settle()
    assert desk.kept["parts"] == 2
    assert [row.truth for row in desk.journal.rollouts.pairs("r-1", 9)] == ["ng", None]


def test_of_pairs_that_wait_for_a_full_disk_no_more_stay_than_are_kept_anyway(
    tmp_path: Path,
) -> None:
    desk, written = Desk(tmp_path, most=3).begin(), list[int]()

    def write(entry: Entry) -> None:
        assert entry.rollouts is not None
        written.extend(row.part for row in entry.rollouts.pairs)

    desk.journal.write = write
    desk.journal.is_full = True
    for part in range(5):
        desk.recorder.pair(pair(part))
        desk.recorder.record()
    desk.journal.is_full = False
    desk.recorder.record()
    assert desk.kept["parts"] == 5, "all of them are counted"
    assert written == [2, 3, 4]


# --------------------------------------------------------------------------- labels


@pytest.mark.parametrize("when", ["before the pair", "with the pair", "after the pair"])
def test_a_label_counts_whenever_it_comes(desk: Desk, when: str) -> None:
    """Before its pair is there it waits for it."""
    labels = [Labelled("boot", 1, Verdict.NG)]
    if when == "before the pair":
        desk.feedback(1, "ng")
        desk.recorder.label(labels)
        desk.recorder.record()
    desk.recorder.pair(pair(1))
    if when == "after the pair":
        desk.recorder.record()
    if when != "before the pair":
        desk.feedback(1, "ng")
        desk.recorder.label(labels)
    desk.settle()
    assert [row.truth for row in desk.journal.rollouts.pairs("r-1", 9)] == ["ng"]
    assert (sum(desk.cells), max(desk.cells), min(desk.cells)) == (1, 1, 0)


def test_two_words_on_one_part_in_one_request_count_once(desk: Desk) -> None:
    """Two frames of it, say: the last word counts, and no count falls below nothing."""
    desk.recorder.pair(pair(1))
    desk.recorder.record()
    desk.recorder.label([Labelled("boot", 1, Verdict.NG), Labelled("boot", 1, Verdict.OK)])
    desk.settle()
    desk.recorder.label([Labelled("boot", 1, Verdict.NG)])
    desk.recorder.label([Labelled("boot", 1, Verdict.OK)])
    desk.settle()
    assert (sum(desk.cells), min(desk.cells)) == (1, 0)
    assert [row.truth for row in desk.journal.rollouts.pairs("r-1", 9)] == ["ok"]


def test_a_label_that_a_kill_overtook_counts_after_the_next_start(desk: Desk) -> None:
    """It was on record and answered, and the evidence did not have it yet."""
    for part in (1, 2):
        desk.recorder.pair(pair(part))
    desk.recorder.record()
    before = desk.cells
    desk.feedback(1, "ng")
    desk.recorder.label([Labelled("boot", 1, Verdict.NG)])
    again = desk.again().begin()
    assert [row.truth for row in again.journal.rollouts.pairs("r-1", 9)] == ["ng", None]
    after = again.cells
    assert sum(after) == sum(before) == 2
    assert after != before
    third = again.again().begin()
    assert third.cells == after, "it counts once"
    third.journal.close()


# --------------------------------------------------------------------------- how it ends


def ended(desk: Desk) -> tuple[float | None, str, str]:
    row = desk.journal.rollouts.find("r-1")
    assert row is not None
    return row.ended_utc, desk.kept.get("ended", ""), desk.kept.get("ended_why", "")


def test_how_a_rollout_ended_waits_for_a_full_disk(desk: Desk) -> None:
    """It is not forgotten, and with it the evidence that another try goes on with."""
    desk.journal.is_full = True
    why = Announce(EventName.ROLLOUT_STOPPED, reason="too many misses", rollout="r-1")
    desk.step(None, why)
    desk.recorder.record()
    now = desk.clock.now().utc
    desk.clock.advance(60.0)
    desk.journal.is_full = False
    desk.recorder.record()
    assert ended(desk) == (now, "rollout_stopped", "too many misses")


def test_the_end_of_a_rollout_that_a_kill_overtook_is_read_from_the_audit_trail(
    desk: Desk,
) -> None:
    """The planner's step was on the disk, and the rollout's row was not written yet."""
    facts = {"event": "rollout_stopped", "rollout": "r-1", "reason": "too many misses"}
    others = ({**facts, "rollout": "r-2"}, {**facts, "event": "stage_entered"})
    rows = [AuditRow(each, "event", json.dumps(f).encode()) for each, f in enumerate(others, 5)]
    row = AuditRow(4.0, "event", json.dumps(facts).encode())
    desk.journal.commit(Entry(audit=(row, *rows)))
    again = desk.again()
    again.step(None)
    again.recorder.record()
    assert ended(again) == (4.0, "rollout_stopped", "too many misses")
    assert again.recorder.saved.row is None
    again.journal.close()


def test_a_rollout_that_goes_on_is_not_ended_by_a_start(desk: Desk) -> None:
    again = desk.again().begin()
    assert ended(again)[0] is None
    again.journal.close()


def test_what_was_decided_for_another_stage_says_nothing_of_this_one(desk: Desk) -> None:
    said = RuleResult(Decision.HOLD, "Look at it.")
    desk.recorder.decided("r-1", 1, said, None)
    desk.recorder.decided("r-0", 0, said, None)
    desk.recorder.record()
    assert desk.kept["decision"] == "wait"
    desk.recorder.decided("r-1", 0, said, None)
    desk.recorder.record()
    assert (desk.kept["decision"], desk.kept["why"]) == ("hold", "Look at it.")


# --------------------------------------------------------------------------- the thread


def test_the_thread_writes_what_comes_and_the_rest_at_its_end(desk: Desk) -> None:
    written = threading.Event()
    desk.journal.write = lambda _: written.set()
    desk.recorder.start()
    desk.recorder.pair(pair(1))
    assert written.wait(30.0)
    wait_until(lambda: desk.kept["parts"] == 1, "the pair")
    desk.recorder.pair(pair(2))
    desk.recorder.stop()
    assert desk.kept["parts"] == 2
