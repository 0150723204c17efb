"""Parts of the last days lie in the journal beside their results, bounded by number and by age."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_daemon.host.journal import Entry, Journal, OutboxRow
from edge_daemon.host.journal_parts import PartRow, PartsEntry


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal.open(tmp_path)
    yield opened
    opened.close()


def row(number: int, utc: float = 100.0, name: str | None = None) -> PartRow:
    return PartRow("b", number, utc, name, f"S{number}", "ok", b"{}")


def put(journal: Journal, *rows: PartRow, most: int = 100, since_utc: float = 0.0) -> None:
    outbox = tuple(OutboxRow("part", each.body) for each in rows)
    parts = PartsEntry(rows, b"counts", most, since_utc)
    journal.commit(Entry(outbox=outbox, parts=parts))


def test_rows_counts_and_results_are_one_entry(tmp_path: Path) -> None:
    """And there again after a restart; found by id or serial, newest first."""
    first = Journal.open(tmp_path)
    assert (first.parts(9), first.part_counts()) == ((), None)
    put(first, row(0, name="SN-1"), row(1), row(2, name="SN-1"))
    first.close()
    second = Journal.open(tmp_path)
    assert [each.part for each in second.parts(2)] == [2, 1]
    assert [each.part for each in second.parts(9, "SN-1")] == [2, 0]
    assert second.parts(9, "S1") == (row(1),)
    assert second.parts(9, "S9") == ()
    assert second.part_counts() == b"counts"
    assert second.outbox_depth() == 3
    second.close()


def test_the_oldest_go_by_number(journal: Journal) -> None:
    """However new they are."""
    for number in range(10):
        put(journal, row(number), most=3)
    assert [each.part for each in journal.parts(99)] == [9, 8, 7]


def test_the_oldest_go_by_age(journal: Journal) -> None:
    """However few they are."""
    put(journal, row(0, utc=10.0), row(1, utc=20.0), since_utc=15.0)
    assert [each.part for each in journal.parts(99)] == [1]
    put(journal, since_utc=25.0)
    assert journal.parts(99) == ()
