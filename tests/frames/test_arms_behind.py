"""A candidate's share on a line that is behind: what cannot wait is not judged twice."""

from __future__ import annotations

from edge_daemon.core.rollout.draw import assign
from tests.sim.two_models import CANDIDATE, INCUMBENT, NG_INCUMBENT, OK, Two


def test_a_line_that_is_behind_judges_no_frame_twice_that_may_be_of_no_part() -> None:
    """Where parts are told later, a frame in a gap is judged by both; one that others wait for is
    not, so that the line catches up. What the active model says of them stays the verdict."""
    two = Two(assigned_of=lambda _: None)
    two.split(share=0.1)
    two.film([OK, OK])
    assert two.asked(CANDIDATE) == 2
    for _ in range(5):
        two.capture(NG_INCUMBENT)
    while len(two.verdicts) < two.captured:
        two.lane.turn()
    assert two.asked(CANDIDATE) == 3, "of five the last one, after which nobody waits"
    assert [each.shadow is not None for each in two.verdicts] == [*[True] * 2, *[False] * 4, True]
    assert {each.model for each in two.verdicts} == {INCUMBENT}


def test_a_candidates_own_part_is_judged_by_it_however_far_the_line_is_behind() -> None:
    two = Two(assigned_of=lambda _: assign("r-1", "boot", "SN-1", 1.0))
    two.split(share=1.0)
    for _ in range(5):
        two.capture(OK)
    while len(two.verdicts) < two.captured:
        two.lane.turn()
    assert {each.model for each in two.verdicts} == {CANDIDATE}
