"""A recovery that is itself cut off goes on at the next start, until it is on record."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import pytest

from edge_daemon.errors import StateError
from edge_daemon.host.disk import Reserve
from edge_daemon.host.journal import AuditRow, Entry, Journal, OutboxRow
from edge_daemon.host.journal_file import MARK_FILE
from tests.sim.small_disk import fill, small_disk

TOLD = Entry(audit=(AuditRow(1.0, "event", b"recovered"),))


class PowerCut(BaseException):
    """Nothing after it happens."""


def damaged(folder: Path) -> None:
    journal = Journal.open(folder)
    journal.commit(Entry(state=b"kept"))
    journal.close()
    for path in folder.glob("journal.db*"):
        path.write_bytes(b"\xff" * path.stat().st_size)


@pytest.mark.parametrize("step", range(1, 4))
def test_a_cut_at_any_rename_does_not_make_it_a_first_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Whatever was moved aside already: the next start knows that there was a journal."""
    damaged(tmp_path)
    replace, left = os.replace, [step]

    def replace_until_the_cut(*names: Any) -> None:
        left[0] -= 1
        if not left[0]:
            raise PowerCut
        replace(*names)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace_until_the_cut)
        with contextlib.suppress(PowerCut):
            Journal.open(tmp_path).close()
    again = Journal.open(tmp_path)
    assert again.recovered is not None
    again.commit(TOLD)
    again.close()
    last = Journal.open(tmp_path)
    assert last.recovered is None
    assert [link.row for link in last.audit_rows()] == list(TOLD.audit)
    last.close()


def test_a_damaged_journal_begins_anew_on_a_full_disk(tmp_path: Path) -> None:
    """The reserve is there for it."""
    with small_disk(tmp_path / "disk", 8) as disk:
        folder, reserve = disk / "state", Reserve(disk / "state")
        folder.mkdir()
        damaged(folder)
        assert reserve.keep()
        fill(disk)
        with pytest.raises(StateError):
            Journal.open(folder)
        journal = Journal.open(folder, reserve)
        assert journal.recovered is not None
        journal.commit(TOLD)
        journal.close()


def test_a_commit_whose_recovery_stays_untold_is_durable_and_counted(tmp_path: Path) -> None:
    """The mark cannot be removed: that is an error, and what waits is known all the same."""
    damaged(tmp_path)
    journal = Journal.open(tmp_path)
    (tmp_path / MARK_FILE).unlink()
    (tmp_path / MARK_FILE).mkdir()
    with pytest.raises(StateError, match="cannot be used"):
        journal.commit(Entry(outbox=(OutboxRow("t", b"payload"),)))
    assert journal.outbox_depth() == len(journal.outbox_peek()) == 1
    journal.close()


def test_until_it_is_on_record_it_is_not_over(tmp_path: Path) -> None:
    """A start that ends before its first commit leaves the recovery to the next one."""
    damaged(tmp_path)
    Journal.open(tmp_path).close()
    again = Journal.open(tmp_path)
    assert again.recovered is not None
    again.close()
