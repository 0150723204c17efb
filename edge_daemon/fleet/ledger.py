"""All stations' words from the broker, and the inventory of those that there should be."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_daemon.core.fleet.ledger import IgnoredTopic, Ledger, StationMessages, make_ledger
from edge_daemon.documents import DocumentError
from edge_daemon.documents.file import read_text
from edge_daemon.errors import ConfigurationError, SenderError
from edge_daemon.messaging.client import Client
from edge_daemon.messaging.fleet_payloads import read_report

MOST_INVENTORY_BYTES = 16 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PRESENCES = ("online", "offline", "stopped")


@dataclass(frozen=True)
class Retained:
    """What a broker keeps, by the stations' roots: reports, and statuses."""

    reports: Mapping[str, bytes]
    statuses: Mapping[str, bytes]


def gather(client: Client, roots: Sequence[str]) -> Retained:
    """What is retained below these roots; raises BrokerError where we may not read it."""
    reports = [f"{root}/fleet" for root in roots]
    statuses = [f"{root}/status" for root in roots]
    kept = client.all_retained([*reports, *statuses])
    return Retained(_below(kept, "/fleet"), _below(kept, "/status"))


def _below(kept: Mapping[str, bytes], end: str) -> dict[str, bytes]:
    return {topic[: -len(end)]: body for topic, body in kept.items() if topic.endswith(end)}


def read_ledger(
    kept: Retained,
    now_utc: float,
    inventory: Sequence[str] | None = None,
    patience_s: float | None = None,
) -> Ledger:
    """The ledger of what is retained; whatever is no report is a stranger in it."""
    words, strangers = [], []
    for root, body in kept.reports.items():
        if not body:  # how a retained message is taken away
            continue
        try:
            report = read_report(body)
        except SenderError as error:
            strangers.append(IgnoredTopic(root, error.message))
            continue
        words.append(StationMessages(root, report, _presence(kept.statuses.get(root, b""))))
    quiet = {
        root: _presence(body) or "unreadable"
        for root, body in kept.statuses.items()
        if body and not kept.reports.get(root)
    }
    return make_ledger(words, now_utc, inventory, patience_s, strangers, quiet)


def _presence(body: bytes) -> str | None:
    """None where the station's status is none of ours."""
    try:
        status = json.loads(body)
    except (ValueError, RecursionError):
        return None
    state = status.get("state") if isinstance(status, dict) else None
    return state if state in _PRESENCES else None


def read_inventory(file: Path) -> tuple[str, ...]:
    """The names of all stations: one a line; what follows `#` is a comment.

    Raises ConfigurationError that names the line.
    """
    try:
        text = read_text(file, MOST_INVENTORY_BYTES)
    except DocumentError as error:
        raise _bad_line(file, error.line, error.message) from error
    names: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        name = line.partition("#")[0].strip()
        if not name:
            continue
        if _NAME.fullmatch(name) is None:
            raise _bad_line(file, number, f"has no station's name but {name[:80]!r}")
        if name in names:
            raise _bad_line(file, number, f"names {name} again: it stands in line {names[name]}")
        names[name] = number
    if not names:
        raise ConfigurationError(
            f"The inventory {file} names no station.", hint="Write one station's name a line."
        )
    return tuple(names)


def _bad_line(file: Path, number: int, problem: str) -> ConfigurationError:
    return ConfigurationError(
        f"{file}:{number}: the inventory {problem}.", hint="Write one station's name a line."
    )
