"""The outbox on the disk has its bounds, by count and by bytes."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from edge_daemon.errors import StateError
from edge_daemon.host import journal_outbox
from edge_daemon.host.journal import Entry, Journal, OutboxRow
from tests.sim.journals import open_journal


def test_the_outbox_is_bounded_by_bytes_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long messages go earlier; what they hold is known again after a restart."""
    monkeypatch.setattr(journal_outbox, "OUTBOX_BYTES", 800)
    journal = Journal.open(tmp_path)
    journal.commit(Entry(outbox=tuple(OutboxRow("t", b"%d" % n * 250) for n in range(3))))
    journal.close()
    journal = Journal.open(tmp_path)
    journal.commit(Entry(outbox=(OutboxRow("t", b"3" * 250),)))
    assert [row.payload[:1] for row in journal.outbox_peek()] == [b"1", b"2", b"3"]
    assert (journal.outbox_depth(), journal.outbox_dropped()) == (3, 1)
    journal.outbox_remove(*(row.seq for row in journal.outbox_peek()))
    assert journal.outbox_depth() == 0
    journal.commit(Entry(outbox=tuple(OutboxRow("t", b"%d" % n * 250) for n in range(3))))
    assert (journal.outbox_depth(), journal.outbox_dropped()) == (3, 1)
    journal.close()


def test_a_disk_that_refused_is_told_of_until_it_takes_a_write(tmp_path: Path) -> None:
    """`trouble` is the sentence for people; a probe that succeeds ends it."""
    journal, connection = open_journal(tmp_path)
    connection.execute("PRAGMA query_only = 1")
    with pytest.raises(StateError):
        journal.commit(Entry(state=b"lost"))
    assert "readonly" in journal.trouble
    with pytest.raises(StateError):
        journal.probe()
    connection.execute("PRAGMA query_only = 0")
    journal.probe()
    assert journal.trouble == ""
    journal.close()


def test_a_probe_reaches_the_file(tmp_path: Path) -> None:
    """What SQLite need not write says nothing of the disk."""
    journal = Journal.open(tmp_path)
    journal.probe()
    log = tmp_path / "journal.db-wal"
    for _ in range(3):
        before = log.read_bytes()  # it is written out beforehand, and so does not grow
        journal.probe()
        assert log.read_bytes() != before
    journal.close()


def test_a_commit_after_a_removal_waits_for_the_disk_again(tmp_path: Path) -> None:
    """Also where the removal itself failed."""
    journal, connection = open_journal(tmp_path)
    journal.commit(Entry(outbox=(OutboxRow("t", b"1"),)))
    for read_only in (1, 0):
        connection.execute(f"PRAGMA query_only = {read_only}")
        with suppress(StateError):
            journal.outbox_remove(1)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        assert journal.outbox_depth() == read_only
    journal.close()
