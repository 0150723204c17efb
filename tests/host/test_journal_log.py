"""The journal's log is written out beforehand: a commit makes no file longer, and loses nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edge_daemon.host.journal import AuditRow, Entry, Journal
from edge_daemon.host.journal_file import LOG_BYTES, ROOM_BYTES

FILES = ("journal.db", "journal.db-wal")


@pytest.fixture(autouse=True)
def _room(tmp_path: Path) -> None:
    if shutil.disk_usage(tmp_path).free < 2 * ROOM_BYTES:
        pytest.skip("a disk with little room is left as it is")


def sizes(folder: Path) -> list[int]:
    return [(folder / name).stat().st_size for name in FILES]


def test_a_commit_makes_no_file_longer(tmp_path: Path) -> None:
    """The log has its usual size from the first moment on."""
    journal = Journal.open(tmp_path)
    before = sizes(tmp_path)
    assert before[1] == LOG_BYTES
    for number in range(20):
        journal.commit(Entry(state=b"%d" % number))
    assert sizes(tmp_path) == before
    journal.close()


@pytest.mark.parametrize("count", [1, 50, 600], ids=["few", "some", "log-begun-anew"])
def test_what_was_committed_is_there_after_a_crash(tmp_path: Path, count: int) -> None:
    """In the log, before the zeros; or before what is left there of the time before."""
    journal = Journal.open(tmp_path / "here")
    for number in range(count):
        journal.commit(Entry(state=b"%d" % number, audit=(AuditRow(1.0, "event", b"x"),)))
    there = shutil.copytree(tmp_path / "here", tmp_path / "there")
    journal.close()
    again = Journal.open(there)
    assert again.recovered is None
    assert again.state() == b"%d" % (count - 1)
    assert len(list(again.audit_rows())) == count
    again.close()


def test_zeros_do_not_stand_for_what_a_journal_held(tmp_path: Path) -> None:
    """A file that was emptied is a loss, though its log has its size."""
    journal = Journal.open(tmp_path)
    journal.commit(Entry(state=b"kept"))
    journal.close()
    (tmp_path / "journal.db").write_bytes(b"")
    (tmp_path / "journal.db-wal").write_bytes(bytes(LOG_BYTES))
    again = Journal.open(tmp_path)
    assert again.recovered is not None
    again.close()
