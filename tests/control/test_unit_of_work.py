"""A unit of work: rows that become durable together, and words that wait for them."""

from __future__ import annotations

from dataclasses import fields

import pytest

from edge_daemon.control.rows import UnitOfWork
from edge_daemon.host.audit import AuditRow
from edge_daemon.host.journal_rows import Entry, OutboxRow, OutcomeRow, ReceiptRow, RequestRow


def full(mark: str) -> UnitOfWork:
    """One of each kind of row."""
    return UnitOfWork(
        state=mark.encode(),
        accepted=[RequestRow(mark, "swap", 1.0)],
        outcomes=[OutcomeRow(mark, "succeeded", b"{}")],
        outbox=[OutboxRow("t", mark.encode())],
        receipts=[ReceiptRow(mark, 1.0, b"{}")],
        audit=[AuditRow(1.0, mark, b"{}")],
    )


def test_an_empty_one_writes_nothing() -> None:
    """Most steps of the planner change nothing that is kept."""
    assert UnitOfWork().entry() == Entry()


def test_what_is_owed_goes_before_what_follows() -> None:
    """The journal could not take it: its order is the order of what happened."""
    owed = full("before").entry()
    entry = full("after").entry(owed)
    assert [row.id for row in entry.accepted] == ["before", "after"]
    assert [row.id for row in entry.outcomes] == ["before", "after"]
    assert [row.payload for row in entry.outbox] == [b"before", b"after"]
    assert [row.swap_id for row in entry.receipts] == ["before", "after"]
    assert [row.kind for row in entry.audit] == ["before", "after"]


def test_the_newest_state_is_the_one_that_is_kept() -> None:
    """An owed one counts only where nothing newer is known."""
    owed = full("before").entry()
    assert full("after").entry(owed).state == b"after"
    assert UnitOfWork().entry(owed).state == b"before"


OTHERS = {"parts", "proofs", "rollouts", "lineage"}


def test_every_kind_of_row_reaches_the_journal() -> None:
    """A kind that `entry` forgot would be lost without a word.

    Parts, proofs, pairs and lineage are no steps of the planner: their own threads write them.
    """
    kinds = {each.name for each in fields(UnitOfWork)} - {"then"}
    assert kinds == {each.name for each in fields(Entry)} - OTHERS


def test_words_come_in_the_order_of_the_rows() -> None:
    """Accepted before succeeded, for everybody who listens."""
    said: list[str] = []
    unit = UnitOfWork()
    unit.then += [lambda: said.append("accepted"), lambda: said.append("succeeded")]
    assert said == []
    unit.tell()
    assert said == ["accepted", "succeeded"]


def test_making_the_transaction_tells_nothing() -> None:
    """It may be refused by the disk yet."""
    unit = full("one")
    unit.then.append(lambda: pytest.fail("told before it was durable"))
    unit.entry()
