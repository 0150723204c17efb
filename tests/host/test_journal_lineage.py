"""What each version judged is counted for good; parts and receipts come and go."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_daemon.host.journal import Entry, Journal, ReceiptRow
from edge_daemon.host.journal_file import FILE, MIGRATIONS, migrate
from edge_daemon.host.journal_lineage import (
    MOST_BUNDLES,
    ActiveRow,
    BundleRow,
    JudgedRow,
    LineageEntry,
)
from edge_daemon.host.journal_parts import PartRow, PartsEntry
from edge_daemon.host.journal_rollouts import RolloutRow, RolloutsEntry

B1, B2 = "bottle@1.0.0", "bottle@2.0.0"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal.open(tmp_path)
    yield opened
    opened.close()


def part(number: int, verdict: str, model: str | None = B1) -> PartRow:
    return PartRow("b", number, 100.0 + number, None, None, verdict, b"{}", None, model)


def lineage(journal: Journal, *bundles: BundleRow, **more: object) -> None:
    journal.commit(Entry(lineage=LineageEntry(bundles, **more)))  # type: ignore[arg-type]


def test_counts_outlive_the_parts(journal: Journal) -> None:
    """Of ten parts two are kept; all are counted, by the version that judged them."""
    rows = [part(n, "ng" if n % 3 == 0 else "ok") for n in range(9)]
    rows += [part(9, "uninspected", None), part(10, "empty", B2)]
    for row in rows:
        journal.commit(Entry(parts=PartsEntry((row,), b"{}", 2, 0.0)))
    assert len(journal.parts(99)) == 2
    assert journal.lineage.judged(B1) == JudgedRow(0, 6, 3, 0, 0, 100.0, 108.0)
    assert journal.lineage.judged(B2) == JudgedRow(0, 0, 0, 1, 0, 110.0, 110.0)
    assert journal.lineage.judged("can@1.0.0") == JudgedRow()


def test_several_parts_of_two_versions_in_one_entry(journal: Journal) -> None:
    """A cutover may lie between them."""
    rows = (part(0, "ok"), part(1, "ng"), part(2, "ng", B2))
    journal.commit(Entry(parts=PartsEntry(rows, b"{}", 100, 0.0)))
    assert journal.lineage.judged(B1) == JudgedRow(0, 1, 1, 0, 0, 100.0, 101.0)
    assert journal.lineage.judged(B2).ng == 1


def test_frames_and_spans(journal: Journal) -> None:
    """A span grows in its place; frames are added to the parts' counts."""
    lineage(journal, active=(ActiveRow("b", B1, 10.0, 20.0, 5),), frames={B1: 5}, utc=20.0)
    lineage(journal, active=(ActiveRow("b", B1, 10.0, 30.0, 9),), frames={B1: 4}, utc=30.0)
    lineage(journal, active=(ActiveRow("c", B1, 40.0, 40.0, 0),), utc=40.0)
    assert [(each.boot, each.frames) for each in journal.lineage.active(B1, 9)] == [
        ("c", 0),
        ("b", 9),
    ]
    assert journal.lineage.judged(B1) == JudgedRow(9, first_utc=20.0, last_utc=30.0)


def test_a_source_stays_until_the_bundle_is_another_one(journal: Journal) -> None:
    """A look at the store, which knows no source, does not make it forgotten."""
    lineage(journal, BundleRow(B1, "9f", "aa", 1.0, b"{}", b'{"kind":"oci"}'))
    lineage(journal, BundleRow(B1, "9f", "aa", 2.0, b'{"run":"r"}'))
    (row,) = journal.lineage.bundles()
    assert (row.source, row.lineage, row.seen_utc) == (b'{"kind":"oci"}', b'{"run":"r"}', 1.0)
    lineage(journal, BundleRow(B1, "8e", "bb", 3.0))
    assert journal.lineage.bundles()[0].source is None


def test_only_so_many_bundles_are_remembered(journal: Journal) -> None:
    """The oldest ones go."""
    lineage(journal, *(BundleRow(f"b@{n}", "", "", 1.0) for n in range(MOST_BUNDLES + 3)))
    kept = journal.lineage.bundles()
    assert (len(kept), kept[0].model) == (MOST_BUNDLES, "b@3")


def test_receipts_and_rollouts_of_a_version(journal: Journal) -> None:
    """Whichever side of the change it was on, newest first."""
    receipts = (
        ReceiptRow("s1", 1.0, b'{"from":null,"to":"bottle@1.0.0"}'),
        ReceiptRow("s2", 2.0, b'{"from":"bottle@1.0.0","to":"bottle@2.0.0"}'),
        ReceiptRow("s3", 3.0, b'{"from":"bottle@2.0.0","to":"can@1.0.0"}'),
    )
    journal.commit(Entry(receipts=receipts))
    assert journal.lineage.receipts(B1, 9) == (receipts[1].body, receipts[0].body)
    row = RolloutRow("r1", 1.0, None, B2, B1, b"{}", b"{}")
    journal.commit(Entry(rollouts=RolloutsEntry(row)))
    assert journal.lineage.rollouts(B1, 9) == journal.lineage.rollouts(B2, 9) == ("r1",)
    assert journal.lineage.rollouts("can@1.0.0", 9) == ()


def test_an_older_journal_brings_the_parts_that_it_has(tmp_path: Path) -> None:
    """They are counted once; rows that are no JSON, or name no model, count for nobody."""
    before = next(n for n, script in enumerate(MIGRATIONS) if "CREATE TABLE judged" in script)
    raw = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    migrate(raw, MIGRATIONS[:before])
    told = [
        ("ok", b'{"model":"bottle@1.0.0"}'),
        ("ng", b'{"model":"bottle@1.0.0"}'),
        ("uninspected", b'{"model":null}'),
        ("ng", b"no JSON"),
    ]
    for number, (verdict, body) in enumerate(told):
        raw.execute(
            "INSERT INTO parts (boot, part, utc, verdict, body) VALUES ('b',?,?,?,?)",
            (number, 50.0 + number, verdict, body),
        )
    raw.close()
    journal = Journal.open(tmp_path)
    assert journal.lineage.judged(B1) == JudgedRow(0, 1, 1, 0, 0, 50.0, 51.0)
    assert journal.lineage.since_utc() > 1_700_000_000
    journal.close()
