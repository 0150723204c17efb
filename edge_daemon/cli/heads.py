"""Saved heads of the audit trail: typed in, or from a file of saved messages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_daemon.cli.exits import WrongUsage
from edge_daemon.documents import DocumentError, read_text
from edge_daemon.host.audit import Anchor

MOST_HEADS = 1000
"""Compared with the trail at once; a request to the daemon must stay small."""

MOST_BYTES = 16 << 20

_TYPED = re.compile(r"([1-9][0-9]{0,17}):([0-9a-f]{64})")


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
    found: dict[Anchor, None] = {}
    for head in _in_file(Path(text)):
        found[head] = None
        if len(found) > MOST_HEADS:
            raise WrongUsage(
                f"{text} holds more than {MOST_HEADS} heads.", hint="Give a part of it."
            )
    if not found:
        raise WrongUsage(
            f"{text} holds no head of an audit trail.",
            hint="Give SEQ:HASH, or a file with a saved health message or receipt.",
        )
    return tuple(found)


def _in_file(path: Path) -> Iterator[Anchor]:
    try:
        content = read_text(path, MOST_BYTES)
    except DocumentError as error:
        raise WrongUsage(
            f"{path} is not SEQ:HASH, and as a file it {error.message}.",
            hint="SEQ is a number and HASH has 64 hexadecimal digits.",
        ) from error
    try:
        yield from _inside(json.loads(content))
    except (ValueError, RecursionError):  # not one document: many, one a line
        for line in content.splitlines():
            yield from _in_line(line)


def _in_line(line: str) -> Iterator[Anchor]:
    try:
        yield from _inside(json.loads(line))
    except (ValueError, RecursionError):
        return


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
