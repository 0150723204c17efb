"""The audit trail's rows in the journal, and the anchor beside it."""

# ruff: noqa: S608 - the SQL is put together from this file's own column list only

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from edge_daemon.errors import StateError
from edge_daemon.host import audit
from edge_daemon.host.audit import Anchor, AuditLink, AuditRow
from edge_daemon.host.disk import write_durably
from edge_daemon.host.journal_sql import Rows, Run

ANCHOR_EVERY = 64
"""Audit rows between two anchors."""
SEGMENT = 1024
"""Rows that are cut off together; the newest so many always stay."""
BATCH = 256
"""Rows that are read at a time: a commit waits no longer than for these."""

_LINK = "seq, utc, kind, body, prev_hash, hash"


class Trail:
    """The rows, their head, and the anchor file; `head` is on the disk, any thread may read it."""

    def __init__(self, anchor_path: Path, run: Run) -> None:
        self._anchor_path = anchor_path
        self._run = run
        last = run("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
        self.head = Anchor(*(last or ()))
        self._anchored = self.kept()
        self._anchor_holds = self._is_in_trail(self._anchored)

    def write(self, rows: Iterable[AuditRow]) -> Anchor:
        """Chain the rows in the transaction that is open; the head then, for `written`."""
        head = self.head
        for row in rows:
            link = audit.chain(head, row)
            self._run(
                "INSERT INTO audit VALUES (?,?,?,?,?,?)",
                *(link.seq, row.utc, row.kind, row.body, link.prev_hash, link.hash),
            )
            head = Anchor(link.seq, link.hash)
        return head

    def written(self, head: Anchor) -> None:
        """The transaction is on the disk."""
        self.head = head
        if head.seq - self._anchored.seq >= ANCHOR_EVERY:
            # The entry is durable already: an anchor that fails is tried again next time.
            with suppress(StateError):
                self.anchor()

    def anchor(self) -> None:
        """Write the head to its own file. Raises StateError."""
        # An anchor that the trail contradicts is evidence: it stays until a person moves it.
        if self._anchor_holds and self.head.seq > self._anchored.seq:
            write_durably(self._anchor_path, self.head.to_bytes())
            self._anchored = self.head

    def kept(self) -> Anchor:
        """The anchor on disk; one that cannot be read counts as none."""
        try:
            return Anchor.parse(self._anchor_path.read_bytes())
        except (OSError, ValueError):
            return Anchor()

    def outdated(self, rows: Rows, now_utc: float, keep_s: float) -> Anchor | None:
        """The last row of the oldest segment, where all of it may go; None where it stays.

        A segment that is not whole is evidence and stays. A clock that jumped ahead empties
        nothing: age counts from what was written a segment ago, too.
        """
        [(first,)] = rows("SELECT min(seq) FROM audit")
        end = -(-(first or 0) // SEGMENT) * SEGMENT
        if not self._anchor_holds or end < 1 or end + SEGMENT > self.head.seq:
            return None
        segment = [_link(row) for row in rows(f"SELECT {_LINK} FROM audit WHERE seq <= ?", end)]
        [(late,)] = rows("SELECT utc FROM audit WHERE seq = ?", self.head.seq - SEGMENT)
        times = [late, *(link.row.utc for link in segment)]
        if not audit.is_whole(segment) or not all(isinstance(time, float) for time in times):
            return None
        is_old = max(times[1:]) < min(now_utc, late) - keep_s
        return Anchor(end, segment[-1].hash) if is_old else None

    def cut(self, last: Anchor, utc: float) -> Anchor:
        """Take all rows up to `last` away in the transaction that is open; the head then."""
        self._run("DELETE FROM audit WHERE seq <= ?", last.seq)
        return self.write([audit.cut_row(utc, last)])

    def _is_in_trail(self, anchor: Anchor) -> bool:
        row = self._run("SELECT hash FROM audit WHERE seq = ?", anchor.seq).fetchone()
        return anchor == Anchor() or (row is not None and row[0] == anchor.hash)


def links(rows: Rows) -> Iterator[AuditLink]:
    """The whole trail in order, a batch at a time."""
    sql = f"SELECT {_LINK} FROM audit WHERE seq > ? ORDER BY seq LIMIT ?"
    batch = rows(sql, -(1 << 63), BATCH)
    while batch:
        yield from map(_link, batch)
        batch = rows(sql, batch[-1][0], BATCH)


def newest(rows: Rows, limit: int | None) -> tuple[AuditLink, ...]:
    """The newest rows in order; all without a limit."""
    sql = f"SELECT {_LINK} FROM audit ORDER BY seq DESC LIMIT ?"
    return tuple(map(_link, reversed(rows(sql, -1 if limit is None else limit))))


def _link(row: tuple[Any, ...]) -> AuditLink:
    seq, utc, kind, body, prev_hash, digest = row
    # Who edits the file by hand leaves text, and must be found out.
    body = body if isinstance(body, bytes) else str(body).encode()
    return AuditLink(seq, AuditRow(utc, kind, body), prev_hash, digest)
