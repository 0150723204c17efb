"""A station follows a campaign by itself: in its wave, in its time, and never against a stop."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_daemon.core.desired import Answer
from edge_daemon.core.fleet.campaign import Campaign
from edge_daemon.core.fleet.heard import Opened, Paused, Stopped
from edge_daemon.core.fleet.report import Phase
from edge_daemon.core.fleet.station import (
    MOST_HEARD,
    MOST_TRIES,
    Memory,
    Station,
    accept,
    is_open,
    request_ids,
    step,
)
from edge_daemon.core.fleet.station import hear as hear_in
from edge_daemon.core.fleet.waves import wave_of
from edge_daemon.core.rollout.plan import read_plan
from edge_daemon.core.values import BundleRef, Status
from edge_daemon.core.verbs import Verb
from tests.sim.campaigns import START, campaign
from tests.sim.fleet import NEW, OLD, digest_of

CAMPAIGN = campaign(soak_s=[100.0, 100.0])
LATE = START + 1000.0


def ref(text: str) -> BundleRef:
    return BundleRef(*text.split("@"))


def station(wave: int = 1, **more: object) -> Station:
    """One of this wave that has both bundles and judges by the old one."""
    device = next(
        f"cam{number}" for number in range(1000) if wave_of(CAMPAIGN, f"cam{number}") == wave
    )
    usual = Station(device, ref(OLD), digest_of(OLD), stored=digest_of(NEW))
    return replace(usual, **more)  # type: ignore[arg-type]


def told(*messages: Opened | Paused | Stopped, made: Campaign = CAMPAIGN) -> Memory:
    memory, refusal = accept(Memory(), made, START)
    assert refusal == ""
    for message in messages:
        memory = hear_in(memory, message)
    return memory


def opened(wave: int) -> Opened:
    return Opened(CAMPAIGN.id, wave)


def stop(who: str = "ops", *, goes_back: bool = False) -> Stopped:
    return Stopped(CAMPAIGN.id, who, "it misses caps", goes_back)


def phase_of(memory: Memory, here: Station, now: float = LATE) -> tuple[Phase, bool]:
    """The phase, and whether a swap is asked for."""
    made = step(memory, here, now)
    assert made.campaign_status is not None
    return made.campaign_status.phase, made.ask is not None


def test_a_station_asks_once_its_wave_is_open_and_not_before() -> None:
    here = station(wave=1)
    assert phase_of(told(), here) == (Phase.HAVE, False)
    assert phase_of(told(opened(0)), here) == (Phase.HAVE, False)
    asked = step(told(opened(1)), here, LATE)
    assert asked.ask is not None
    assert (asked.ask.verb, asked.ask.model) == (Verb.SWAP, ref(NEW))
    assert asked.memory.from_sha256 == digest_of(OLD)


def test_whoever_opens_a_wave_before_it_has_soaked_is_not_followed_yet() -> None:
    memory = told(opened(2))
    assert phase_of(memory, station(wave=2), START + 199.0) == (Phase.HAVE, False)
    assert phase_of(memory, station(wave=1), START + 199.0) == (Phase.HAVE, False)
    assert phase_of(memory, station(wave=2), START + 200.0) == (Phase.WAITING, True)


def test_a_wave_that_the_campaign_does_not_have_opens_nothing() -> None:
    assert phase_of(told(opened(3), opened(15), opened(99)), station(wave=0)) == (
        Phase.HAVE,
        False,
    )


@pytest.mark.parametrize(
    ("change", "phase"),
    [
        ({"is_held": True}, Phase.HELD),
        ({"in_window": False}, Phase.WAITING),
        ({"is_fresh": False}, Phase.WAITING),
        ({"is_for_now": False}, Phase.WAITING),
        ({"is_busy": True}, Phase.WAITING),
        ({"stored": None}, Phase.FETCHING),
        ({"stored": digest_of("other")}, Phase.REFUSED),
        ({"bad": "it is in quarantine"}, Phase.REFUSED),
        ({"selected_sha256": digest_of("other")}, Phase.EXCLUDED),
        ({"selected": None, "selected_sha256": None}, Phase.EXCLUDED),
    ],
)
def test_what_keeps_a_station_from_asking(change: dict[str, object], phase: Phase) -> None:
    made = step(told(opened(2)), station(**change), LATE)
    assert made.ask is None
    assert made.campaign_status is not None
    assert made.campaign_status.phase is phase
    assert made.campaign_status.why


def test_a_pause_holds_it_until_the_same_one_ends_it() -> None:
    paused, over = Paused(CAMPAIGN.id, "ops", 1.0), Paused(CAMPAIGN.id, "ops", 2.0, is_on=False)
    others = Paused(CAMPAIGN.id, "andon", 3.0, is_on=False)
    assert phase_of(told(opened(2), paused, others), station()) == (Phase.WAITING, False)
    assert phase_of(told(opened(2), over, paused), station()) == (Phase.WAITING, True)


def test_a_stop_takes_the_station_back_to_having_it_and_is_final() -> None:
    for messages in permutations((opened(2), stop(), Paused(CAMPAIGN.id, "ops", 9.0, False))):
        assert phase_of(told(*messages), station()) == (Phase.HAVE, False)


def test_a_station_that_has_not_got_it_yet_says_that_it_is_stopped() -> None:
    made = step(told(stop()), station(stored=None), LATE)
    assert made.campaign_status is not None
    assert (made.campaign_status.why or "").startswith("stopped: ")


def test_nothing_is_asked_before_the_campaign_begins_or_after_it_expires() -> None:
    assert phase_of(told(opened(2)), station(0), START - 1.0) == (Phase.HAVE, False)
    assert phase_of(told(opened(2)), station(0), CAMPAIGN.expires) == (Phase.HAVE, False)


def test_the_swap_goes_its_way_to_confirmed() -> None:
    here = station()
    asked = step(told(opened(2)), here, LATE)
    id_, *_ = request_ids(asked.memory)
    assert phase_of(asked.memory, replace(here, answers={id_: Answer(None)})) == (
        Phase.TRIAL,
        False,
    )
    swapped = replace(
        here,
        selected=ref(NEW),
        selected_sha256=digest_of(NEW),
        is_on_trial=True,
        answers={id_: Answer(Status.SUCCEEDED)},
    )
    assert phase_of(asked.memory, swapped) == (Phase.TRIAL, False)
    assert phase_of(asked.memory, replace(swapped, is_on_trial=False)) == (Phase.CONFIRMED, False)


def test_a_version_that_fails_its_trial_is_rolled_back_and_not_asked_for_again() -> None:
    here = station()
    asked = step(told(opened(2)), here, LATE)
    id_, *_ = request_ids(asked.memory)
    back = replace(here, bad="it failed its trial", answers={id_: Answer(Status.SUCCEEDED)})
    made = step(asked.memory, back, LATE)
    assert made.campaign_status is not None
    assert (made.campaign_status.phase, made.campaign_status.why, made.ask) == (
        *(Phase.ROLLED_BACK, "it failed its trial", None),
    )
    lifted = replace(back, bad="")
    assert phase_of(made.memory, lifted) == (Phase.ROLLED_BACK, False)


@pytest.mark.parametrize("status", [Status.REJECTED, Status.FAILED, Status.EXPIRED])
def test_what_the_gate_refuses_is_refused(status: Status) -> None:
    asked = step(told(opened(2)), station(), LATE)
    id_, *_ = request_ids(asked.memory)
    here = station(answers={id_: Answer(status, "the gate says no")})
    assert phase_of(asked.memory, here) == (Phase.REFUSED, False)


def test_what_people_ask_for_stands() -> None:
    asked = step(told(opened(2)), station(), LATE)
    id_, *_ = request_ids(asked.memory)
    here = station(answers={id_: Answer(Status.SUPERSEDED)})
    assert phase_of(asked.memory, here) == (Phase.HELD, False)


def test_an_interrupted_swap_is_asked_for_again_a_few_times() -> None:
    memory, answers = told(opened(2)), {}
    ids = []
    for _ in range(2 * MOST_TRIES):
        made = step(memory, station(answers=answers), LATE)
        if made.ask is None:
            break
        memory = made.memory
        ids.append(made.ask.id)
        answers[made.ask.id] = Answer(Status.INTERRUPTED)
    assert len(set(ids)) == len(ids) == MOST_TRIES
    assert phase_of(memory, station(answers=answers)) == (Phase.REFUSED, False)


def test_a_restart_between_remembering_and_asking_asks_under_the_same_id() -> None:
    first = step(told(opened(2)), station(), LATE)
    again = step(first.memory, station(), LATE)
    assert first.ask == again.ask
    assert again.memory == first.memory


def test_only_what_the_campaign_brought_goes_back_when_it_is_stopped_so() -> None:
    has = {"selected": ref(NEW), "selected_sha256": digest_of(NEW)}
    memory = step(told(opened(2)), station(), LATE).memory
    assert step(hear_in(memory, stop()), station(**has), LATE).ask is None
    stopped = hear_in(memory, stop(goes_back=True))
    assert step(stopped, station(**has, is_held=True), LATE).ask is None
    back = step(stopped, station(**has), LATE)
    assert back.ask is not None
    assert back.ask.verb is Verb.ROLLBACK
    after = step(back.memory, station(answers={back.ask.id: Answer(Status.SUCCEEDED)}), LATE)
    assert after.ask is None
    assert after.campaign_status is not None
    assert after.campaign_status.phase is Phase.ROLLED_BACK
    by_hand = told(opened(2), stop(goes_back=True))
    assert step(by_hand, station(**has), LATE).ask is None


def test_with_a_plan_a_rollout_is_asked_for_and_a_stop_ends_it() -> None:
    """Whether those that have it go back or not: a candidate does not go on after the stop."""
    made = replace(CAMPAIGN, rollout=read_plan({"canary_traffic": 0.1}))
    asked = step(told(opened(2), made=made), station(), LATE)
    assert asked.ask is not None
    assert (asked.ask.verb, asked.ask.model) == (Verb.ROLLOUT, made.model)
    here = station(rollout="r-1", answers={asked.ask.id: Answer(None)})
    going = step(asked.memory, here, LATE)
    assert going.ask is None
    assert going.campaign_status is not None
    assert (going.campaign_status.phase, going.campaign_status.why) == (
        Phase.TRIAL,
        "its rollout is under way",
    )
    for goes_back in (False, True):
        ended = step(hear_in(asked.memory, stop(goes_back=goes_back)), here, LATE)
        assert ended.ask is not None
        assert (ended.ask.verb, ended.ask.rollout) == (Verb.ABORT, "r-1")
        answers = {**here.answers, ended.ask.id: Answer(Status.SUCCEEDED)}
        assert step(ended.memory, replace(here, answers=answers), LATE).ask is None
    over = {asked.ask.id: Answer(Status.SUPERSEDED)}
    stopped = hear_in(asked.memory, stop())
    assert phase_of(stopped, station(answers=over)) == (Phase.HELD, False)


def test_old_and_replayed_campaigns_are_refused_by_name() -> None:
    memory = told()
    for other, why in (
        (campaign(id="older", serial=117), "it is old"),
        (campaign(id="twin"), "has the same serial"),
        (campaign(serial=119), "was used"),
        (campaign(id="next", serial=120, expires=START + 5.0), "expired"),
    ):
        after, refusal = accept(memory, other, START + 10.0)
        assert why in refusal
        assert after == memory
    assert accept(memory, CAMPAIGN, LATE) == (memory, "")
    newer = campaign(id="next", serial=119)
    assert accept(memory, newer, LATE)[0].campaign == newer


def test_a_newer_campaign_does_not_inherit_what_was_opened_or_stopped_before() -> None:
    memory, _ = accept(told(opened(2), stop()), campaign(id="next", serial=119), START)
    here = Station("cam0", ref(OLD), digest_of(OLD), stored=digest_of(NEW))
    made = step(memory, here, LATE)
    assert made.campaign_status is not None
    assert (made.campaign_status.opened, made.campaign_status.stopped) == (-1, False)


def test_a_stranger_who_floods_ids_does_not_keep_the_stop_away() -> None:
    memory = told(opened(2))
    for number in range(2 * MOST_HEARD):
        memory = hear_in(memory, Opened(f"flood{number}", 0))
    assert len(memory.heard) <= MOST_HEARD
    assert phase_of(hear_in(memory, stop()), station()) == (Phase.HAVE, False)


def test_a_stop_that_comes_before_its_campaign_is_kept_however_many_there_were_before() -> None:
    """Messages of old campaigns are retained: they come again with each connection."""
    memory = told(opened(2))
    for number in range(2 * MOST_HEARD):
        memory = hear_in(memory, Opened(f"2025-{number}", 0))
    memory = hear_in(memory, Stopped("next", "ops", "why"))
    memory, _ = accept(memory, campaign(id="next", serial=120, soak_s=[100.0, 100.0]), START)
    assert memory.heard_of_campaign.is_stopped


MESSAGES = st.one_of(
    st.builds(opened, st.integers(-1, 20)),
    st.builds(
        Paused,
        st.just(CAMPAIGN.id),
        st.sampled_from(("ops", "evaluator", "andon", "stranger")),
        st.floats(0, 10),
        st.booleans(),
    ),
    st.builds(
        Stopped,
        st.just(CAMPAIGN.id),
        st.sampled_from([f"who{number}" for number in range(20)]),
        st.text(max_size=4),
        st.booleans(),
    ),
)


@settings(max_examples=60)
@given(st.lists(MESSAGES, max_size=20), st.randoms(use_true_random=False), st.data())
def test_any_order_and_any_duplicates_give_the_same(given_: list, chance, data) -> None:  # type: ignore[no-untyped-def, type-arg]
    first = told(*given_)
    again = [
        *given_,
        *data.draw(st.lists(st.sampled_from(given_), max_size=10) if given_ else st.just([])),
    ]
    chance.shuffle(again)
    cut = chance.randint(0, len(again))
    before = Memory()
    for message in again[:cut]:
        before = hear_in(before, message)
    memory, _ = accept(before, CAMPAIGN, START)
    for message in again[cut:]:
        memory = hear_in(memory, message)
    assert memory == first


EVENTS = ("open0", "open1", "stop", "hold", "window", "swap", "confirm", "fail", "later", "again")


def test_no_order_of_events_opens_early_or_loses_a_stop() -> None:
    """Every state that eight events can lead to, each once, with a ledger of its own beside it."""
    start = (told(), station(wave=1), START + 50.0, frozenset[str]())
    seen, todo, asks = set(), [(start, 0)], 0
    while todo:
        (memory, here, now, known), depth = todo.pop()
        made = step(memory, here, now)
        if made.ask is not None and made.ask.verb is Verb.SWAP:
            asks += 1
            assert "open1" in known
            assert "stop" not in known
            assert now >= START + 100.0
            assert here.in_window
            assert not here.is_held
        if depth == 8:
            continue
        for event in EVENTS:
            after = _after(event, (made.memory, here, now, known))
            key = repr((after, depth))
            if key not in seen:
                seen.add(key)
                todo.append((after, depth + 1))
    assert asks > 50


def _after(  # noqa: PLR0911 - a table of events
    event: str, world: tuple[Memory, Station, float, frozenset[str]]
) -> tuple[Memory, Station, float, frozenset[str]]:
    memory, here, now, known = world
    ids = request_ids(memory)
    if event in ("open0", "open1"):
        return hear_in(memory, opened(int(event[-1]))), here, now, known | {event}
    if event == "stop":
        return hear_in(memory, stop()), here, now, known | {event}
    if event == "hold":
        return memory, replace(here, is_held=not here.is_held), now, known
    if event == "window":
        return memory, replace(here, in_window=not here.in_window), now, known
    if event == "later":
        return memory, here, now + 100.0, known
    if event == "again":
        return accept(memory, CAMPAIGN, now)[0], here, now, known
    if not ids:
        return world
    if event == "swap":
        has = {"selected": ref(NEW), "selected_sha256": digest_of(NEW), "is_on_trial": True}
        answers = {ids[0]: Answer(Status.SUCCEEDED)}
        return memory, replace(here, **has, answers=answers), now, known  # type: ignore[arg-type]
    if event == "confirm":
        return memory, replace(here, is_on_trial=False), now, known
    was = {"selected": ref(OLD), "selected_sha256": digest_of(OLD), "is_on_trial": False}
    return memory, replace(here, **was, bad="it failed"), now, known  # type: ignore[arg-type]


def test_windows_over_midnight_and_between_orders() -> None:
    night = ("22:00-05:00",)
    found = [is_open(night, minute, is_between_orders=False) for minute in (0, 299, 300, 1320)]
    assert found == [True, True, False, True]
    assert is_open((), 700, is_between_orders=False)
    assert is_open(("between_orders",), 700, is_between_orders=True)
    assert not is_open(("between_orders", *night), 700, is_between_orders=False)
