"""`edge-daemon audit`: shows the audit trail, and verifies it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any

import typer

from edge_daemon.cli.exits import FAILED, WrongUsage
from edge_daemon.cli.heads import read_heads
from edge_daemon.cli.journal import Records
from edge_daemon.cli.options import AsJson, ConfigFile, read_settings
from edge_daemon.cli.output import show, tell, tell_json
from edge_daemon.cli.requests import user
from edge_daemon.cli.tables import Column, FittedTable
from edge_daemon.cli.words import moment

_DIGEST = re.compile(r"[0-9a-f]{64}")


class Action(str, Enum):
    """What to do with the trail besides showing it."""

    VERIFY = "verify"
    TRUST_CLOCK = "trust-clock"


def audit(
    action: Annotated[
        Action | None,
        typer.Argument(
            help="verify: is the chain of hashes whole? trust-clock: the clock is right, though "
            "later times are on record.",
            show_default=False,
        ),
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(
            help="A head that was kept, SEQ:HASH, or a file of health messages or receipts.",
            show_default=False,
        ),
    ] = None,
    file: ConfigFile = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many of the newest rows.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Who requested what, and the result; each row carries the hash of the one before."""
    if head is not None and action is not Action.VERIFY:
        raise WrongUsage("--head goes with verify.", hint="Type: edge-daemon audit verify --head …")
    heads = read_heads(head) if head is not None else ()
    records = Records(read_settings(file))
    if action is Action.TRUST_CLOCK:
        records.trust_clock(user() or "")
        tell("The clock counts as right from now on; that is on record.")
        return
    trail = records.audit(limit, heads if action is Action.VERIFY else None)
    if as_json:
        tell_json(trail, indent=2)
    elif action is None:
        show(audit_table(trail["rows"]))
        tell(f"The head is row {trail['head']['seq']}; audit verify shows its hash.")
    else:
        _tell_verdict(trail, len(heads))
    if trail["faults"]:
        raise typer.Exit(FAILED)


def _tell_verdict(trail: dict[str, Any], heads: int) -> None:
    faults = trail["faults"]
    if not faults:
        tell(f"The trail is whole, and its head is {_typed(trail)}")
        if heads:
            tell(f"It contains {'the head' if heads == 1 else f'all {heads} heads'} given.")
        else:
            tell("Whether it was written anew shows a head kept elsewhere: audit verify --head.")
        return
    for fault in faults:
        tell(fault, err=True)
    tell("Keep the state folder as it is: this is evidence.", err=True)


def _typed(trail: dict[str, Any]) -> str:
    """The head in the form that `--head` takes."""
    return f"{trail['head']['seq']}:{trail['head']['hash']}"


def audit_table(rows: list[dict[str, Any]]) -> FittedTable:
    """The rows of the trail, as a person reads them."""
    columns = (Column("row", 1), Column("when"), Column("what"), Column("", free=True))
    return FittedTable(columns, [_cells(row) for row in rows])


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return str(row["seq"]), moment(row["time"]), str(row["kind"]), _facts(row["body"])


def _facts(body: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {_brief(value)}" for key, value in body.items() if value)


def _brief(fact: Any) -> str:
    """A gate report is too long for a line: only the number of passed checks is shown."""
    if isinstance(fact, Mapping):
        return f"({_facts(fact)})"
    if isinstance(fact, (list, tuple)):
        if fact and all(isinstance(part, Mapping) and "passed" in part for part in fact):
            return f"{sum(bool(check['passed']) for check in fact)} of {len(fact)} passed"
        return " ".join(map(_brief, fact))
    text = str(fact)
    return f"{text[:12]}…" if _DIGEST.fullmatch(text) else text
