"""`edge-daemon models history`: the receipts of swaps, and the reports of what was refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from edge_daemon.cli.journal import Records
from edge_daemon.cli.options import AsJson, ConfigFile, read_settings
from edge_daemon.cli.output import show, tell_json
from edge_daemon.cli.tables import Column, FittedTable
from edge_daemon.cli.words import (
    checks_table,
    milliseconds,
    moment,
    receipt_lines,
    with_short_digests,
)
from edge_daemon.errors import SenderError

MOST = 200
"""Rows that are looked through for one swap."""

_Row = dict[str, Any]


def history(
    file: ConfigFile = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many of the newest swaps.")] = 20,
    swap: Annotated[str, typer.Option(help="Only this swap, in full.", show_default=False)] = "",
    refused: Annotated[bool, typer.Option("--refused", help="What was refused, and why.")] = False,
    as_json: AsJson = False,
) -> None:
    """The receipts of past swaps, newest first; with --refused, what was refused instead."""
    records = Records(read_settings(file))
    rows = (records.refusals if refused else records.history)(MOST if swap else limit)
    if swap:
        rows = [row for row in rows if row.get("swap_id") == swap]
    if swap and not rows:
        other = "See: models history" if refused else "If it was refused: models history --refused"
        raise SenderError(f"No swap {swap} is on record.", hint=other)
    if as_json:
        tell_json(rows, indent=2)
    elif swap:
        show(*(_refusal(rows[0]) if refused else map(Text, receipt_lines(rows[0]))))
    else:
        show((refusal_table if refused else history_table)(rows))


def history_table(receipts: list[_Row]) -> FittedTable:
    """Swaps, newest last, a line each."""
    columns = (
        *(Column("when", whole=True), Column("swap", 1), Column("from", 4), Column("to")),
        *(Column("frame", 5), Column("pause", 6, whole=True), Column("by", 3), Column("trial", 2)),
    )
    return FittedTable(columns, [_receipt_cells(receipt) for receipt in receipts])


def _receipt_cells(receipt: _Row) -> tuple[str, ...]:
    return (
        moment(receipt.get("cutover_at") or receipt.get("requested_at"), ago=False),
        str(receipt.get("swap_id")),
        str(receipt.get("from") or ""),
        str(receipt.get("to")),
        str(receipt.get("cutover_frame", "")),
        milliseconds(receipt.get("pause_ms")),
        str(receipt.get("by") or ""),
        str(receipt.get("trial") or ""),
    )


def _refusal(row: _Row) -> Iterator[RenderableType]:
    yield Text(f"{row['model']}: {row['code']}. {row['message']}")
    table = checks_table(row["checks"], only_failed=False)
    if table is not None:
        yield table


def refusal_table(rows: list[_Row]) -> FittedTable:
    """What was refused or failed, with its reason."""
    columns = (
        *(Column("when", whole=True), Column("swap", 2), Column("model")),
        *(Column("code", 1), Column("checks", 3, whole=True), Column("why", free=True)),
    )
    return FittedTable(columns, [_refusal_cells(row) for row in rows])


def _refusal_cells(row: _Row) -> tuple[str, ...]:
    passed = sum(bool(check.get("passed")) for check in row["checks"])
    return (
        moment(row["time"], ago=False),
        row["swap_id"],
        row["model"],
        row["code"],
        f"{passed} of {len(row['checks'])}" if row["checks"] else "",
        with_short_digests(row["message"]),
    )
