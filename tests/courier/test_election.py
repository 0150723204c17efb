"""One station of a site asks the origin, and the next one follows when it is gone."""

from __future__ import annotations

import pytest

from edge_daemon.courier.election import LAST_RANK, order, patience_s, rank

NAMES = [f"cam{number}" for number in range(50)]
NOTHING = dict.fromkeys(NAMES, 0.0)


def test_every_station_draws_the_same_order_and_each_bundle_another() -> None:
    first = order("aa", NOTHING)
    assert order("aa", dict(reversed(NOTHING.items()))) == first
    assert sorted(first) == sorted(NAMES)
    fetchers = {order(f"bundle{number}", NOTHING)[0] for number in range(200)}
    assert len(fetchers) > 40


def test_exactly_one_of_a_new_bundle_goes_to_the_origin_at_once() -> None:
    ranks = sorted(rank("aa", each, NOTHING) for each in NAMES)
    assert ranks[:31] == list(range(31))
    assert patience_s(0) == 0.0
    assert [patience_s(each) for each in (1, 2, 3)] == [6.0, 10.0, 14.0]


def test_who_comes_late_waits_for_those_who_have_more() -> None:
    for each in NAMES:
        site = {**dict.fromkeys(NAMES, 1.0), each: 0.0}
        assert rank("aa", each, site) == 1
    first, second = order("aa", NOTHING)[:2]
    assert rank("aa", first, {**NOTHING, second: 0.5}) == LAST_RANK
    assert rank("aa", first, {**NOTHING, first: 0.5, second: 0.5}) == 0


def test_no_two_have_the_same_rank_where_the_first_one_has_less_than_others() -> None:
    """Nobody goes to the origin at once: neighbours give the first one what they have."""
    first, second, third = order("aa", NOTHING)[:3]
    site = {**NOTHING, first: 0.3, second: 0.4, third: 0.5}
    ranks = [rank("aa", each, site) for each in order("aa", NOTHING)[1:30]]
    assert ranks == list(range(1, 30))
    assert rank("aa", first, site) == LAST_RANK


@pytest.mark.parametrize("more", [0.0, 0.01, 0.04, 0.06, 0.3])
@pytest.mark.parametrize("died_at", [0.05, 0.2, 0.35])
def test_the_stale_share_of_a_fetcher_that_died_delays_nobody(died_at: float, more: float) -> None:
    """The broker gives out what it said last, while the others have the rest of what it gave, and
    later what the next one brings: each waits as long as before all of it."""
    first, *others = order("aa", NOTHING)
    site = dict.fromkeys(others, died_at + more) | {first: died_at}
    for came in (0.0, 0.01, 0.04, 0.06, 0.3):
        later = {**site, others[0]: died_at + more + came}
        assert [rank("aa", each, later) for each in others[:29]] == list(range(1, 30))


def test_ranks_differ_though_each_station_knows_its_own_share_sooner_than_the_others() -> None:
    first, *others = order("aa", NOTHING)
    said = dict.fromkeys(NAMES, 0.3)
    ranks = [rank("aa", each, {**said, each: 0.45}) for each in others[:29]]
    assert ranks == list(range(1, 30))
    assert rank("aa", first, {**said, first: 0.45}) == 0


def test_one_that_comes_late_lets_the_one_that_fetches_go_on_soon() -> None:
    first, second = order("aa", NOTHING)[:2]
    site = {**dict.fromkeys(NAMES, 0.5), first: 0.0}
    assert rank("aa", second, site) == 1
    assert rank("aa", first, site) == LAST_RANK


def test_the_next_one_follows_a_fetcher_that_is_heard_of_no_more() -> None:
    first, second = order("aa", NOTHING)[:2]
    assert rank("aa", second, NOTHING) == 1
    left = {each: have for each, have in NOTHING.items() if each != first}
    assert rank("aa", second, left) == 0


def test_a_station_alone_waits_for_nobody() -> None:
    assert rank("aa", "cam1", {"cam1": 0.0}) == 0


def test_invented_stations_delay_nobody_for_longer_than_two_minutes() -> None:
    crowd = {f"ghost{number}": 0.0 for number in range(500)}
    ranks = [rank("aa", each, {**crowd, **NOTHING}) for each in NAMES]
    assert max(ranks) == LAST_RANK
    assert patience_s(max(ranks)) <= 122.0
