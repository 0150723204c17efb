"""What is told of a rollout's people: what the labels are worth that it was decided by."""

from __future__ import annotations

from pathlib import Path

from edge_daemon.cli.rollouts import worth
from edge_daemon.control.rollout_reports import told_rollouts
from edge_daemon.host.journal import Entry, Journal
from edge_daemon.host.journal_rollouts import FeedbackRow, RolloutRow, RolloutsEntry

PROGRESS = b'{"why": "No pair was seen yet.", "entered": []}'


def test_a_rollout_tells_what_each_operators_labels_are_worth(tmp_path: Path) -> None:
    """By challenge parts, whose truth is known; what was never asked is not measured."""
    said = [(part, "ng", "ng" if part else "ok") for part in range(10)]  # kim misses one of ten
    said += [(part, "ok", "ok") for part in range(10, 20)]
    rows = []
    for part, truth, verdict in said:
        rows.append(FeedbackRow("r", 1.0, "b", part, truth, "challenge", "mes", "ng", b"{}"))
        rows.append(FeedbackRow("r", 1.0, "b", part, verdict, "operator", "kim", "ng", b"{}"))
    rows.append(FeedbackRow("r", 1.0, "b", 19, "ok", "operator", "lee", "ng", b"{}"))
    row = RolloutRow("r-1", 0.0, None, "bottle@2.0.0", "bottle@1.0.0", b"{}", PROGRESS)
    journal = Journal.open(tmp_path)
    try:
        journal.commit(Entry(rollouts=RolloutsEntry(row, feedback=tuple(rows))))
        kim, lee = told_rollouts(journal, "r-1", audit=False)["people"]
    finally:
        journal.close()
    assert kim == {
        "name": "kim",
        "labels": 20,
        "effectiveness": 0.95,
        "miss": 0.1,
        "false_alarm": 0.0,
    }
    assert (lee["labels"], lee["miss"]) == (1, None)
    assert worth(kim) == (
        "20 challenge parts, effectiveness 95% (90% or more), miss 10% (2% or less), "
        "false alarm 0% (5% or less)"
    )
    assert "miss not measured" in worth(lee)
