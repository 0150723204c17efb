"""Campaigns as a test writes them, and the bundle that they bring."""

from __future__ import annotations

from typing import Any

from edge_daemon.core.fleet.campaign import Campaign, read_campaign
from tests.sim.fleet import NEW, OLD, digest_of

START = 1_790_000_000.0


def written(**changes: Any) -> dict[str, Any]:
    """A campaign as plain values; None takes a key away."""
    values: dict[str, Any] = {
        "id": "2026-48-bottle",
        "serial": 118,
        "model": NEW,
        "sha256": digest_of(NEW),
        "from": [digest_of(OLD)],
        "waves": [0.05, 0.3, 1.0],
        "not_before": START,
        "expires": START + 86_400.0,
        "rules": {"patience_s": 60.0},
        **changes,
    }
    return {key: value for key, value in values.items() if value is not None}


def campaign(**changes: Any) -> Campaign:
    return read_campaign(written(**changes))
