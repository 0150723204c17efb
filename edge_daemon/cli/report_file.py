"""A report of a rollout as a file: written, and held against the audit trail later."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from edge_daemon.cli.exits import WrongUsage
from edge_daemon.cli.journal import Records
from edge_daemon.cli.report_page import page
from edge_daemon.core.rollout.report import VERSION, digest
from edge_daemon.documents import MALFORMED, DocumentError, read_text
from edge_daemon.errors import StateError
from edge_daemon.host.audit import Anchor

MOST_BYTES = 16 << 20
_HINT = "Name a file that edge-daemon rollouts report made."
_DATA = re.compile(r'<script type="application/json" id="report">(.*?)</script>', re.DOTALL)


def write_page(path: Path, text: str) -> None:
    """Raises WrongUsage where it cannot be written."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        told = f"{path} cannot be written: {error.strerror}."
        raise WrongUsage(told, hint="Name a file in a folder that is yours.") from None


def verified(path: Path, records: Records) -> str:
    """The good news in a sentence.

    Raises WrongUsage for a file that is no report, StateError for one that was changed or that is
    not on this station's trail.
    """
    try:
        text = read_text(path, MOST_BYTES)
    except DocumentError as error:
        raise WrongUsage(f"{path} {error.message}.", hint=_HINT) from None
    report = _report(path, text)
    if digest(report) != report.get("sha256"):
        raise StateError(
            f"{path} was changed: its figures are not those of its digest.",
            hint="Make it anew: edge-daemon rollouts report ID --html FILE",
        )
    if _DATA.search(text) is not None and text != _page_of(report):
        raise StateError(
            f"{path} was changed, or made by another version: what it shows is not its data.",
            hint="Its data are whole. Make the page anew: edge-daemon rollouts report ID --html F",
        )
    row = records.rollout_report({"verify": report["sha256"]})["row"]
    if row is None:
        raise StateError(
            f"{path} is whole, but no report of this digest is on this station's audit trail.",
            hint="Verify it on the station that made it.",
        )
    head = Anchor(int(report["audit"]["seq"]), str(report["audit"]["hash"]))
    faults = records.audit(1, (head,))["faults"]
    if faults:
        raise StateError(
            f"The audit trail is not whole: {faults[0]}", hint="Keep the state folder."
        )
    return f"{path} is the report of {report['rollout']} in row {row} of the audit trail."


def _page_of(report: dict[str, Any]) -> str | None:
    """None of data that no report has, whatever their digest."""
    with suppress(*MALFORMED):
        return page(report)
    return None


def _report(path: Path, text: str) -> dict[str, Any]:
    found = _DATA.search(text)
    with suppress(*MALFORMED):
        report = json.loads(found.group(1) if found else text)
        Anchor(int(report["audit"]["seq"]), str(report["audit"]["hash"]))
        if report["report"] == VERSION and isinstance(report["sha256"], str):
            return dict(report)
    raise WrongUsage(f"{path} is no report of a rollout.", hint=_HINT)
