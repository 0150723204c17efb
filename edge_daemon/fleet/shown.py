"""A ledger as plain values, for programs and for the page."""

from __future__ import annotations

from typing import Any

from edge_daemon.core.fleet.ledger import Ledger, Line
from edge_daemon.messaging.times import iso_utc


def summary(found: Ledger) -> dict[str, Any]:
    """How many of what, and by name whoever is not heard, not listed or no station."""
    return {
        "stations": len(found.lines),
        "heard": len(found.heard),
        "inventory": found.inventory,
        "complete": found.is_complete,
        "models": found.counts("model"),
        "digests": found.counts("sha256"),
        "phases": found.counts("phase"),
        "sites": found.counts("site"),
        "groups": found.counts("group"),
        "versions": found.counts("version"),
        "silent": {line.device: line.why for line in found.silent},
        "missing": {each.device: each.why for each in found.missing},
        "unknown": list(found.unknown),
        "not_counted": {each.root: each.why for each in found.strangers},
    }


def station(line: Line) -> dict[str, Any]:
    """One station of it."""
    report, status = line.report, line.report.campaign_status
    return {
        "device": report.device,
        "root": line.root,
        "site": report.site,
        "group": report.group,
        "model": report.model,
        "sha256": report.sha256,
        "phase": report.phase.value if report.phase else None,
        "campaign": status.campaign if status else None,
        "wave": status.wave if status else None,
        "bytes": dict(status.bytes) if status else {},
        "receipt": report.receipt,
        "chain": {"seq": report.chain.seq, "hash": report.chain.hash} if report.chain else None,
        "proof": {"seq": report.proof.seq, "hash": report.proof.hash} if report.proof else None,
        "healthy": report.is_healthy,
        "presence": line.presence.value,
        "why": line.why,
        "said": iso_utc(report.said_utc),
        "fresh_until": iso_utc(report.fresh_until) if report.fresh_until else None,
    }
