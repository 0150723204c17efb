"""An auditor computes each arm again; widening keeps whom it had."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from edge_daemon.core.rollout.draw import LATER_BITS, assign, draw
from edge_daemon.core.rollout.values import Arm


def test_the_draw_is_the_first_eight_bytes_of_sha256() -> None:
    digest = hashlib.sha256(b"r-1:boot-7:SN-1234").hexdigest()
    assert draw("r-1", "boot-7", "SN-1234") == int(digest[:16], 16) / 2**64
    assert draw("r-1", "boot-7", 812) == draw("r-1", "boot-7", "812")


@given(st.text(max_size=8), st.integers(0, 10**9), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_keeps_every_part_that_a_smaller_one_had(
    rollout: str, part: int, one: float, other: float
) -> None:
    low, high = sorted((one, other))
    assert 0.0 <= draw(rollout, "b", part) < 1.0
    if assign(rollout, "b", part, low).arm is Arm.CANDIDATE:
        assert assign(rollout, "b", part, high).arm is Arm.CANDIDATE
    assert assign(rollout, "b", part, 0.0).arm is Arm.INCUMBENT
    assert assign(rollout, "b", part, 1.0).arm is Arm.CANDIDATE


def test_a_share_of_a_tenth_is_a_tenth_of_the_parts() -> None:
    arms = [assign("r", "boot", part, 0.1).arm for part in range(20_000)]
    share = arms.count(Arm.CANDIDATE) / len(arms)
    assert abs(share - 0.1) < 4 * (0.1 * 0.9 / len(arms)) ** 0.5


def test_whether_the_candidate_looks_besides_says_nothing_of_the_arm() -> None:
    """Both come of one number, and of other bits of it."""
    looked = {arm: [0, 0] for arm in Arm}
    for part in range(20_000):
        assigned = assign("r", "boot", part, 0.3)
        looked[assigned.arm][assigned.draw * LATER_BITS % 1.0 < 0.5] += 1
    for no, yes in looked.values():
        assert abs(yes / (no + yes) - 0.5) < 4 * (0.25 / (no + yes)) ** 0.5
