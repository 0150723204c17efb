"""Requests in the journal: accepted once, answered once, and remembered for their repeats."""

# ruff: noqa: S608 - the SQL is put together from this file's own column list only

from __future__ import annotations

from collections import Counter

from edge_daemon.errors import StateError
from edge_daemon.host.journal_rows import Entry, RequestRow
from edge_daemon.host.journal_sql import Rows, Run, columns, insert

DONE_LIMIT = 10_000
"""Requests of one verb that are kept with their outcome, so that a repeat is answered with it."""
REJECTED_LIMIT = 2_000
"""Rejected ones, likewise. Anybody can have requests rejected: they push out only each other."""

Answered = Counter[tuple[str, bool]]
"""How many are kept with their outcome, by verb and whether it is `rejected`."""


class Requests:
    """The rows, and how many there are of each kind: no commit counts them."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._answered: Answered = Counter()
        for verb, is_rejected, count in run(
            "SELECT verb, status = 'rejected', count(*) FROM requests"
            " WHERE outcome IS NOT NULL GROUP BY verb, status = 'rejected'"
        ):
            self._answered[verb, bool(is_rejected)] = count

    def write(self, entry: Entry) -> Answered:
        """In the transaction that is open; what `written` is to be told once it is on the disk.

        Raises StateError where an outcome is a second one.
        """
        answered = self._answered.copy()
        for row in entry.accepted:
            insert(self._run, "requests", row)
            if row.outcome is not None:
                self._count(answered, row.verb, row.status)
        for end in entry.outcomes:
            changed = self._run(
                "UPDATE requests SET status = ?, outcome = ?, swap_id = coalesce(?, swap_id)"
                " WHERE id = ? AND outcome IS NULL",
                *(end.status, end.outcome, end.swap_id, end.id),
            )
            if changed.rowcount != 1:
                raise StateError(
                    f"Request {end.id} has its outcome already, or was never accepted.",
                    hint="This is a fault of the daemon itself; nothing of this step was done.",
                )
            [verb] = self._run("SELECT verb FROM requests WHERE id = ?", end.id).fetchone()
            self._count(answered, verb, end.status)
        return answered

    def written(self, answered: Answered) -> None:
        """The transaction is on the disk."""
        self._answered = answered

    def _count(self, answered: Answered, verb: str, status: str) -> None:
        """One more has its outcome; the oldest of its kind go where there are too many."""
        is_rejected = status == "rejected"
        answered[verb, is_rejected] += 1
        surplus = answered[verb, is_rejected] - (REJECTED_LIMIT if is_rejected else DONE_LIMIT)
        if surplus > 0:
            self._run(
                "DELETE FROM requests WHERE seq IN (SELECT seq FROM requests"
                " WHERE outcome IS NOT NULL AND verb = ? AND (status = 'rejected') = ?"
                " ORDER BY seq LIMIT ?)",
                *(verb, is_rejected, surplus),
            )
            answered[verb, is_rejected] -= surplus


def find(rows: Rows, request_id: str) -> RequestRow | None:
    """The request of this id, open or answered; None where it is not known."""
    found = rows(f"SELECT {columns(RequestRow)} FROM requests WHERE id = ?", request_id)
    return RequestRow(*found[0]) if found else None


def unanswered(rows: Rows) -> tuple[RequestRow, ...]:
    """Accepted and not yet answered, oldest first."""
    where = "WHERE outcome IS NULL ORDER BY seq"
    found = rows(f"SELECT {columns(RequestRow)} FROM requests {where}")
    return tuple(RequestRow(*row) for row in found)
