"""A thing that a place refuses is given up only while the place takes others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_daemon.host.blame import IN_A_ROW, MOST_TRIES, Blame


def test_a_place_that_refuses_everything_costs_no_thing() -> None:
    """However often it is tried."""
    blame = Blame()
    for _ in range(10 * MOST_TRIES):
        blame.begin()
        assert [blame.refused(name) for name in "abc"] == [False] * (IN_A_ROW - 1) + [True]
    assert not any(map(blame.is_given_up, "abc"))


def test_a_thing_that_is_refused_between_others_is_given_up_once() -> None:
    """And counts anew where it is forgotten."""
    blame = Blame()
    given_up: list[str] = []
    for number in range(2 * MOST_TRIES):
        blame.begin()
        assert not blame.refused("bad")
        given_up += blame.taken(f"good-{number}")
    assert given_up == ["bad"]
    assert blame.is_given_up("bad")
    blame.forget("bad")
    assert not blame.is_given_up("bad")
    assert blame.tries == {}


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.booleans())))
def test_what_was_taken_is_to_blame_for_nothing(answers: list[tuple[str, bool]]) -> None:
    """Whatever came before; and a thing is given up by its fifth refusal beside a success."""
    blame = Blame()
    for name, is_taken in answers:
        if is_taken:
            assert name not in blame.taken(name)
            assert name not in blame.tries
        else:
            blame.refused(name)
    assert all(0 <= tries <= len(answers) for tries in blame.tries.values())
