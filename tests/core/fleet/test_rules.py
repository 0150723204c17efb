"""What opens the next wave and what stops a campaign: never silence, never a missing report."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_daemon.core.fleet.campaign import Campaign
from edge_daemon.core.fleet.heard import Heard, Opened, Paused, Stopped, hear
from edge_daemon.core.fleet.report import Measures, Phase
from edge_daemon.core.fleet.rules import CampaignReport, Halt, Open, Roster, Wait, counts_of, judge
from edge_daemon.core.fleet.simulated import Truth, run
from edge_daemon.core.rollout.betting import Counts
from tests.sim.campaigns import START, campaign

FLEET = tuple(f"station-{number:04}" for number in range(2000))
SMALL = tuple(f"cam{number}" for number in range(40))
NOW = START + 1.0


def opened(made: Campaign, wave: int) -> Heard:
    return hear(Heard(), Opened(made.id, wave))


def measuring(measures: Measures, phase: Phase = Phase.CONFIRMED) -> CampaignReport:
    return CampaignReport(phase, measures=measures)


def all_said(roster: Roster, wave: int, word: CampaignReport) -> dict[str, CampaignReport]:
    return dict.fromkeys(roster.up_to(wave), word)


GOOD = CampaignReport(Phase.CONFIRMED)


def test_the_first_wave_opens_by_itself_and_the_next_when_all_have_answered() -> None:
    made = campaign(canaries=["cam1"])
    roster = Roster.of(made, SMALL)
    first = judge(roster, {}, Heard(), NOW)
    assert isinstance(first, Open)
    assert first.wave == 0
    words = all_said(roster, 0, GOOD)
    then = judge(roster, words, opened(made, 0), NOW)
    assert isinstance(then, Open)
    assert then.wave == 1
    assert then.because == {"answered": len(words), "of": len(words), "bad": 0, "slices": {}}
    done = judge(roster, all_said(roster, 2, GOOD), opened(made, 2), NOW)
    assert isinstance(done, Wait)
    assert done.is_done


@pytest.mark.parametrize("phase", [None, Phase.FETCHING, Phase.HAVE, Phase.WAITING, Phase.TRIAL])
def test_a_station_that_has_not_answered_keeps_the_next_wave_shut(phase: Phase | None) -> None:
    made = campaign(canaries=["cam1", "cam2"])
    roster = Roster.of(made, SMALL)
    for words in (
        {**all_said(roster, 0, GOOD), "cam1": CampaignReport(phase)},
        {name: word for name, word in all_said(roster, 0, GOOD).items() if name != "cam1"},
    ):
        verdict = judge(roster, words, opened(made, 0), NOW)
        assert isinstance(verdict, Wait)
        assert "cam1" in verdict.why


def test_a_wave_without_a_station_opens_nothing() -> None:
    made = campaign(waves=[1e-9, 1.0])
    verdict = judge(Roster.of(made, SMALL), {}, opened(made, 0), NOW)
    assert isinstance(verdict, Wait)
    assert "no station is in it" in verdict.why


@pytest.mark.parametrize("phase", [Phase.HELD, Phase.EXCLUDED, Phase.REFUSED])
def test_without_one_that_confirmed_it_there_is_no_evidence(phase: Phase) -> None:
    made = campaign(canaries=["cam1"], waves=[1e-9, 1.0])
    roster = Roster.of(made, SMALL)
    assert isinstance(judge(roster, {"cam1": CampaignReport(phase)}, opened(made, 0), NOW), Wait)


def test_failures_and_silence_stop_it_with_names() -> None:
    made = campaign(canaries=list(SMALL[:10]), waves=[1e-9, 1.0])
    roster = Roster.of(made, SMALL)
    good = all_said(roster, 0, GOOD)
    bad, gone = CampaignReport(Phase.ROLLED_BACK), CampaignReport(Phase.WAITING, quiet_s=61.0)
    one = judge(roster, {**good, "cam3": bad}, opened(made, 0), NOW)
    assert isinstance(one, Open)
    two = judge(roster, {**good, "cam3": bad, "cam5": bad}, opened(made, 0), NOW)
    assert isinstance(two, Halt)
    assert "cam3, cam5" in two.why
    assert isinstance(judge(roster, {**good, "cam3": gone}, opened(made, 0), NOW), Open)
    silent = judge(roster, {**good, "cam3": gone, "cam5": gone}, opened(made, 0), NOW)
    assert isinstance(silent, Halt)
    assert "silent" in silent.why
    mixed = {**good, "cam3": gone, "cam5": bad}
    assert isinstance(judge(roster, mixed, opened(made, 0), NOW), Open)


def test_frames_without_a_verdict_and_slow_judging_stop_it_and_are_needed_to_go_on() -> None:
    rules = {"uninspected": 0.01, "slower": 1.2}
    made = campaign(canaries=["cam1"], waves=[1e-9, 1.0], rules=rules)
    roster, heard = Roster.of(made, SMALL), opened(made, 0)
    known = Measures(frames=2000, uninspected=3, before_ms=20.0, after_ms=21.0)
    first = judge(roster, {"cam1": measuring(known)}, heard, NOW)
    assert isinstance(first, Open)
    for told, kind, why in (
        (Measures(), Wait, "stations told of 0 frames so far"),
        (replace(known, frames=900), Wait, "stations told of 900 frames so far"),
        (replace(known, after_ms=None), Wait, "no station told how long"),
        (replace(known, uninspected=40), Halt, "2.0 % of 2000 frames have no verdict"),
        (replace(known, after_ms=30.0), Halt, "1.50 times as long"),
    ):
        verdict = judge(roster, {"cam1": measuring(told)}, heard, NOW)
        assert isinstance(verdict, kind)
        assert why in verdict.why


def test_a_stop_that_only_the_stations_know_still_is_said_again() -> None:
    made = campaign(canaries=["cam1"], waves=[1e-9, 1.0])
    for goes_back in (False, True):
        word = replace(GOOD, is_stopped=True, goes_back=goes_back)
        verdict = judge(Roster.of(made, SMALL), {"cam1": word}, Heard(), NOW)
        assert isinstance(verdict, Halt)
        assert verdict.goes_back is goes_back, "as it was said"


def test_a_pause_and_the_soaking_keep_the_next_wave_shut_but_stop_nothing_less() -> None:
    made = campaign(canaries=["cam1", "cam2"], waves=[1e-9, 1.0], soak_s=[600.0])
    roster, heard = Roster.of(made, SMALL), opened(made, 0)
    paused = hear(heard, Paused(made.id, "ops", 1.0))
    good, bad = all_said(roster, 0, GOOD), all_said(roster, 0, CampaignReport(Phase.REFUSED))
    assert isinstance(judge(roster, good, heard, NOW), Wait)
    assert isinstance(judge(roster, good, paused, START + 700.0), Wait)
    assert isinstance(judge(roster, good, heard, START + 700.0), Open)
    assert isinstance(judge(roster, bad, paused, NOW), Halt)


def test_a_report_that_cannot_be_is_no_evidence() -> None:
    told = [
        Measures({"low_light": counts})
        for counts in (
            {"n": 10, "old": 20, "new": 10},
            {"n": 10, "old": 10, "new": 10, "only_new": -50},
            {"n": 100, "old": 90, "new": 80},
        )
    ]
    assert counts_of("low_light", told, for_stop=True) == Counts(20, 70, 10)
    assert counts_of("other", told, for_stop=True) == Counts()


def test_two_of_a_group_are_never_opened_together_though_no_campaign_names_it() -> None:
    """By the stations' own settings; in two waves, one after the other, they may be."""
    made = campaign(canaries=["cam1", "cam2"], waves=[1e-9, 1.0])
    roster = Roster.of(made, SMALL)
    line3 = CampaignReport(None, group="line3")
    first = judge(roster, {"cam1": line3, "cam2": line3}, Heard(), NOW)
    assert isinstance(first, Wait)
    assert "wave 0 has 2 stations of the group line3: cam1, cam2" in first.why
    assert isinstance(judge(roster, {"cam1": line3, "cam5": line3}, Heard(), NOW), Open)
    done = dict.fromkeys(roster.up_to(0), replace(GOOD, group="line3"))
    apart = {**done, "cam2": GOOD, "cam5": line3}
    assert isinstance(judge(roster, apart, opened(made, 0), NOW), Open)
    both = judge(roster, {**apart, "cam6": line3}, opened(made, 0), NOW)
    assert isinstance(both, Wait)
    assert "cam5, cam6" in both.why


def test_golden_images_count_once_however_many_stations_have_them() -> None:
    """Twenty stations see the same twenty images: that is no more than one station knows."""
    seen = {"low_light": {"n": 20, "old": 20, "new": 19}}
    worse = {"low_light": {"n": 20, "old": 20, "new": 17}}
    live = {"low_light": {"n": 50, "old": 48, "new": 49}}
    told = [*[Measures(golden=seen)] * 20, Measures(live, worse), Measures(live)]
    both = Counts(2 * 1 + 3, 2 * 47 + 17, 2 * 2)
    assert counts_of("low_light", told, for_stop=True) == both


def test_what_nobody_looked_at_neither_stops_nor_opens() -> None:
    """Only the old model rejects 60 parts of which nobody said what they are."""
    counts = {"n": 4000, "old": 3990, "new": 3990, "only_old": 0, "only_new": 0}
    made = campaign(canaries=["cam1"], waves=[1e-9, 1.0], rules={"slices": {"low_light": 0.03}})
    roster, heard = Roster.of(made, SMALL), opened(made, 0)
    for change, kind in (
        ({}, Open),
        ({"only_old": 300}, Wait),
        ({"new": 3900}, Halt),
        ({"new": 3900, "only_new": 300}, Wait),
    ):
        word = measuring(Measures({"low_light": {**counts, **change}}))
        assert isinstance(judge(roster, {"cam1": word}, heard, NOW), kind), change


def test_a_rule_without_figures_opens_nothing_and_says_what_is_missing() -> None:
    made = campaign(canaries=["cam1"], waves=[1e-9, 1.0], rules={"slices": {"low_light": 0.03}})
    roster, heard = Roster.of(made, SMALL), opened(made, 0)
    other = Measures({"daylight": {"n": 5000, "old": 5000, "new": 5000}})
    for told in (Measures(), other):
        verdict = judge(roster, {"cam1": measuring(told)}, heard, NOW)
        assert isinstance(verdict, Wait)
        assert verdict.why == "no station told what both models find in low_light"
    few = Measures({"low_light": {"n": 50, "old": 50, "new": 50}})
    verdict = judge(roster, {"cam1": measuring(few)}, heard, NOW)
    assert isinstance(verdict, Wait)
    assert "after 50 objects" in verdict.why


# --------------------------------------------------------------------------- all small fleets


def test_no_state_of_a_small_fleet_opens_early() -> None:
    """Every combination of three stations' words and of what was heard."""
    made = campaign(canaries=["a", "b"], waves=[1e-9, 0.999999, 1.0])
    roster = Roster.of(made, ("a", "b", "c"))
    phases = (None, Phase.WAITING, Phase.TRIAL, Phase.CONFIRMED, Phase.ROLLED_BACK, Phase.HELD)
    answers = [CampaignReport(p, quiet_s=q) for p in phases for q in (0.0, 61.0)]
    heards = [
        hear(Heard(), each)
        for each in (Opened(made.id, 0), Opened(made.id, 1), Stopped(made.id, "x"))
    ]
    seen = 0
    for heard in (Heard(), *heards):
        wave = heard.open_wave(made, NOW)
        names = roster.up_to(wave)
        for words in product((*answers, "none"), repeat=3):
            said = {
                n: w for n, w in zip("abc", words, strict=True) if isinstance(w, CampaignReport)
            }
            verdict = judge(roster, said, heard, NOW)
            if not isinstance(verdict, Open):
                continue
            seen += 1
            assert not heard.is_stopped
            assert verdict.wave == wave + 1
            if wave < 0:
                continue
            assert all(name in said for name in names)
            open_ones = [n for n in names if said[n].phase in (*phases[:3],)]
            assert all(said[name].quiet_s > 60.0 for name in open_ones)
            assert len(open_ones) <= 1
            assert any(said[name].phase is Phase.CONFIRMED for name in names)
    assert seen > 0


@settings(max_examples=100)
@given(st.dictionaries(st.sampled_from(SMALL), st.sampled_from([*Phase, None])), st.data())
def test_a_report_less_never_opens_and_the_order_does_not_count(
    phases: dict[str, Phase | None], data: st.DataObject
) -> None:
    made = campaign(canaries=list(SMALL[:5]))
    roster, heard = Roster.of(made, SMALL), opened(made, 0)
    words = {name: CampaignReport(phase) for name, phase in phases.items()}
    verdict = judge(roster, words, heard, NOW)
    turned = dict(reversed(words.items()))
    assert judge(roster, turned, heard, NOW) == verdict
    if words:
        lost = data.draw(st.sampled_from(sorted(words)))
        fewer = {name: word for name, word in words.items() if name != lost}
        if isinstance(judge(roster, fewer, heard, NOW), Open) and not isinstance(verdict, Halt):
            assert isinstance(verdict, Open)


# --------------------------------------------------------------------------- whole campaigns

SLICED = campaign(
    id="statistics",
    canaries=list(SMALL[:20]),
    waves=[1e-9, 1.0],
    rules={"patience_s": 1e5, "slices": {"low_light": 0.03}},
)


def thousand(truth: Truth, seed: int) -> tuple[int, int]:
    """Of 1,000 campaigns: how many were stopped, and how many opened a second wave."""
    chance = random.Random(seed)
    outcomes = [run(SLICED, SMALL[:20], truth, chance) for _ in range(1000)]
    return sum(bool(o.stopped) for o in outcomes), sum(o.opened > 0 for o in outcomes)


def test_a_thousand_equal_models_are_never_stopped() -> None:
    assert thousand(Truth(), 1) == (0, 1000)


def test_a_thousand_models_that_lose_seven_points_never_leave_the_first_wave() -> None:
    assert thousand(Truth(only_old=0.08, only_new=0.01), 2) == (1000, 0)


def test_the_mean_of_the_stations_shares_would_have_let_seven_points_pass() -> None:
    """Why counts are added up: a quiet station's three good objects weigh as much as 300."""
    loud = measuring(Measures({"low_light": {"n": 3000, "old": 2900, "new": 2690}}))
    quiet = measuring(Measures({"low_light": {"n": 3, "old": 3, "new": 3}}))
    words = {"cam0": loud, **dict.fromkeys(SMALL[1:20], quiet)}
    shares = [
        (each["old"] - each["new"]) / each["n"]
        for each in (word.measures.counts["low_light"] for word in words.values())
    ]
    assert sum(shares) / len(shares) < 0.03
    verdict = judge(Roster.of(SLICED, SMALL[:20]), words, opened(SLICED, 0), NOW)
    assert isinstance(verdict, Halt)
    assert "recall[low_light]" in verdict.why


def test_a_model_that_fails_at_a_third_of_the_stations_does_not_leave_the_first_wave() -> None:
    made = campaign(waves=[0.01, 0.1, 0.5, 1.0])
    for seed in range(3):
        outcome = run(made, FLEET, Truth(failing=1 / 3), random.Random(seed))
        assert outcome.stopped
        assert outcome.opened == 0
        assert outcome.had <= 20 + 3 * 20**0.5


def test_silence_of_a_twentieth_stops_it_and_of_few_does_not() -> None:
    made = campaign(waves=[0.1, 1.0])
    silent = run(made, FLEET, Truth(silent=0.05), random.Random(1))
    assert "silent" in silent.stopped
    assert silent.opened == 0
    assert run(made, FLEET, Truth(silent=0.005), random.Random(1)).is_done


def test_heard_stations_as_the_denominator_would_open_at_half_of_the_fleet() -> None:
    """Why there is an inventory: a broker that kept 1,020 of 2,000 reports looks complete."""
    made = campaign(waves=[0.5, 1.0])
    whole = Roster.of(made, FLEET)
    words = dict.fromkeys(FLEET[:1020], GOOD)
    assert isinstance(judge(whole, words, opened(made, 0), NOW), Wait)
    heard_only = Roster.of(made, tuple(words))
    assert isinstance(judge(heard_only, words, opened(made, 0), NOW), Open)
