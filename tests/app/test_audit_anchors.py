"""The log keeps heads of the audit trail, and rows go when they are too old."""

from __future__ import annotations

from pathlib import Path

from structlog.testing import capture_logs

from edge_daemon.app.housekeeping import EVERY_S, YEAR_S, AuditAnchors
from edge_daemon.app.problems import clock_set_back
from edge_daemon.app.status import JournalStatus
from edge_daemon.core.values import Instant
from edge_daemon.host.audit import AuditRow
from edge_daemon.host.journal import Entry, Journal
from edge_daemon.host.journal_audit import SEGMENT
from tests.sim.status import station


def test_each_new_head_is_told_at_most_once_a_minute(tmp_path: Path) -> None:
    """Whoever keeps the log elsewhere keeps heads; a trail that did not grow tells nothing."""
    journal = Journal.open(tmp_path)
    witness = AuditAnchors(journal)
    with capture_logs() as lines:
        for second in range(4 * int(EVERY_S)):
            if second < EVERY_S:
                journal.commit(Entry(audit=(AuditRow(float(second), "order"),)))
            witness.look(Instant(float(second), float(second)))
    heads = [
        line for line in lines if line["event"] == "audit_head"
    ]  # daemons of other tests may speak
    assert [line["seq"] for line in heads] == [1, 60]
    assert heads[-1]["hash"] == journal.audit_head().hash
    journal.close()


def test_rows_stay_for_ever_unless_a_setting_says_how_long(tmp_path: Path) -> None:
    """`audit.keep_years`; a segment a minute."""
    journal = Journal.open(tmp_path)
    for years in (0, 1, 20, 20):
        rows = tuple(AuditRow(years * YEAR_S + n, "order") for n in range(SEGMENT))
        journal.commit(Entry(audit=rows))
    now = 20 * YEAR_S + SEGMENT
    AuditAnchors(journal).look(Instant(0.0, now))
    assert journal.audit_rows()[0].seq == 1
    witness = AuditAnchors(journal, keep_years=10)
    for minute in range(4):
        witness.look(Instant(minute * EVERY_S, now))
    assert journal.audit_rows()[0].seq == 2 * SEGMENT + 1
    assert journal.audit_faults() == []
    journal.close()


def told(journal: Journal, utc: float) -> list[str]:
    """What health says of the clock."""
    recorded = JournalStatus(newest_utc=journal.newest_utc)
    return list(clock_set_back(station(now=Instant(1.0, utc), journal=recorded)))


def test_a_clock_that_was_set_back_is_a_problem_until_it_is_right(tmp_path: Path) -> None:
    """By more than a minute; also for the next start, and until an operator says it is right."""
    utc = 1_795_000_000.0
    journal = Journal.open(tmp_path)
    journal.commit(Entry(audit=(AuditRow(utc, "event"),)))
    journal.commit(Entry(audit=(AuditRow(utc - 9.0, "event"),)))
    journal.close()
    journal = Journal.open(tmp_path)
    assert not told(journal, utc - 60.0)
    assert not told(journal, utc + YEAR_S)
    (problem,) = told(journal, utc - YEAR_S)
    assert problem.startswith("the clock was set back: it says 2025-")
    assert told(journal, 0.0)
    journal.trust_clock(AuditRow(utc - YEAR_S, "trust-clock"))
    assert not told(journal, utc - YEAR_S)
    assert journal.audit_faults() == []
    journal.close()
