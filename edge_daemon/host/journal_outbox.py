"""Messages in the journal that wait for the broker: in order, and bounded."""

# ruff: noqa: S608 - the SQL is put together from this file's own column list only

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from edge_daemon.host.journal_rows import OutboxRow
from edge_daemon.host.journal_sql import Rows, Run, columns, insert

OUTBOX_LIMIT = 200_000
"""Messages kept for an absent broker; beyond it the oldest that is no outcome goes."""
OUTBOX_BYTES = 256 << 20
"""Their bytes on the disk, about; the same goes for them."""

_SIZE = "length(payload) + length(topic) + length(properties)"
_DROPPED = "SELECT value FROM counters WHERE name = 'outbox_dropped'"


class OutboxTotals(NamedTuple):
    """What waits for the broker, and how many messages were given up since the journal began."""

    messages: int
    bytes: int
    dropped: int


class WaitingMessages:
    """The rows, and how much they are: no commit counts them."""

    def __init__(self, run: Run) -> None:
        self._run = run
        dropped = run(_DROPPED).fetchone()[0]
        messages, size = run(f"SELECT count(*), coalesce(sum({_SIZE}), 0) FROM outbox").fetchone()
        self.held = OutboxTotals(messages, size, dropped)

    def write(self, messages: Iterable[OutboxRow]) -> OutboxTotals:
        """In the transaction that is open; what `written` is to be told once it is on the disk."""
        held = before = self.held
        for row in messages:
            insert(self._run, "outbox", row, but="seq")
            size = len(row.payload) + len(row.topic) + len(row.properties)
            held = held._replace(messages=held.messages + 1, bytes=held.bytes + size)
        while held.messages > OUTBOX_LIMIT or held.bytes > OUTBOX_BYTES:
            # Outcomes go last, and a repeated request is still answered from the requests.
            oldest = self._run("SELECT seq FROM outbox ORDER BY is_outcome, seq LIMIT 1").fetchone()
            held = self._forget(held, oldest)
            held = held._replace(dropped=held.dropped + 1)
        if held.dropped > before.dropped:
            self._run("UPDATE counters SET value = ? WHERE name = 'outbox_dropped'", held.dropped)
        return held

    def forget(self, seqs: Iterable[int]) -> OutboxTotals:
        """As `write`, for messages that need not wait any more; unknown ones are ignored."""
        return self._forget(self.held, seqs)

    def written(self, held: OutboxTotals) -> None:
        """The transaction is on the disk."""
        self.held = held

    def _forget(self, held: OutboxTotals, seqs: Iterable[int]) -> OutboxTotals:
        for seq in seqs:
            row = self._run(f"SELECT {_SIZE} FROM outbox WHERE seq = ?", seq).fetchone()
            if row is not None:
                self._run("DELETE FROM outbox WHERE seq = ?", seq)
                held = held._replace(messages=held.messages - 1, bytes=held.bytes - row[0])
        return held


def peek(rows: Rows, limit: int) -> tuple[OutboxRow, ...]:
    """The oldest messages, in order."""
    sql = f"SELECT {columns(OutboxRow)} FROM outbox ORDER BY seq LIMIT ?"
    return tuple(
        OutboxRow(topic, payload, qos, properties, bool(is_outcome), seq)
        for topic, payload, qos, properties, is_outcome, seq in rows(sql, limit)
    )
