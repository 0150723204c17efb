"""A trail only ever grows: what somebody kept of it says whether it did."""

from __future__ import annotations

from edge_daemon.core.fleet.heads import Finding, check_heads
from edge_daemon.core.fleet.ledger import StationMessages, make_ledger
from edge_daemon.core.fleet.report import Chain
from tests.sim.fleet import said

A, B = "aa" * 32, "bb" * 32


def test_every_kept_head_is_looked_for() -> None:
    """Same, longer, shorter, of the same length with another hash, and gone."""
    kept = {name: Chain(41, A) for name in ("same", "grew", "short", "other", "none", "gone")}
    now = {
        "same": Chain(41, A),
        "grew": Chain(42, B),
        "short": Chain(40, A),
        "other": Chain(41, B),
        "none": None,
        "new": Chain(1, B),
    }
    words = [
        StationMessages(f"edge/{name}", said(name, chain=chain)) for name, chain in now.items()
    ]
    checks = check_heads(kept, make_ledger(words, 0.0))
    assert {each.device: each.finding for each in checks} == {
        "same": Finding.SAME,
        "grew": Finding.GREW,
        "short": Finding.REWRITTEN,
        "other": Finding.REWRITTEN,
        "none": Finding.GONE,
        "gone": Finding.GONE,
    }
    assert [each.device for each in checks if each.is_fault] == ["gone", "none", "other", "short"]
    assert all(bool(each.why) == each.is_fault for each in checks)
