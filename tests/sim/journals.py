"""A journal as somebody with the file in his hands sees it: by SQL, past the journal itself."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from edge_daemon.host.journal import Journal


def by_hand(folder: Path, *statements: str) -> list[tuple[Any, ...]]:
    """Run these on a journal that is closed; the rows of the last one."""
    rows: list[tuple[Any, ...]] = []
    with closing(sqlite3.connect(folder / "journal.db", isolation_level=None)) as database:
        for statement in statements:
            rows = database.execute(statement).fetchall()
    return rows


def open_journal(folder: Path) -> tuple[Journal, sqlite3.Connection]:
    """An open journal and its own connection; it shares its file with no other."""
    connect, made = sqlite3.connect, []

    def noted(*arguments: Any, **named: Any) -> sqlite3.Connection:
        made.append(connect(*arguments, **named))
        return made[-1]

    sqlite3.connect = noted  # type: ignore[assignment]
    try:
        return Journal.open(folder), made[-1]
    finally:
        sqlite3.connect = connect
