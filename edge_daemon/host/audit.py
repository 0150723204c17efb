"""The audit trail's rules: each row carries the hash of the one before it.

An edit, a deletion or a new order breaks the chain. Cutting off its end does not, nor does writing
the whole chain anew. So now and then the newest link, the head, is written to a file of its own,
and the daemon publishes it: in `health`, in each receipt, and once a minute in its log. Whoever
kept one of those heads can tell whether the trail still contains it.

Rows that are older than they must be kept are deleted at the front. That is recorded as a row too:
it names the head that the rest of the trail continues from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from edge_daemon.documents import MALFORMED

GENESIS = "0" * 64
"""What the first row points back to."""
CUT = "cut"
"""The kind of a row that says which rows were cut off at the front."""
MOST_FAULTS = 100
"""Faults that are named one by one; a trail written anew has one for each row."""


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
        except MALFORMED as error:
            raise ValueError("no anchor") from error


def chain(last: Anchor, row: AuditRow) -> AuditLink:
    """The link that follows `last`."""
    seq = last.seq + 1
    return AuditLink(seq, row, last.hash, digest(seq, row, last.hash))


def digest(seq: int, row: AuditRow, prev_hash: str) -> str:
    """SHA-256 over a JSON list, so that no two rows have the same text."""
    fields = [seq, repr(row.utc), row.kind, row.body.hex(), prev_hash]
    return hashlib.sha256(json.dumps(fields).encode()).hexdigest()


def cut_row(utc: float, last: Anchor) -> AuditRow:
    """The row that records the deletion of all rows up to `last`."""
    body = {"seq": last.seq, "hash": last.hash}
    return AuditRow(utc, CUT, json.dumps(body, sort_keys=True).encode())


def verify(links: Iterable[AuditLink], heads: Iterable[Anchor] = ()) -> list[str]:
    """What is wrong with the trail, one sentence a fault; empty when it is whole.

    Args:
        links: the rows that are there, in order; they are read once and not kept.
        heads: what the trail's newest link was at some moments; it must contain each.
    """
    walk = _Walk(heads)
    for link in links:
        walk.take(link)
    return walk.end()


def is_whole(links: Iterable[AuditLink]) -> bool:
    """Whether a part of the trail is a chain in itself."""
    walk = _Walk()
    for link in links:
        walk.take(link)
    return not walk.faults


class _Walk:
    """Walks along the chain once."""

    def __init__(self, heads: Iterable[Anchor] = ()) -> None:
        self._heads = set(heads)
        self._wanted = {head.seq for head in self._heads}
        self._found = {0: GENESIS}
        self._begin: Anchor | None = None
        self._last = Anchor()
        self._cut = Anchor()
        self.faults: list[str] = []
        self._unnamed = 0

    def take(self, link: AuditLink) -> None:
        if self._begin is None:
            # What lies before it must have been cut; whether it was is known at the end.
            self._begin = Anchor(link.seq - 1, link.prev_hash) if link.seq > 1 else Anchor()
            self._last = self._begin
            self._found[self._begin.seq] = self._begin.hash
        last = self._last
        if link.seq != last.seq + 1:
            self._fault(f"Between rows {last.seq} and {link.seq} something was taken or moved.")
        elif link.prev_hash != last.hash:
            self._fault(f"Row {link.seq} does not follow row {last.seq}.")
        if link.hash != digest(link.seq, link.row, link.prev_hash):
            self._fault(f"Row {link.seq} was changed.")
        elif link.row.kind == CUT:
            self._cut = _cut_of(link.row)
        if link.seq in self._wanted:
            self._found[link.seq] = link.hash
        self._last = Anchor(link.seq, link.hash)

    def end(self) -> list[str]:
        begin = self._begin or Anchor()
        if begin.seq and begin != self._cut:
            self._fault(f"Rows 1 to {begin.seq} are gone, and the trail does not say why.")
        for head in sorted(self._heads, key=lambda head: (head.seq, head.hash)):
            self._hold_against(head, begin)
        if self._unnamed:
            self.faults.append(f"There are {self._unnamed} more faults.")
        return self.faults

    def _hold_against(self, head: Anchor, begin: Anchor) -> None:
        found = self._found.get(head.seq)
        if found is None and head.seq < begin.seq:
            self._fault(
                f"Row {head.seq} was cut off with all rows up to {begin.seq}: "
                "whether it is the one that was kept cannot be told any more."
            )
        elif found is None:
            end = self._last.seq
            self._fault(f"Row {head.seq} was there once, but the trail ends at row {end}.")
        elif found != head.hash:
            self._fault(f"Row {head.seq} is not what it was when its hash was kept.")

    def _fault(self, sentence: str) -> None:
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(sentence)
        else:
            self._unnamed += 1


def _cut_of(row: AuditRow) -> Anchor:
    try:
        return Anchor.parse(row.body)
    except ValueError:
        return Anchor()
