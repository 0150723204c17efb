"""SQL that the tables of the journal share. A row is a dataclass; its fields are the columns."""

# ruff: noqa: S608 - the names of tables and columns are the journal's own

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

Run = Callable[..., Any]
"""Executes one statement with its values, in the transaction that is open."""
Rows = Callable[..., list[tuple[Any, ...]]]
"""Executes one query with its values, and takes the journal's lock for it alone."""


def columns(row: Any, but: str = "") -> str:
    """The columns of a kind of row, as SQL lists them; without the one called `but`."""
    return ", ".join(each.name for each in fields(row) if each.name != but)


def insert(run: Run, table: str, row: object, but: str = "", *, conflict: str = "") -> None:
    """Insert a row, but for one column; `conflict` is the clause for a row that is there."""
    values = {name: value for name, value in vars(row).items() if name != but}
    places = ",".join("?" * len(values))
    run(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places}) {conflict}", *values.values())


def keep_newest(run: Run, table: str, most: int) -> None:
    """Delete all rows but those of the newest `most` numbers."""
    run(f"DELETE FROM {table} WHERE seq <= (SELECT max(seq) FROM {table}) - ?", most)
