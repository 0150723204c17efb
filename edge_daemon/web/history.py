"""The last minutes, a row a second, for the plots."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from edge_daemon.web.state import HistoryColumns

KEPT_S = 600
"""Ten minutes: a changeover and the quiet before it fit on one plot."""


@dataclass(frozen=True)
class Second:
    """One second: `at` POSIX seconds at its end, frames by outcome, milliseconds."""

    at: int
    ok: int = 0
    ng: int = 0
    empty: int = 0
    uninspected: int = 0
    dropped: int = 0
    p50: float | None = None
    p99: float | None = None


class History:
    """A ring of seconds; one thread adds, any thread reads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: deque[Second] = deque(maxlen=KEPT_S)

    def add(self, second: Second) -> None:
        with self._lock:
            self._rows.append(second)

    def columns(self) -> HistoryColumns:
        """All rows, column by column."""
        with self._lock:
            rows = tuple(self._rows)
        return HistoryColumns(
            at=tuple(row.at for row in rows),
            ok=tuple(row.ok for row in rows),
            ng=tuple(row.ng for row in rows),
            empty=tuple(row.empty for row in rows),
            uninspected=tuple(row.uninspected for row in rows),
            dropped=tuple(row.dropped for row in rows),
            p50=tuple(row.p50 for row in rows),
            p99=tuple(row.p99 for row in rows),
        )


def newest(columns: HistoryColumns, seconds: int) -> HistoryColumns:
    """Only the last rows, for readers that have the older ones."""
    if seconds <= 0:
        return HistoryColumns()
    return HistoryColumns(
        at=columns.at[-seconds:],
        ok=columns.ok[-seconds:],
        ng=columns.ng[-seconds:],
        empty=columns.empty[-seconds:],
        uninspected=columns.uninspected[-seconds:],
        dropped=columns.dropped[-seconds:],
        p50=columns.p50[-seconds:],
        p99=columns.p99[-seconds:],
    )
