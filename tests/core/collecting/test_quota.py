"""No reason loses a picture while it keeps within its own share of the quota."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_daemon.core.collecting.quota import goes_first, shares
from edge_daemon.core.collecting.reasons import RARE, Why

WHYS = st.sets(st.sampled_from(list(Why)), min_size=1)


@given(WHYS, st.floats(0.0, 1.0))
def test_the_shares_are_the_whole(reasons: set[Why], reserve: float) -> None:
    own = shares(reasons, reserve)
    assert set(own) == reasons
    assert sum(own.values()) == pytest.approx(1.0)
    if reasons & RARE and reasons - RARE:
        assert sum(own[why] for why in reasons & RARE) == pytest.approx(reserve)


@given(WHYS, st.floats(0.0, 1.0), st.data())
def test_who_keeps_within_its_share_loses_nothing(
    reasons: set[Why], reserve: float, data: st.DataObject
) -> None:
    """A line that rejects half of its parts does not push out the few that models disagree on."""
    own, quota = shares(reasons, reserve), 1_000_000
    kept = {why: data.draw(st.integers(0, 2 * quota)) for why in reasons}
    loser = goes_first(kept, own, quota)
    if not any(kept.values()):
        assert loser is None
        return
    assert loser is not None
    assert kept[loser] > 0
    if sum(kept.values()) > quota + len(reasons):
        assert kept[loser] > own[loser] * quota


def test_what_is_not_collected_any_more_goes_first() -> None:
    own = shares({Why.NG}, 0.5)
    assert goes_first({Why.NG: 100, Why.AUDIT: 1}, own, 10) is Why.AUDIT


def test_a_flood_of_rejects_leaves_the_rare_ones() -> None:
    """One picture after the other, as the folder does it: 40 disagreements survive 5,000 ng."""
    own = shares({Why.DISAGREEMENT, Why.NG, Why.AUDIT}, 0.5)
    kept = {Why.DISAGREEMENT: 40, Why.NG: 0, Why.AUDIT: 10}
    for _ in range(5_000):
        kept[Why.NG] += 1
        while sum(kept.values()) > 100:
            loser = goes_first(kept, own, 100)
            assert loser is not None
            kept[loser] -= 1
    assert kept == {Why.DISAGREEMENT: 40, Why.NG: 50, Why.AUDIT: 10}
