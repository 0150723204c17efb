"""The audit trail's rules: each row carries the hash of the one before it.

An edit, a deletion or a new order breaks the chain. A cut at its end does not, so now and then
the newest link is written to an anchor file of its own; whoever wants proof against somebody who
can write both files keeps the anchors elsewhere (the daemon also publishes them).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

GENESIS = "0" * 64
"""What the first row points back to."""


@dataclass(frozen=True)
class AuditRow:
    """Something that must be provable later; `body` is JSON."""

    utc: float
    kind: str
    body: bytes = b"{}"


@dataclass(frozen=True)
class AuditLink:
    """A row in its place in the chain; `seq` counts from 1 without gaps."""

    seq: int
    row: AuditRow
    prev_hash: str
    hash: str


@dataclass(frozen=True)
class Anchor:
    """How long the chain was at some moment, and its last hash."""

    seq: int = 0
    hash: str = GENESIS

    def to_bytes(self) -> bytes:
        return json.dumps({"seq": self.seq, "hash": self.hash}).encode() + b"\n"

    @classmethod
    def parse(cls, content: bytes) -> Anchor:
        """Raises ValueError where the content is no anchor."""
        try:
            plain = json.loads(content)
            return cls(int(plain["seq"]), str(plain["hash"]))
        except (KeyError, TypeError) as error:
            raise ValueError("no anchor") from error


def chain(last: Anchor, row: AuditRow) -> AuditLink:
    """The link that follows `last`."""
    seq = last.seq + 1
    return AuditLink(seq, row, last.hash, digest(seq, row, last.hash))


def digest(seq: int, row: AuditRow, prev_hash: str) -> str:
    """SHA-256 over a JSON list: no two rows read the same."""
    fields = [seq, repr(row.utc), row.kind, row.body.hex(), prev_hash]
    return hashlib.sha256(json.dumps(fields).encode()).hexdigest()


def verify(links: Iterable[AuditLink], anchor: Anchor | None = None) -> list[str]:
    """What is wrong with the trail, one sentence a fault; empty when it is whole."""
    faults: list[str] = []
    last = Anchor()
    anchored: str | None = GENESIS if anchor is not None and anchor.seq == 0 else None
    for link in links:
        if link.seq != last.seq + 1:
            faults.append(f"Between rows {last.seq} and {link.seq} something was taken or moved.")
        elif link.prev_hash != last.hash:
            faults.append(f"Row {link.seq} does not follow row {last.seq}.")
        if link.hash != digest(link.seq, link.row, link.prev_hash):
            faults.append(f"Row {link.seq} was changed.")
        if anchor is not None and link.seq == anchor.seq:
            anchored = link.hash
        last = Anchor(link.seq, link.hash)
    if anchor is not None and anchored is None:
        faults.append(f"Row {anchor.seq} was there once, but the trail ends at row {last.seq}.")
    elif anchor is not None and anchored != anchor.hash:
        faults.append(f"Row {anchor.seq} is not the one that was anchored.")
    return faults
