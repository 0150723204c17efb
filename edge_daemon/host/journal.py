"""What must survive a power cut: state, requests, outbox, receipts, audit trail.

One SQLite file with exactly one connection: two connections to one WAL can lose its content
(SQLite's WAL-reset bug), so the folder is locked against a second daemon and the file against any
other reader. `synchronous=FULL`: when `commit` returns, the entry is on the disk.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from edge_daemon.errors import StateError
from edge_daemon.host import (
    audit,
    journal_audit,
    journal_lineage,
    journal_notices,
    journal_orders,
    journal_outbox,
    journal_parts,
    journal_proofs,
    journal_rates,
    journal_requests,
    journal_rollouts,
)
from edge_daemon.host.audit import Anchor, AuditLink, AuditRow
from edge_daemon.host.disk import FolderLock, Reserve, SetAside
from edge_daemon.host.journal_audit import Trail
from edge_daemon.host.journal_file import (
    ANCHOR_FILE,
    FILE,
    Recovery,
    clearly,
    open_database,
    recovery_told,
    set_aside_beside,
)
from edge_daemon.host.journal_outbox import WaitingMessages
from edge_daemon.host.journal_parts import PartRow
from edge_daemon.host.journal_requests import Requests
from edge_daemon.host.journal_rows import Entry, OutboxRow, OutcomeRow, ReceiptRow, RequestRow
from edge_daemon.host.journal_sql import insert, keep_newest

__all__ = [
    "AuditRow",
    "Entry",
    "Journal",
    "OutboxRow",
    "OutcomeRow",
    "ReceiptRow",
    "Recovery",
    "RequestRow",
]

RECEIPT_LIMIT = 10_000
"""Receipts kept as history."""

_NEWEST = "SELECT value FROM counters WHERE name = 'newest_utc'"


class Journal:
    """The open journal; any thread may call it. Every method may raise StateError.

    `recovered` tells what was done where the file was damaged or gone at `open`.
    """

    @classmethod
    def open(cls, folder: Path, reserve: Reserve | None = None) -> Journal:
        """Lock the folder and open its journal, upgrading or setting aside what is there.

        `reserve`: given up first, so that this can be done on a full disk.
        """
        lock = FolderLock(folder)
        with ExitStack() as undo, clearly(folder / FILE):
            undo.callback(lock.release)
            if reserve is not None:
                reserve.give_up()
            aside = (*lock.aside, *set_aside_beside(folder))
            connection, recovered = open_database(folder)
            journal = cls(folder, lock, connection, recovered)
            journal.aside = aside
            undo.pop_all()
            return journal

    def __init__(
        self,
        folder: Path,
        folder_lock: FolderLock,
        connection: sqlite3.Connection,
        recovered: Recovery | None,
    ) -> None:
        self.recovered = recovered
        self.aside: tuple[SetAside, ...] = ()
        """What lay beside it and was damaged at `open`."""
        self._path = folder / FILE
        self._folder_lock = folder_lock
        self._db = connection
        self._lock = threading.Lock()
        self._recovery_is_told = recovered is None
        self.trouble = ""
        """What the disk refused last, as a sentence; empty since a write that it took."""
        self.newest_utc: float = self._run(_NEWEST).fetchone()[0]
        """The newest time on record, in whole seconds: a clock below it was set back."""
        self._requests = Requests(self._run)
        self._outbox = WaitingMessages(self._run)
        self.rollouts = journal_rollouts.RolloutTable(self._rows)
        self.rates = journal_rates.RateTable(self._rows)
        self.notices = journal_notices.NoticeTable(self._rows, self._change)
        self.lineage = journal_lineage.LineageTable(self._rows)
        self._trail = Trail(folder / ANCHOR_FILE, self._run)
        self._verifying = threading.Lock()

    # ------------------------------------------------------------------------- write

    def commit(self, entry: Entry) -> None:
        """Make the whole entry durable in one fsynced transaction, or nothing of it.

        An id accepted before, or an outcome for a request that has one, is refused.
        """
        with self._lock:
            with self._transaction():
                if entry.state is not None:
                    sha256 = hashlib.sha256(entry.state).hexdigest()
                    self._run("INSERT OR REPLACE INTO state VALUES (0,?,?)", entry.state, sha256)
                answered = self._requests.write(entry)
                held = self._outbox.write(entry.outbox)
                self._write_receipts(entry.receipts)
                journal_orders.write(self._run, entry.topics, entry.products)
                if entry.parts is not None:
                    journal_parts.write(self._run, entry.parts)
                journal_proofs.write(self._run, entry.proofs)
                if entry.rollouts is not None:
                    journal_rollouts.write(self._run, entry.rollouts)
                journal_notices.write(self._run, entry.notices)
                if entry.lineage is not None:
                    journal_lineage.write(self._run, entry.lineage)
                head = self._trail.write(entry.audit)
                times = *(row.utc for row in entry.audit), *(r.received_utc for r in entry.accepted)
                newest_utc = self._write_newest(times)
            self._requests.written(answered)
            self._outbox.written(held)
            self._trail.written(head)
            self.newest_utc = newest_utc
            if not self._recovery_is_told:  # the last: the entry is durable, whatever this says
                with clearly(self._path):
                    recovery_told(self._path.parent)
                self._recovery_is_told = True

    def outbox_remove(self, *seqs: int) -> None:
        """Forget messages that the broker has acknowledged; unknown ones are ignored.

        It reaches the disk with the next commit: after a power cut a message may go twice.
        """
        with self._lock:
            with self._unsynced(), self._transaction():
                held = self._outbox.forget(seqs)
            self._outbox.written(held)

    def probe(self) -> None:
        """Write something, to see whether the disk takes it again.

        A value that stays as it is would not do: SQLite does not write that.
        """
        with self._lock, self._transaction():
            self._run(
                "INSERT INTO counters VALUES ('probes', 1)"
                " ON CONFLICT (name) DO UPDATE SET value = value + 1"
            )

    def anchor(self) -> None:
        """Write the audit trail's newest link to its own file; `close` does so too."""
        with self._lock:
            self._trail.anchor()

    def close(self) -> None:
        """Write the anchor, close, and release the folder. A second call does nothing."""
        with self._lock:
            try:
                with suppress(StateError):
                    self._trail.anchor()
                with clearly(self._path):
                    self._db.close()
            finally:
                self._folder_lock.release()

    # -------------------------------------------------------------------------- read

    def state(self) -> bytes | None:
        """The last state committed; None in a new journal."""
        rows = self._rows("SELECT body FROM state")
        return bytes(rows[0][0]) if rows else None

    def find_request(self, id: str) -> RequestRow | None:  # noqa: A002 - the contract's word
        """The request of this id, open or answered; None where it was never accepted."""
        return journal_requests.find(self._rows, id)

    def open_requests(self) -> tuple[RequestRow, ...]:
        """Accepted and not yet answered, oldest first."""
        return journal_requests.unanswered(self._rows)

    def outbox_peek(self, limit: int = 100) -> tuple[OutboxRow, ...]:
        """The oldest messages not yet acknowledged, in order."""
        return journal_outbox.peek(self._rows, limit)

    def outbox_depth(self) -> int:
        """Messages waiting; without access to the disk."""
        return self._outbox.held.messages

    def outbox_dropped(self) -> int:
        """Messages given up because the outbox was full, since the journal began; no disk."""
        return self._outbox.held.dropped

    def history(self, limit: int = 100) -> tuple[ReceiptRow, ...]:
        """The newest receipts, newest first."""
        sql = "SELECT swap_id, utc, body FROM receipts ORDER BY seq DESC LIMIT ?"
        return tuple(ReceiptRow(*row) for row in self._rows(sql, limit))

    def receipt(self, swap_id: str) -> ReceiptRow | None:
        """The receipt of one swap, as it stands now."""
        rows = self._rows("SELECT swap_id, utc, body FROM receipts WHERE swap_id = ?", swap_id)
        return ReceiptRow(*rows[0]) if rows else None

    def orders(self) -> journal_orders.OrderRows:
        """What is kept of the orders of a MES, oldest first."""
        return journal_orders.read(self._rows)

    def find_order(self, job_order: str) -> journal_orders.ProductRow | None:
        """The product of one order; None if no message named it."""
        return journal_orders.find(self._rows, job_order)

    def parts(self, limit: int, name: str | None = None) -> tuple[PartRow, ...]:
        """The newest parts, newest first; with a name only those of this id or serial."""
        if name is None:
            return journal_parts.newest(self._rows, limit)
        return journal_parts.find(self._rows, name, limit)

    def part_counts(self) -> bytes | None:
        """The last stored counts; None if no part was ever counted."""
        return journal_parts.counts(self._rows)

    def proof(self, bundle: str) -> bytes | None:
        """What is on record of a bundle's gate; b"" where that is damaged, None for nothing."""
        return journal_proofs.find(self._rows, bundle)

    def audit_rows(self, limit: int | None = None) -> tuple[AuditLink, ...]:
        """The trail in order; with a limit only its newest rows."""
        return journal_audit.newest(self._rows, limit)

    def audit_head(self) -> Anchor:
        """The trail's newest link: keep it elsewhere to prove later that nothing was cut off."""
        return self._trail.head

    def audit_faults(self, *heads: Anchor) -> list[str]:
        """What is wrong with the trail, its anchor and the given heads; empty when it is whole.

        It reads batch by batch: a commit meanwhile waits for one of them at most.
        """
        with self._verifying:
            return audit.verify(journal_audit.links(self._rows), (self._trail.kept(), *heads))

    def trust_clock(self, row: AuditRow) -> None:
        """The row's time becomes the newest on record: an operator confirms the clock."""
        with self._lock:
            with self._transaction():
                head = self._trail.write([row])
                newest_utc = self._write_newest([row.utc], floor=0.0)
            self._trail.written(head)
            self.newest_utc = newest_utc

    def cut_audit(self, now_utc: float, keep_s: float) -> bool:
        """Cut the oldest rows off where all of a segment is older than `keep_s`; whether it was.

        The cut is on record in the same transaction.
        """
        if not self._verifying.acquire(blocking=False):
            return False  # whoever reads the trail reads one that begins where it began
        try:
            last = self._trail.outdated(self._rows, now_utc, keep_s)
            if last is None:
                return False
            with self._lock:
                with self._transaction():
                    head = self._trail.cut(last, now_utc)
                self._trail.written(head)
            return True
        finally:
            self._verifying.release()

    # ------------------------------------------------------------------------- parts

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._troubled(), self._undone_on_error():
            yield
        self.trouble = ""

    @contextmanager
    def _troubled(self) -> Iterator[None]:
        """Turn a refusal of the disk into one sentence, and remember it as trouble."""
        try:
            with clearly(self._path):
                yield
        except StateError as error:
            self.trouble = error.message
            raise

    @contextmanager
    def _unsynced(self) -> Iterator[None]:
        """Do not wait for the disk, so that no request waits either."""
        with self._troubled():
            self._db.execute("PRAGMA synchronous=NORMAL")
        try:
            yield
        finally:
            self._db.execute("PRAGMA synchronous=FULL")

    @contextmanager
    def _undone_on_error(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:  # SQLite itself rolls back on a full disk
                self._db.execute("ROLLBACK")

    def _run(self, sql: str, *values: Any) -> sqlite3.Cursor:
        return self._db.execute(sql, values)

    def _rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._lock, self._troubled():
            return self._db.execute(sql, values).fetchall()

    def _change(self, sql: str, *values: Any) -> int:
        with self._lock, self._unsynced(), self._transaction():
            return self._run(sql, *values).rowcount

    def _write_newest(self, times: Iterable[float], floor: float | None = None) -> float:
        """The newest time on record with these; written where it is another second."""
        before = self.newest_utc if floor is None else floor
        newest_utc = max(times, default=0.0) // 1
        if newest_utc <= before:
            return before
        self._run("UPDATE counters SET value = ? WHERE name = 'newest_utc'", int(newest_utc))
        return newest_utc

    def _write_receipts(self, receipts: tuple[ReceiptRow, ...]) -> None:
        later = "ON CONFLICT (swap_id) DO UPDATE SET utc = excluded.utc, body = excluded.body"
        for row in receipts:
            insert(self._run, "receipts", row, conflict=later)
        if receipts:
            keep_newest(self._run, "receipts", RECEIPT_LIMIT)
