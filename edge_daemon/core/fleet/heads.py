"""Audit trails of many stations, as far as their heads tell: a trail only ever grows.

A head that somebody kept is compared with the one that the station reports now. A shorter trail, or
another hash at the same length, was written anew. Whether a longer one still contains the kept head
only the station's own trail can show.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from edge_daemon.core.fleet.ledger import Ledger
from edge_daemon.core.fleet.report import Chain


class Finding(str, Enum):
    """What a station's head says beside the kept one."""

    SAME = "same"
    GREW = "grew"
    REWRITTEN = "rewritten"
    GONE = "gone"


@dataclass(frozen=True)
class HeadCheck:
    """One station. `why`: a sentence where it is no proof."""

    device: str
    kept: Chain
    finding: Finding
    why: str = ""

    @property
    def is_fault(self) -> bool:
        return self.finding in (Finding.REWRITTEN, Finding.GONE)


def check_heads(kept: Mapping[str, Chain], ledger: Ledger) -> tuple[HeadCheck, ...]:
    """Each kept head beside what its station reports now, by name."""
    now = {line.device: line.report.chain for line in ledger.lines}
    return tuple(_check(device, kept[device], now.get(device)) for device in sorted(kept))


def _check(device: str, kept: Chain, now: Chain | None) -> HeadCheck:
    if now is None:
        return HeadCheck(device, kept, Finding.GONE, "it reports no head of an audit trail")
    if now.seq > kept.seq:
        return HeadCheck(device, kept, Finding.GREW)
    if now == kept:
        return HeadCheck(device, kept, Finding.SAME)
    why = f"row {kept.seq} of its trail had another hash"
    if now.seq < kept.seq:
        why = f"its trail had {kept.seq} rows and has {now.seq} now"
    return HeadCheck(device, kept, Finding.REWRITTEN, why)
