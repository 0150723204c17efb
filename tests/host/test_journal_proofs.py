"""Proofs in the journal: the newest of each bundle, within bounds, and whole or nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edge_daemon.host import journal_proofs
from edge_daemon.host.journal import Entry, Journal
from edge_daemon.host.journal_file import FILE, MIGRATIONS, migrate
from edge_daemon.host.journal_proofs import ProofRow


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal.open(tmp_path)
    yield opened
    opened.close()


def keep(journal: Journal, *bundles: str, body: bytes = b"{}") -> None:
    for bundle in bundles:
        journal.commit(Entry(proofs=(ProofRow(bundle, body),)))


def test_a_proof_is_there_again_after_a_restart(tmp_path: Path) -> None:
    """And the newest of each bundle only."""
    first = Journal.open(tmp_path)
    keep(first, "a", "b", body=b"old")
    keep(first, "a", body=b"new")
    first.close()
    again = Journal.open(tmp_path)
    assert [again.proof(each) for each in ("a", "b", "c")] == [b"new", b"old", None]
    again.close()


def test_an_empty_one_is_forgotten(journal: Journal) -> None:
    """As if the bundle had never been proven."""
    keep(journal, "a", "b")
    keep(journal, "a", body=b"")
    assert (journal.proof("a"), journal.proof("b")) == (None, b"{}")


def test_the_one_that_was_proven_longest_ago_goes(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle that is proven anew is a new one."""
    monkeypatch.setattr(journal_proofs, "PROOF_LIMIT", 2)
    keep(journal, "a", "b", "a", "c")
    assert [journal.proof(each) for each in "abc"] == [b"{}", None, b"{}"]


def test_their_bytes_are_bounded(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go for a new one, and one that is too large alone is not kept."""
    monkeypatch.setattr(journal_proofs, "PROOF_BYTES", 100)
    keep(journal, "a", "b", "c", body=b"x" * 40)
    assert [journal.proof(each) is None for each in "abc"] == [True, False, False]
    keep(journal, "d", body=b"x" * 101)
    assert journal.proof("d") is None
    assert journal.proof("c") is not None


@pytest.mark.parametrize("change", ["body = 'other'", "body = x'00'", "sha256 = 'other'"])
def test_a_damaged_one_is_told_from_none(tmp_path: Path, change: str) -> None:
    """It is given as empty, which is no proof."""
    journal = Journal.open(tmp_path)
    keep(journal, "a")
    journal.close()
    with closing(sqlite3.connect(tmp_path / FILE)) as raw:
        raw.execute(f"UPDATE proofs SET {change}")
        raw.commit()
    again = Journal.open(tmp_path)
    assert again.proof("a") == b""
    again.close()


def test_a_journal_of_before_takes_proofs(tmp_path: Path) -> None:
    """The schema is brought forward; nothing of it is lost."""
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as raw:
        migrate(raw, MIGRATIONS[:3])
        raw.execute("INSERT INTO receipts (swap_id, utc, body) VALUES ('s', 1.0, x'7b7d')")
    journal = Journal.open(tmp_path)
    keep(journal, "a")
    assert journal.proof("a") == b"{}"
    assert journal.receipt("s") is not None
    journal.close()
