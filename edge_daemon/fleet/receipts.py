"""What a station shows for its report: the receipt of its swap, and the row that holds its digest.

The row's hash covers the digest of the receipt and everything before the row. The report names the
row, so a receipt that was changed afterwards, or that is another station's, fits no report.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from edge_daemon.core.fleet.report import Chain, Report
from edge_daemon.errors import SenderError
from edge_daemon.host.audit import AuditLink, AuditRow, digest
from edge_daemon.host.journal import Journal
from edge_daemon.messaging.fleet_payloads import ShownReceipt, TrailRow, read_receipt
from edge_daemon.messaging.payloads import encode

LOOKED_AT = 2000
"""Newest rows of the trail; the row of an older receipt is not looked for."""


@dataclass(frozen=True)
class ShownProof:
    """A receipt as the journal has it, and the row of the trail that holds its digest."""

    receipt: bytes
    link: AuditLink

    @property
    def chain(self) -> Chain:
        return Chain(self.link.seq, self.link.hash)


class ReportedReceipts:
    """Asked once a second for the receipt of the swap that is in force; reads where it is news."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._asked: tuple[str, int] | None = None
        self._shown: ShownProof | None = None

    def of(self, swap_id: str | None) -> ShownProof | None:
        """None where there is none, or where its row is long gone."""
        if swap_id is None:
            return None
        asked = (swap_id, self._journal.audit_head().seq)
        if asked != self._asked:
            self._asked, self._shown = asked, self._look(swap_id)
        return self._shown

    def _look(self, swap_id: str) -> ShownProof | None:
        row = self._journal.receipt(swap_id)
        if row is None:
            return None
        held = hashlib.sha256(row.body).hexdigest()
        if self._shown is not None and _holds(self._shown.link.row.body, held):
            return self._shown
        links = self._journal.audit_rows(LOOKED_AT)
        found = next((link for link in reversed(links) if _holds(link.row.body, held)), None)
        return None if found is None else ShownProof(row.body, found)


def _holds(body: bytes, held: str) -> bool:
    try:
        return bool(json.loads(body)["receipt_sha256"] == held)
    except (ValueError, KeyError, TypeError):
        return False


def written(device: str, shown: ShownProof) -> bytes:
    """As the topic `receipt` has it."""
    link = shown.link
    row = TrailRow(
        link.seq, link.row.utc, link.row.kind, link.row.body.decode(), link.prev_hash, link.hash
    )
    return encode(ShownReceipt(device, shown.receipt.decode(), row))


# --------------------------------------------------------------------------- whoever checks


class ReceiptFinding(str, Enum):
    """What a receipt is beside the report of its station."""

    PROVEN = "proven"
    MISSING = "missing"
    ALTERED = "altered"
    FOREIGN = "foreign"
    NONE = "none"  # nothing to show: no swap made its model active


@dataclass(frozen=True)
class ReceiptCheck:
    """One station. `why`: a sentence where it is no proof."""

    device: str
    finding: ReceiptFinding
    why: str = ""

    @property
    def is_fault(self) -> bool:
        return self.finding in (
            ReceiptFinding.MISSING,
            ReceiptFinding.ALTERED,
            ReceiptFinding.FOREIGN,
        )


def check_receipts(
    reports: Sequence[Report],
    shown: Mapping[str, bytes],
    kept: Mapping[str, tuple[str, Chain]] | None = None,
) -> tuple[ReceiptCheck, ...]:
    """Each station's receipt beside its report, by name.

    Args:
        shown: by station, what it shows.
        kept: by station, the receipt and its row in a ledger that was saved earlier.
    """
    owners = {report.proof.hash: report.device for report in reports if report.proof is not None}
    ordered = sorted(reports, key=lambda each: each.device)
    return tuple(
        _check(each, shown.get(each.device, b""), owners, (kept or {}).get(each.device))
        for each in ordered
    )


def _check(
    report: Report, body: bytes, owners: Mapping[str, str], kept: tuple[str, Chain] | None
) -> ReceiptCheck:
    device, said = report.device, report.proof
    if report.receipt is None:
        return ReceiptCheck(device, ReceiptFinding.NONE)
    if said is None:
        why = f"it reports no row of its trail that holds the receipt {report.receipt}"
        return ReceiptCheck(device, ReceiptFinding.MISSING, why)
    if kept is not None and kept[0] == report.receipt and kept[1] != said:
        why = f"the receipt {report.receipt} was in row {kept[1].seq} with another hash"
        return ReceiptCheck(device, ReceiptFinding.ALTERED, why)
    if not body:
        return ReceiptCheck(device, ReceiptFinding.MISSING, f"it shows no receipt {report.receipt}")
    try:
        seen = read_receipt(body)
    except SenderError:
        return ReceiptCheck(device, ReceiptFinding.ALTERED, "what it shows is no receipt")
    finding, why = _compared(report, said, seen, owners)
    return ReceiptCheck(device, finding, why)


def _compared(  # noqa: PLR0911 - the first that holds
    report: Report, said: Chain, seen: ShownReceipt, owners: Mapping[str, str]
) -> tuple[ReceiptFinding, str]:
    row = seen.row
    owner = owners.get(row.hash, seen.device)
    if owner != report.device:
        return ReceiptFinding.FOREIGN, f"it shows the receipt of {owner}"
    if row.hash != digest(row.seq, AuditRow(row.utc, row.kind, row.body.encode()), row.prev_hash):
        return ReceiptFinding.ALTERED, f"row {row.seq} of its trail was changed"
    if (row.seq, row.hash) != (said.seq, said.hash):
        return ReceiptFinding.ALTERED, f"row {row.seq} is not the row {said.seq} that it reported"
    if not _holds(row.body.encode(), hashlib.sha256(seen.receipt.encode()).hexdigest()):
        return ReceiptFinding.ALTERED, f"row {row.seq} holds the digest of another receipt"
    told = json.loads(seen.receipt)
    if told.get("swap_id") != report.receipt:
        return ReceiptFinding.ALTERED, f"it is the receipt of the swap {told.get('swap_id')}"
    if (told.get("to"), told.get("sha256")) != (report.model, report.sha256):
        return ReceiptFinding.ALTERED, f"it is of {told.get('to')}, and {report.model} is reported"
    return ReceiptFinding.PROVEN, ""
