"""A receipt is what its station reported, or the station is named with what is wrong."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_daemon.core.fleet.report import Chain, Report
from edge_daemon.fleet.receipts import (
    ReceiptFinding,
    ReportedReceipts,
    ShownProof,
    check_receipts,
    written,
)
from edge_daemon.host.audit import AuditRow
from edge_daemon.host.journal import Entry, Journal
from edge_daemon.host.journal_rows import ReceiptRow
from tests.sim.fleet import NEW, digest_of, said

RECEIPT = json.dumps({"swap_id": "s1", "to": NEW, "sha256": digest_of(NEW), "by": "fleet/c"})


def audited(body: bytes) -> AuditRow:
    held = hashlib.sha256(body).hexdigest()
    return AuditRow(1_790_000_000.25, "event", json.dumps({"receipt_sha256": held}).encode())


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal.open(tmp_path)
    yield made
    made.close()


@pytest.fixture
def shown(journal: Journal) -> ShownProof:
    """What a station has to show after one swap, between other things that it did."""
    body = RECEIPT.encode()
    other = AuditRow(1.0, "request", b"[]")
    rows = (other, audited(b"another"), audited(body), other)
    journal.commit(Entry(receipts=(ReceiptRow("s1", 1.0, body),), audit=rows))
    found = ReportedReceipts(journal).of("s1")
    assert found is not None
    return found


def reporting(shown: ShownProof, device: str = "a", **more: object) -> Report:
    return replace(said(device, NEW), proof=shown.chain, **more)  # type: ignore[arg-type]


def test_the_row_that_holds_the_receipt_is_found_and_followed(journal: Journal) -> None:
    """The trial completes the receipt: the newest text counts, and its row."""
    asked = ReportedReceipts(journal)
    assert asked.of("s1") is None
    assert asked.of(None) is None
    for trial in ("", "confirmed"):
        body = json.dumps({"swap_id": "s1", "trial": trial}).encode()
        entry = Entry(receipts=(ReceiptRow("s1", 1.0, body),), audit=(audited(body),))
        journal.commit(entry)
        found = asked.of("s1")
        assert found is not None
        assert (found.receipt, found.chain.seq) == (body, journal.audit_head().seq)
    assert asked.of("s1") is found
    journal.commit(Entry(audit=(AuditRow(1.0, "event"),)))
    assert asked.of("s1") == found
    assert asked.of("s2") is None


def test_a_receipt_as_reported_is_proven(shown: ShownProof) -> None:
    (check,) = check_receipts([reporting(shown)], {"a": written("a", shown)})
    assert (check.finding, check.is_fault) == (ReceiptFinding.PROVEN, False)


def changed(shown: ShownProof, **parts: Any) -> bytes:
    plain = json.loads(written("a", shown))
    row = {**plain["row"], **parts.pop("row", {})}
    return json.dumps({**plain, **parts, "row": row}).encode()


def test_whatever_was_changed_is_found_and_named(shown: ShownProof) -> None:
    """Each of these is what somebody might try who can write to the station's disk or topics."""
    better = RECEIPT.replace("fleet/c", "kim")
    held = hashlib.sha256(better.encode()).hexdigest()
    body = json.dumps({"receipt_sha256": held})
    again = AuditRow(shown.link.row.utc, "event", body.encode())
    other = ShownProof(better.encode(), replace(shown.link, row=again))
    for what, why in (
        (changed(shown, receipt=better), "holds the digest of another receipt"),
        (changed(shown, row={"body": body}, receipt=better), "was changed"),
        (changed(shown, row={"utc": 5.0}), "was changed"),
        (changed(shown, row={"seq": 9}), "was changed"),
        (written("a", _rehashed(other)), "is not the row 3 that it reported"),
        (b"{}", "what it shows is no receipt"),
        (b"\xff", "what it shows is no receipt"),
    ):
        (check,) = check_receipts([reporting(shown)], {"a": what})
        assert (check.finding, check.is_fault) == (ReceiptFinding.ALTERED, True)
        assert why in check.why, what


def _rehashed(shown: ShownProof) -> ShownProof:
    from edge_daemon.host.audit import digest  # noqa: PLC0415 - what a forger would do

    link = shown.link
    return replace(shown, link=replace(link, hash=digest(link.seq, link.row, link.prev_hash)))


def test_a_report_and_its_receipt_must_be_of_one_swap(shown: ShownProof) -> None:
    for report, why in (
        (reporting(shown, receipt="s9"), "it is the receipt of the swap s1"),
        (reporting(shown, sha256="0" * 64), f"it is of {NEW}"),
    ):
        (check,) = check_receipts([report], {"a": written("a", shown)})
        assert check.finding is ReceiptFinding.ALTERED
        assert why in check.why


def test_a_receipt_that_is_missing_or_anothers_is_named(shown: ShownProof) -> None:
    """`b` shows what `a` did; `c` shows nothing; `d` does not even name a row; `e` did no swap."""
    own = ShownProof(shown.receipt, replace(shown.link, hash="c" * 64))
    reports = [
        reporting(shown),
        reporting(own, "b"),
        reporting(own, "c"),
        reporting(own, "d", receipt="s7"),
        said("e", NEW, receipt=None),
    ]
    reports[3] = replace(reports[3], proof=None)
    seen = {"a": written("a", shown), "b": written("b", shown)}
    checks = {each.device: each for each in check_receipts(reports, seen)}
    assert {name: each.finding for name, each in checks.items()} == {
        "a": ReceiptFinding.PROVEN,
        "b": ReceiptFinding.FOREIGN,
        "c": ReceiptFinding.MISSING,
        "d": ReceiptFinding.MISSING,
        "e": ReceiptFinding.NONE,
    }
    assert checks["b"].why == "it shows the receipt of a"
    assert "no receipt s1" in checks["c"].why
    assert "holds the receipt s7" in checks["d"].why
    alone = check_receipts([reporting(own, "b")], {"b": written("a", shown)})
    assert alone[0].finding is ReceiptFinding.FOREIGN


def test_report_and_receipt_that_were_both_written_anew_differ_from_what_was_kept(
    shown: ShownProof,
) -> None:
    """Whoever owns the station can make both fit; what somebody saved earlier does not follow."""
    forged = _rehashed(ShownProof(shown.receipt, replace(shown.link, prev_hash="1" * 64)))
    kept = {"a": ("s1", shown.chain)}
    report, seen = reporting(forged), {"a": written("a", forged)}
    assert not check_receipts([report], seen)[0].is_fault
    (check,) = check_receipts([report], seen, kept)
    assert check.finding is ReceiptFinding.ALTERED
    later = {"a": ("s0", Chain(2, "2" * 64))}
    assert not check_receipts([report], seen, later)[0].is_fault
