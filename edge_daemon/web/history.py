"""The last minutes, a row a second, for the plots."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

import msgspec

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
        names = HistoryColumns.__struct_fields__
        return HistoryColumns(**{name: tuple(getattr(r, name) for r in rows) for name in names})


def newest(columns: HistoryColumns, seconds: int) -> HistoryColumns:
    """Only the last rows, for readers that have the older ones."""
    if seconds <= 0:
        return HistoryColumns()
    kept = msgspec.structs.asdict(columns).items()
    return HistoryColumns(**{name: column[-seconds:] for name, column in kept})
