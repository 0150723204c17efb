"""What a station tells of a campaign's bundle: from its records, and nothing it did not see."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from edge_daemon.core.fleet.report import Measures
from edge_daemon.core.rollout.plan import as_mapping
from edge_daemon.core.rollout.shadow_back import back_plan
from edge_daemon.core.rollout.values import Mode, Outcome, Stage
from edge_daemon.core.trial import Window
from edge_daemon.core.values import Counts, Verdict
from edge_daemon.fleet.measured import Measured, counts_of
from edge_daemon.host.journal import Entry, Journal
from edge_daemon.host.journal_rollouts import RolloutRow, RolloutsEntry
from edge_daemon.host.journal_rows import ReceiptRow
from tests.sim import rollout_record
from tests.sim.campaigns import campaign
from tests.sim.rollout_pairs import NEW, OLD

MADE = campaign(model=str(NEW), sha256="1" * 64)
SEEN = [
    (Outcome.NEITHER, None, 400),
    (Outcome.BOTH, Verdict.NG, 60),
    (Outcome.ONLY_INCUMBENT, Verdict.NG, 8),
    (Outcome.ONLY_CANDIDATE, Verdict.NG, 4),
    (Outcome.ONLY_INCUMBENT, None, 12),
    (Outcome.ONLY_CANDIDATE, None, 16),
    (Outcome.ONLY_CANDIDATE, Verdict.OK, 20),
]
"""Each fourth part is of the slice `low_light`."""


def row(seen: list[Any] = SEEN, **changes: Any) -> RolloutRow:
    return replace(rollout_record.row(rollout_record.progress(seen, 0)), **changes)


def looking_back(seen: list[Any]) -> RolloutRow:
    """The version before looks on: it is the candidate now."""
    made = rollout_record.progress(seen, 0)
    *others, _ = made.plan.stages
    stages = (*others, Stage(Mode.FULL, shadow_back_h=24.0))
    plan = {"plan": as_mapping(back_plan(replace(made.plan, stages=stages)))}
    told = {**made.as_mapping(), "candidate_sha256": "0" * 64, "by": "kim"}
    return row(
        id=f"{rollout_record.ROLLOUT}-back",
        candidate=str(OLD),
        reference=str(NEW),
        plan=json.dumps(plan).encode(),
        progress=json.dumps(told).encode(),
    )


@dataclass
class Line:
    """Frames that a test counts up."""

    counts: Counts = Counts()

    def mark(self) -> object:
        return self.counts

    def since(self, mark: object) -> Window:
        assert isinstance(mark, Counts)
        return Window(self.counts - mark)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal.open(tmp_path)
    yield made
    made.close()


def receipt(swap_id: str, **changes: Any) -> ReceiptRow:
    told = {
        "from": str(OLD),
        "to": str(NEW),
        "sha256": "1" * 64,
        "cutover_at": "2026-11-29T10:00:00Z",
        "latency_ms": {"before_p99": 20.0, "during_p99": 30.0, "after_p99": 25.0},
        "golden": {"low_light": {"n": 20, "old": 19, "new": 20}},
        **changes,
    }
    return ReceiptRow(swap_id, 1.0, json.dumps(told).encode())


def test_bad_parts_are_counted_by_who_found_them() -> None:
    """Good parts and those without a label are in no count; who would need a label is told."""
    told = {"n": 15 + 2 + 1, "old": 15 + 2, "new": 15 + 1, "only_old": 3, "only_new": 4}
    assert counts_of([row()], MADE) == {"low_light": told}


def test_the_look_back_is_added_with_its_roles_the_right_way_round() -> None:
    """There the candidate is the version before."""
    seen = [(Outcome.BOTH, Verdict.NG, 400), (Outcome.ONLY_CANDIDATE, Verdict.NG, 40)]
    alone = counts_of([looking_back(seen)], MADE)
    assert alone == {"low_light": {"n": 110, "old": 110, "new": 100, "only_old": 0, "only_new": 0}}
    both = counts_of([looking_back(seen), row()], MADE)["low_light"]
    assert (both["n"], both["old"], both["new"]) == (128, 127, 116)


@pytest.mark.parametrize(
    "change",
    [
        {"candidate": "bottle@9.9.9"},
        {"progress": b"{}"},
        {"progress": b"no JSON"},
        {"plan": b"{}"},
        {"plan": b'{"plan": {"stages": 7}}'},
    ],
)
def test_a_rollout_of_something_else_or_of_nothing_counts_for_nothing(change: Any) -> None:
    assert counts_of([row(**change)], MADE) == {}


def test_the_same_version_with_other_weights_is_another_model() -> None:
    assert counts_of([row()], replace(MADE, sha256="2" * 64)) == {}


def test_only_the_newest_rollout_counts_for_it_knows_the_earlier_ones() -> None:
    older = row([(Outcome.BOTH, Verdict.NG, 4000)])
    assert counts_of([row(), older], MADE) == counts_of([row()], MADE)


def test_everything_is_read_from_the_journal_as_it_grows(journal: Journal) -> None:
    line = Line(Counts(1000, 990, 0, 10))
    measured = Measured(journal, line)  # type: ignore[arg-type]
    assert measured.of(MADE, False) == Measures()
    assert measured.of(MADE, True) == Measures()
    line.counts = Counts(1500, 1480, 5, 13)
    journal.commit(Entry(rollouts=RolloutsEntry(row()), receipts=(receipt("s-1"),)))
    told = measured.of(MADE, True)
    assert (told.frames, told.uninspected) == (498, 8)
    assert told.counts == counts_of([row()], MADE)
    assert measured.of(replace(MADE, id="next", sha256="2" * 64), False).counts == {}
    assert (told.before_ms, told.after_ms, told.slower) == (20.0, 25.0, 1.25)
    assert told.golden == {"low_light": {"n": 20, "old": 19, "new": 20}}
    assert told.counts["low_light"]["n"] == 18
    more = [*SEEN, (Outcome.BOTH, Verdict.NG, 40)]
    journal.commit(Entry(rollouts=RolloutsEntry(row(more))))
    assert measured.of(MADE, True).counts["low_light"]["n"] == 28
    assert measured.of(MADE, False).frames == 0
    assert measured.of(MADE, True).frames == 0  # it judges anew


@pytest.mark.parametrize(
    "change",
    [
        {"to": "bottle@9.9.9"},
        {"sha256": "2" * 64},
        {"from": None},
        {"from": "can@1.0.0"},
        {"from": str(NEW)},
        {"cutover_at": None},
        {"latency_ms": None, "golden": None},
    ],
)
def test_a_receipt_of_another_swap_tells_nothing(journal: Journal, change: Any) -> None:
    """A way back, a changeover, a start: what was before is no earlier version of the model."""
    journal.commit(Entry(receipts=(receipt("s-1", **change),)))
    assert Measured(journal, Line()).of(MADE, True) == Measures()  # type: ignore[arg-type]
