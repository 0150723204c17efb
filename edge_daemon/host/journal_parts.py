"""The parts of the last days and their counts, written with the results that will be sent."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from edge_daemon.host import journal_lineage
from edge_daemon.host.journal_lineage import JudgedRow
from edge_daemon.host.journal_sql import Rows, Run, columns, insert, keep_newest


@dataclass(frozen=True)
class PartRow:
    """One part; `body` is its result (JSON), `picture` one of those that it names.

    `model`: the one that judged it; it is counted, and read from the body later.
    """

    boot: str
    part: int
    utc: float
    id: str | None
    serial: str | None
    verdict: str
    body: bytes
    picture: str | None = None
    model: str | None = None


@dataclass(frozen=True)
class PartsEntry:
    """What becomes durable together: rows, and the counts (JSON) that hold them.

    Of the rows the newest `most` stay, and of those none from before `since_utc`.
    """

    rows: tuple[PartRow, ...]
    counts: bytes
    most: int
    since_utc: float


def write(run: Run, entry: PartsEntry) -> None:
    """Within the journal's transaction."""
    for row in entry.rows:
        insert(run, "parts", row, but="model")
    for model in {row.model for row in entry.rows if row.model is not None}:
        journal_lineage.count(run, model, _judged([r for r in entry.rows if r.model == model]))
    run("INSERT OR REPLACE INTO part_counts VALUES (0, ?)", entry.counts)
    keep_newest(run, "parts", entry.most)
    run("DELETE FROM parts WHERE utc < ?", entry.since_utc)


def _judged(rows: list[PartRow]) -> JudgedRow:
    """The parts of one version, by verdict."""
    by, times = Counter(row.verdict for row in rows), [row.utc for row in rows]
    verdicts = (by["ok"], by["ng"], by["empty"], by["uninspected"])
    return JudgedRow(0, *verdicts, min(times), max(times))


def newest(rows: Rows, limit: int) -> tuple[PartRow, ...]:
    """The newest parts, newest first."""
    return _read(rows, "ORDER BY seq DESC LIMIT ?", limit)


def find(rows: Rows, name: str, limit: int) -> tuple[PartRow, ...]:
    """Parts with this trigger id or serial, newest first."""
    return _read(rows, "WHERE id = ? OR serial = ? ORDER BY seq DESC LIMIT ?", name, name, limit)


def counts(rows: Rows) -> bytes | None:
    """What was kept last; None where no part was ever counted."""
    found = rows("SELECT body FROM part_counts")
    return bytes(found[0][0]) if found else None


def _read(rows: Rows, how: str, *values: Any) -> tuple[PartRow, ...]:
    found = rows(f"SELECT {columns(PartRow, 'model')} FROM parts {how}", *values)  # noqa: S608 - ours
    return tuple(PartRow(*row) for row in found)
