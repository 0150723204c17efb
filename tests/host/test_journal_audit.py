"""A trail of any length: read in batches, cut on record, and held against a head kept elsewhere."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edge_daemon.host import journal_audit
from edge_daemon.host.audit import MOST_FAULTS, Anchor, AuditRow, chain
from edge_daemon.host.journal import Entry, Journal
from edge_daemon.host.journal_audit import SEGMENT
from tests.sim.journals import by_hand, open_journal

ROOT = Path(__file__).resolve().parent.parent.parent
YEAR_S = 365.25 * 86_400.0


def rows(count: int, first_utc: float = 0.0) -> Entry:
    return Entry(
        audit=tuple(AuditRow(first_utc + n, "order", b'{"n":%d}' % n) for n in range(count))
    )


def written(folder: Path, count: int) -> Anchor:
    """A trail of so many rows, closed; its head as health told it."""
    journal = Journal.open(folder)
    journal.commit(rows(count))
    head = journal.audit_head()
    journal.close()
    return head


def faults(folder: Path, *heads: Anchor) -> list[str]:
    journal = Journal.open(folder)
    try:
        return journal.audit_faults(*heads)
    finally:
        journal.close()


# ---------------------------------------------------------------------------- six tampers


def edit(folder: Path) -> None:
    by_hand(folder, "UPDATE audit SET body = '{\"n\":99}' WHERE seq = 40")


def delete(folder: Path) -> None:
    by_hand(folder, "DELETE FROM audit WHERE seq = 40")


def cut_the_end(folder: Path) -> None:
    by_hand(folder, "DELETE FROM audit WHERE seq > 60")


def cut_the_end_and_the_anchor(folder: Path) -> None:
    cut_the_end(folder)
    (folder / "audit.anchor").unlink()


def write_all_anew(folder: Path) -> None:
    """Every row forged and chained, and the anchor too: nothing in the folder contradicts it."""
    with closing(sqlite3.connect(folder / "journal.db", isolation_level=None)) as database:
        found = database.execute("SELECT seq, utc, body FROM audit ORDER BY seq").fetchall()
        last = Anchor()
        for seq, utc, body in found:
            link = chain(last, AuditRow(utc, "forged", body))
            database.execute(
                "UPDATE audit SET kind = 'forged', prev_hash = ?, hash = ? WHERE seq = ?",
                (link.prev_hash, link.hash, seq),
            )
            last = Anchor(link.seq, link.hash)
    (folder / "audit.anchor").write_bytes(last.to_bytes())


def roll_back_the_folder(folder: Path) -> None:
    """As it was some days ago: a whole trail, only shorter."""
    shutil.rmtree(folder)
    shutil.copytree(folder.with_name("days-ago"), folder)


TAMPERS = (
    *(edit, delete, cut_the_end),
    *(cut_the_end_and_the_anchor, write_all_anew, roll_back_the_folder),
)


@pytest.mark.parametrize("tamper", TAMPERS)
def test_a_head_from_the_broker_finds_each_tamper(
    tamper: Callable[[Path], None], tmp_path: Path
) -> None:
    """Also those that leave a trail which is whole in itself."""
    folder = tmp_path / "state"
    written(folder, 70)
    shutil.copytree(folder, tmp_path / "days-ago")
    head = written(folder, 30)
    assert faults(folder, head) == []
    tamper(folder)
    assert faults(folder, head) != []
    if tamper in (cut_the_end_and_the_anchor, write_all_anew, roll_back_the_folder):
        assert faults(folder) == []  # the folder alone convinces nobody


def test_each_kept_head_is_held_against_the_trail(tmp_path: Path) -> None:
    """One that the trail contains does not speak for another one."""
    early = written(tmp_path, 10)
    late = written(tmp_path, 10)
    foreign = Anchor(15, "5" * 64)
    assert faults(tmp_path, early, late) == []
    assert faults(tmp_path, early, foreign, late) == [
        "Row 15 is not what it was when its hash was kept."
    ]


def test_a_trail_written_anew_is_not_told_row_by_row(tmp_path: Path) -> None:
    """A hundred faults are named, the others counted."""
    written(tmp_path, 500)
    by_hand(tmp_path, "UPDATE audit SET kind = 'forged'")
    found = faults(tmp_path)
    assert (len(found), found[-1]) == (MOST_FAULTS + 1, "There are 400 more faults.")


# ---------------------------------------------------------------------------- long trails


def test_a_commit_goes_between_two_batches(tmp_path: Path) -> None:
    """Who reads the trail holds nothing while it thinks; what is committed meanwhile is read."""
    journal, connection = open_journal(tmp_path)
    journal.commit(rows(3 * journal_audit.BATCH))
    reading = journal_audit.links(lambda sql, *of: connection.execute(sql, of).fetchall())
    next(reading)
    journal.commit(rows(1))
    assert sum(1 for _ in reading) == 3 * journal_audit.BATCH
    journal.close()


def test_verification_keeps_no_rows(tmp_path: Path) -> None:
    """Peak memory does not grow with the trail, and commits go on meanwhile."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "audit_cost"), "--rows", "30000", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    cost = json.loads(done.stdout)
    assert cost["faults"] == []
    assert cost["grown_mb"] < 10.0, cost
    assert cost["commits_meanwhile"] > 0


# ---------------------------------------------------------------------------- retention


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Journal]:
    """Four segments: of now, of five and of ten years ago."""
    journal = Journal.open(tmp_path)
    for years in (0, 5, 10, 10):
        journal.commit(rows(SEGMENT, years * YEAR_S))
    yield journal
    journal.close()


def seqs(journal: Journal) -> tuple[int, int]:
    found = journal.audit_rows()
    return found[0].seq, found[-1].seq


def test_old_rows_are_cut_off_on_record(old: Journal) -> None:
    """A segment a time; the trail is whole, says what it goes on from, and knows later heads."""
    end_of_first = old.audit_rows()[SEGMENT - 1]
    later = old.audit_head()
    now = 10 * YEAR_S + SEGMENT
    assert old.cut_audit(now, 7 * YEAR_S)
    assert seqs(old) == (SEGMENT + 1, 4 * SEGMENT + 1)
    cut = old.audit_rows(1)[0].row
    assert (cut.kind, json.loads(cut.body)) == ("cut", {"seq": SEGMENT, "hash": end_of_first.hash})
    assert old.audit_faults(later, Anchor(SEGMENT, end_of_first.hash)) == []
    assert not old.cut_audit(now, 7 * YEAR_S)
    assert old.cut_audit(now, 4 * YEAR_S)
    assert seqs(old) == (2 * SEGMENT + 1, 4 * SEGMENT + 2)
    assert old.audit_faults(later) == []


def test_a_head_of_rows_that_were_cut_off_proves_nothing(old: Journal) -> None:
    """No evidence is not a pass."""
    early = old.audit_rows()[99]
    old.cut_audit(10 * YEAR_S + SEGMENT, 7 * YEAR_S)
    [fault] = old.audit_faults(Anchor(early.seq, early.hash))
    assert fault.startswith(f"Row 100 was cut off with all rows up to {SEGMENT}")


def test_a_cut_that_is_not_on_record_is_found(old: Journal, tmp_path: Path) -> None:
    """Who takes rows away at the front is found out, also where a cut was before."""
    old.cut_audit(10 * YEAR_S + SEGMENT, 7 * YEAR_S)
    old.close()
    by_hand(tmp_path, f"DELETE FROM audit WHERE seq <= {SEGMENT + 10}")
    assert faults(tmp_path) == [
        f"Rows 1 to {SEGMENT + 10} are gone, and the trail does not say why."
    ]


def test_a_clock_that_jumps_ahead_empties_nothing(old: Journal) -> None:
    """Age counts from what was written a segment ago, too; the newest segment always stays."""
    assert not old.cut_audit(90 * YEAR_S, 11 * YEAR_S)
    while old.cut_audit(90 * YEAR_S, YEAR_S):
        pass
    assert seqs(old)[0] == 2 * SEGMENT + 1


def test_a_segment_that_was_changed_is_evidence_and_stays(old: Journal, tmp_path: Path) -> None:
    """Nobody's tampering goes with the years."""
    old.close()
    by_hand(tmp_path, "UPDATE audit SET body = '{}' WHERE seq = 7")
    old = Journal.open(tmp_path)
    assert not old.cut_audit(10 * YEAR_S + SEGMENT, 7 * YEAR_S)
    assert seqs(old)[0] == 1


def test_a_trail_goes_on_after_a_cut_and_a_restart(old: Journal, tmp_path: Path) -> None:
    """The next start chains to the head that it finds."""
    old.cut_audit(10 * YEAR_S + SEGMENT, 7 * YEAR_S)
    old.close()
    written(tmp_path, 5)
    assert faults(tmp_path) == []
