"""`edge-daemon audit`: shows the audit trail, and verifies it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_daemon.cli.exits import FAILED, WrongUsage
from edge_daemon.cli.journal import Records
from edge_daemon.cli.options import AsJson, ConfigFile, read_settings
from edge_daemon.cli.output import show, tell, tell_json
from edge_daemon.cli.requests import user
from edge_daemon.cli.tables import Column, FittedTable
from edge_daemon.cli.words import moment
from edge_daemon.documents import DocumentError, read_text
from edge_daemon.host.audit import Anchor

MOST_HEADS = 1000
"""Compared with the trail at once; a request to the daemon must stay small."""

_MOST_BYTES = 16 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")
_TYPED = re.compile(r"([1-9][0-9]{0,17}):([0-9a-f]{64})")


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
        tell(f"The trail is whole, and its head is {trail['head']['seq']}:{trail['head']['hash']}")
        if heads:
            tell(f"It contains {'the head' if heads == 1 else f'all {heads} heads'} given.")
        else:
            tell("Whether it was written anew shows a head kept elsewhere: audit verify --head.")
        return
    for fault in faults:
        tell(fault, err=True)
    tell("Keep the state folder as it is: this is evidence.", err=True)


def audit_table(rows: list[dict[str, Any]]) -> FittedTable:
    """The rows of the trail, as a person reads them."""
    columns = (Column("row", 1), Column("when"), Column("what"), Column("", free=True))
    cells = [(str(r["seq"]), moment(r["time"]), str(r["kind"]), _facts(r["body"])) for r in rows]
    return FittedTable(columns, cells)


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


# --------------------------------------------------------------------------- saved heads


def read_heads(text: str) -> tuple[Anchor, ...]:
    """The heads that `--head` means.

    Args:
        text: `SEQ:HASH`, or the path of a file with JSON in it: a health message, a receipt, lines
            of the daemon's log, or many of them one a line.

    Raises:
        WrongUsage: it is neither, or holds no head, or too many.
    """
    typed = _TYPED.fullmatch(text)
    if typed is not None:
        return (Anchor(int(typed[1]), typed[2]),)
    found = dict.fromkeys(_in_file(Path(text)))
    if len(found) > MOST_HEADS:
        raise WrongUsage(f"{text} holds more than {MOST_HEADS} heads.", hint="Give a part of it.")
    if not found:
        raise WrongUsage(
            f"{text} holds no head of an audit trail.",
            hint="Give SEQ:HASH, or a file with a saved health message or receipt.",
        )
    return tuple(found)


def _in_file(path: Path) -> Iterator[Anchor]:
    try:
        content = read_text(path, _MOST_BYTES)
    except DocumentError as error:
        raise WrongUsage(
            f"{path} is not SEQ:HASH, and as a file it {error.message}.",
            hint="SEQ is a number and HASH has 64 hexadecimal digits.",
        ) from error
    try:
        yield from _inside(json.loads(content))
    except (ValueError, RecursionError):  # not one document: many, one a line
        for line in content.splitlines():
            with suppress(ValueError, RecursionError):
                yield from _inside(json.loads(line))


def _inside(plain: Any) -> Iterator[Anchor]:
    """Every object with a number and a hash, however deep: receipts stand within answers."""
    if isinstance(plain, dict):
        seq, digest = plain.get("seq"), plain.get("hash")
        if _TYPED.fullmatch(f"{seq}:{digest}"):
            yield Anchor(int(plain["seq"]), str(digest))
        for value in plain.values():
            yield from _inside(value)
    elif isinstance(plain, list):
        for value in plain:
            yield from _inside(value)
