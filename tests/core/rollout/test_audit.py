"""Passed parts are drawn by a number that anybody can compute again."""

from __future__ import annotations

import hashlib

from edge_daemon.core.rollout.audit import sampled
from edge_daemon.core.values import Verdict


def test_the_draw_is_a_hash_and_its_share_is_as_declared() -> None:
    drawn = 0
    for part in range(5000):
        found = sampled("b1", part, Verdict.OK, 0.1)
        assert found is not None
        digest = hashlib.sha256(f"audit:b1:{part}".encode()).digest()
        assert found.draw == int.from_bytes(digest[:8], "big") / 2.0**64
        assert found.is_drawn is (found.draw < 0.1)
        drawn += found.is_drawn
    assert 420 < drawn < 580


def test_only_passed_parts_and_only_where_it_is_asked_for() -> None:
    assert sampled("b1", 1, Verdict.OK, 0.0) is None
    for verdict in (Verdict.NG, Verdict.EMPTY, Verdict.UNINSPECTED):
        assert sampled("b1", 1, verdict, 1.0) is None
