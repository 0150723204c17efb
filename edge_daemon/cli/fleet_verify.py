"""`edge-daemon fleet verify`: compares receipts with reports, and audit trails with kept heads."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_daemon.cli.exits import WrongUsage
from edge_daemon.cli.output import tell
from edge_daemon.core.fleet.heads import Finding, HeadCheck
from edge_daemon.core.fleet.report import Chain
from edge_daemon.core.text import number_of
from edge_daemon.documents import DocumentError, read_text
from edge_daemon.fleet.receipts import ReceiptCheck, ReceiptFinding

MOST_BYTES = 64 << 20
_HASH = re.compile(r"[0-9a-f]{64}")

Kept = Annotated[
    Path | None,
    typer.Option("--kept", metavar="FILE", help="What `fleet ledger --json` printed earlier."),
]


@dataclass(frozen=True)
class Saved:
    """By station: the head of its trail, and its receipt with the row that held its digest."""

    heads: dict[str, Chain]
    receipts: dict[str, tuple[str, Chain]]


def read_kept(file: Path) -> Saved:
    """What a ledger that was saved has; raises WrongUsage where it is none or has no head."""
    hint = "Save one with: edge-daemon fleet ledger --json > FILE"
    try:
        plain = json.loads(read_text(file, MOST_BYTES))
        rows = {str(row["device"]): row for row in plain["stations"]}
        found = {device: _chain(row["chain"]) for device, row in rows.items()}
        proofs = {device: _chain(row.get("proof")) for device, row in rows.items()}
    except DocumentError as error:
        raise WrongUsage(f"{file} {error.message}.", hint=hint) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WrongUsage(f"{file} is no saved ledger.", hint=hint) from error
    heads = {device: chain for device, chain in found.items() if chain is not None}
    if not heads:
        raise WrongUsage(f"{file} has no head of an audit trail.", hint=hint)
    receipts = {
        device: (str(rows[device].get("receipt")), proof)
        for device, proof in proofs.items()
        if proof is not None
    }
    return Saved(heads, receipts)


def _chain(plain: Any) -> Chain | None:
    if plain is None:
        return None
    if not isinstance(plain["seq"], int) or not _HASH.fullmatch(str(plain["hash"])):
        raise ValueError("no head")
    return Chain(plain["seq"], plain["hash"])


def tell_receipts(checks: tuple[ReceiptCheck, ...]) -> None:
    """Faults by name, and how many receipts are what their stations reported."""
    for each in checks:
        if each.is_fault:
            tell(f"{each.device}: {each.why}.", err=True)
    counts = Counter(each.finding for each in checks)
    tell(
        f"{number_of(len(checks), 'receipt')}: {counts[ReceiptFinding.PROVEN]} as reported, "
        f"{counts[ReceiptFinding.ALTERED]} altered, "
        f"{counts[ReceiptFinding.FOREIGN]} of another station, "
        f"{counts[ReceiptFinding.MISSING]} missing; "
        f"{counts[ReceiptFinding.NONE]} have none to show."
    )


def tell_checks(checks: tuple[HeadCheck, ...]) -> None:
    """Faults by name, and what is left to ask the stations themselves."""
    for each in checks:
        if each.is_fault:
            tell(f"{each.device}: {each.why}.", err=True)
    counts = Counter(each.finding for each in checks)
    tell(
        f"{number_of(len(checks), 'trail')}: {counts[Finding.SAME]} as they were, "
        f"{counts[Finding.GREW]} longer, {counts[Finding.REWRITTEN]} written anew, "
        f"{counts[Finding.GONE]} without a head."
    )
    longer = next((each for each in checks if each.finding is Finding.GREW), None)
    if longer is not None:
        tell(
            f"Whether a longer one still contains the old head shows its station, such as "
            f"{longer.device}: edge-daemon audit verify --head {longer.kept.seq}:{longer.kept.hash}"
        )


def plain(
    receipts: Sequence[ReceiptCheck], trails: Sequence[HeadCheck]
) -> dict[str, list[dict[str, str]]]:
    """For programs."""
    return {
        "receipts": [
            {"device": each.device, "receipt": each.finding.value, "why": each.why}
            for each in receipts
        ],
        "trails": [
            {
                "device": each.device,
                "finding": each.finding.value,
                "head": f"{each.kept.seq}:{each.kept.hash}",
                "why": each.why,
            }
            for each in trails
        ],
    }
