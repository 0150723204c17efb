"""Evaluators may be several and may die anywhere: nothing opens early, and no stop is lost."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

from edge_daemon.core.fleet.campaign import Campaign, canonical, digest
from edge_daemon.core.fleet.ledger import StationMessages, groups, make_ledger
from edge_daemon.core.fleet.report import CampaignStatus, Phase
from edge_daemon.core.fleet.rules import Halt, Open, Wait
from edge_daemon.core.fleet.waves import wave_of
from edge_daemon.fleet import messages
from edge_daemon.fleet.evaluator import Evaluation, Evaluator, Hearing, Reports, device_at, sentence
from edge_daemon.messaging import fleet_payloads
from edge_daemon.messaging.fleet_payloads import read_report
from edge_daemon.models.countersigned import sign
from edge_daemon.models.trust import generate_keypair
from tests.sim.campaign_fleet import Fleet, Member
from tests.sim.campaigns import START, campaign
from tests.sim.fleet import NEW, said

NAMES = [f"cam{number}" for number in range(40)]
MADE = campaign(canaries=["cam1", "cam2"], rules={"patience_s": 30.0})


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate_keypair(tmp_path_factory.mktemp("keys"), "ops")[0]


def in_groups(key: Path, **more: object) -> Fleet:
    """Three lines with two stations each, which say so themselves."""
    made = campaign(id="lines", waves=[1e-9, 1.0], canaries=["line0-cam0"], **more)
    members = {
        f"line{line}-cam{cam}": Member(f"line{line}-cam{cam}", group=f"line{line}")
        for line in range(3)
        for cam in range(2)
    }
    return Fleet(made, sign(canonical(made), messages.KIND, key), members, random.Random(1), START)


def fleet(key: Path, seed: int, *, bad: float = 0.0, mute: int = 0, kill: float = 0.0) -> Fleet:
    chance = random.Random(seed)
    members = {
        name: Member(name, fails=chance.random() < bad, mute=place < mute)
        for place, name in enumerate(NAMES)
    }
    envelope = sign(canonical(MADE), messages.KIND, key)
    return Fleet(MADE, envelope, members, chance, START, kill)


def test_a_good_bundle_reaches_all_in_waves(key: Path) -> None:
    world = fleet(key, 1)
    for _ in range(20):
        world.turn()
    assert all(member.model == NEW for member in world.members.values())
    assert {topic for topic in world.kept if "/open/" in topic} == {
        messages.open_topic(MADE.id, wave) for wave in range(3)
    }
    assert world.early == []


@pytest.mark.parametrize("seed", range(4))
def test_evaluators_that_are_killed_and_a_broker_that_forgets_change_the_time_only(
    key: Path, seed: int
) -> None:
    world = fleet(key, seed, kill=0.6)
    for turn in range(45):
        if turn in (4, 9, 20):
            world.forget()
            if turn == 4:  # nobody may be left who knows it: the same file is started again
                world.kept[messages.campaign_topic(MADE.id)] = world.envelope
        world.kept.setdefault(messages.campaign_topic(MADE.id), world.envelope)
        world.turn()
    assert world.kills > 2
    assert all(member.model == NEW for member in world.members.values())
    assert world.early == []
    assert not world.ever_stopped


@pytest.mark.parametrize("seed", range(4))
def test_a_bad_bundle_is_stopped_and_the_stop_outlives_the_broker(key: Path, seed: int) -> None:
    world = fleet(key, seed, kill=0.3)
    for name in ("cam1", "cam2"):
        world.members[name].fails = True
    for turn in range(40):
        if turn == 15:
            assert world.ever_stopped
            world.forget()
            world.kept[messages.campaign_topic(MADE.id)] = world.envelope
        world.turn()
    first = world.had()
    assert first <= 2 + 8
    assert world.after_stop == []
    assert any("/stop/" in topic for topic in world.kept)


def test_silent_stations_stop_it_after_their_patience(key: Path) -> None:
    world = fleet(key, 3, mute=3)  # two of them are the canaries
    for _ in range(29):
        world.turn()
    assert not world.ever_stopped
    for _ in range(10):
        world.turn()
    assert world.ever_stopped
    assert world.had() <= 10


def test_a_station_that_speaks_in_anothers_name_is_not_heard() -> None:
    status = CampaignStatus(MADE.id, MADE.serial, Phase.CONFIRMED)
    body = fleet_payloads.report(said("cam1", campaign_status=status))
    reports = Reports(device_at)
    reports.take("edge/liar/fleet", body, 0.0)
    assert reports.words(MADE, 1.0) == {}
    reports.take("edge/cam1/fleet", b"\xff", 0.0)
    reports.take("edge/cam1/fleet", body, 0.0)
    assert reports.words(MADE, 1.0)["cam1"].phase is Phase.CONFIRMED


def test_a_report_that_comes_twice_is_no_sign_of_life() -> None:
    reports = Reports(device_at)
    body = fleet_payloads.report(said("cam1"))
    for at in (0.0, 50.0):
        reports.take("edge/cam1/fleet", body, at)
    assert reports.words(MADE, 60.0)["cam1"].quiet_s == 60.0
    reports.take("edge/cam1/fleet", fleet_payloads.report(said("cam1", seq=1)), 55.0)
    reports.take("edge/cam1/fleet", body, 58.0)  # an old one, after it
    assert reports.words(MADE, 60.0)["cam1"].quiet_s == 5.0


def test_a_broker_that_was_away_made_no_station_silent() -> None:
    """Patience begins anew with the connection, also for a station that never reported."""
    connected = [0.0]
    reports = Reports(device_at, lambda: connected[-1])
    for name in NAMES:
        reports.take(f"edge/{name}/fleet", fleet_payloads.report(said(name)), 0.0)

    def quiet_s(now: float) -> set[float]:
        return {word.quiet_s for word in reports.words(MADE, now).values()}

    assert quiet_s(60.0) == {60.0}
    connected.append(math.inf)
    assert quiet_s(70.0) == {0.0}
    connected.append(75.0)
    assert [quiet_s(75.0), quiet_s(90.0)] == [{0.0}, {15.0}]


def test_a_campaign_goes_on_after_the_broker_was_away(key: Path) -> None:
    """For longer than its patience, and the stations have not come back yet."""
    world = fleet(key, 3)
    while messages.open_topic(MADE.id, 0) not in world.kept:
        world.turn()
    reports, back_at = world.seen[0], world.utc + 2 * MADE.rules.patience_s
    verdicts = []
    for since in (back_at, -math.inf):
        reports.since = lambda since=since: since
        told = world.evaluators[0].look(world.kept, reports, back_at, back_at)
        assert told is not None
        verdicts.append(told.verdict)
    assert isinstance(verdicts[0], Wait)
    assert isinstance(verdicts[1], Halt), "else they are silent"


def test_words_of_another_campaign_are_no_answer() -> None:
    reports = Reports(device_at)
    for serial, name in ((117, MADE.id), (118, "other")):
        body = fleet_payloads.report(
            said("cam1", campaign_status=CampaignStatus(name, serial, Phase.CONFIRMED))
        )
        reports.take("edge/cam1/fleet", body, 0.0)
        assert reports.words(MADE, 1.0)["cam1"].phase is None


def test_only_the_newest_campaign_is_looked_at_and_forged_ones_are_not(key: Path) -> None:
    spoken: list[str] = []
    newer: Campaign = campaign(id="next", serial=119)
    kept = {
        messages.campaign_topic(each.id): sign(canonical(each), messages.KIND, key)
        for each in (MADE, newer)
    }
    kept["fleet/forged/campaign"] = b"{}"
    evaluator = Evaluator(NAMES, None, "a", lambda topic, _: spoken.append(topic))
    told = evaluator.look(kept, Reports(device_at), 0.0, START + 1.0)
    assert told is not None
    assert told.campaign == newer
    assert spoken == [messages.open_topic("next", 0)]
    assert list(evaluator.refused) == ["fleet/forged/campaign"]


def test_a_verdict_is_said_in_words() -> None:
    verdicts = (
        (Open(1, {}), "wave 1 opens."),
        (Halt("no", False), "stopped: no."),
        (Wait("later"), "later."),
    )
    for verdict, words in verdicts:
        assert sentence(Evaluation(MADE, verdict)) == f"{MADE.id}: {words}"


def test_a_campaign_that_is_not_current_cannot_divert_it(key: Path) -> None:
    """Whoever may write there says a larger serial; what the metadata does not list is left out."""
    stranger = campaign(id="stranger", serial=500)
    kept = {
        messages.campaign_topic(each.id): sign(canonical(each), messages.KIND, key)
        for each in (MADE, stranger)
    }
    listed = {MADE.id: digest(MADE)}

    def why_not(name: str, sha256: str) -> str:
        return "" if listed.get(name) == sha256 else "it is none of the campaigns that are current"

    evaluator = Evaluator(NAMES, None, "a", lambda *_: None, why_not)
    told = evaluator.look(kept, Reports(device_at), 0.0, START)
    assert told is not None
    assert told.campaign == MADE
    assert list(evaluator.refused) == [messages.campaign_topic(stranger.id)]
    listed.clear()  # it expired: a campaign that is known is judged on, so that it may be stopped
    told = evaluator.look(kept, Reports(device_at), 1.0, START)
    assert told is not None
    assert told.campaign == MADE
    listed[stranger.id] = digest(stranger)
    told = evaluator.look(kept, Reports(device_at), 2.0, START)
    assert told is not None
    assert told.campaign == stranger
    assert not evaluator.refused


def test_stations_of_one_group_change_in_waves_apart(key: Path) -> None:
    """By their own settings: a wave with two of them is shut until a campaign knows the groups."""
    world = in_groups(key)
    for _ in range(20):
        world.turn()
    assert world.had() == 1
    words = [
        StationMessages(t.removesuffix("/fleet"), read_report(b)) for t, b in world.reports.items()
    ]
    reported = {name: list(found) for name, found in groups(make_ledger(words, START)).items()}
    assert reported["line1"] == ["line1-cam0", "line1-cam1"]
    world = in_groups(key, groups=reported)
    opened_at: dict[str, int] = {}
    for turn in range(20):
        world.turn()
        for name, member in world.members.items():
            if member.model == NEW:
                opened_at.setdefault(name, turn)
    assert len(opened_at) == 6
    for line in range(3):
        assert opened_at[f"line{line}-cam0"] != opened_at[f"line{line}-cam1"]


SOAKED = {"waves": [0.2, 1.0], "soak_s": [30.0], "canaries": ["cam1", "cam2"]}


@pytest.mark.parametrize("ahead_s", [3600.0, -3600.0, -START], ids=["ahead", "behind", "1970"])
def test_a_station_whose_clock_is_wrong_delays_the_campaign_and_rushes_nothing(
    key: Path, ahead_s: float
) -> None:
    """A canary: nobody after it begins before it has answered; its clock counts nowhere else."""
    made = campaign(id="clocks", **SOAKED)
    envelope = sign(canonical(made), messages.KIND, key)
    members = {name: Member(name) for name in NAMES}
    members["cam1"].ahead_s = ahead_s
    world = Fleet(made, envelope, members, random.Random(1), START)
    for _ in range(29):
        world.turn()
    first = {name for name in NAMES if wave_of(made, name) == 0}
    assert {name for name, member in members.items() if member.asked_at} == (
        first if ahead_s > 0 else first - {"cam1"}
    )
    for _ in range(15):
        world.turn()
    assert (world.had() == len(NAMES)) is (ahead_s > 0)
    members["cam1"].ahead_s = 0.0
    for _ in range(15):
        world.turn()
    assert world.had() == len(NAMES)
    assert (world.early, world.ever_stopped) == ([], False)


@pytest.mark.parametrize("ahead_s", [3600.0, -3600.0, -START], ids=["ahead", "behind", "1970"])
def test_an_evaluator_whose_clock_is_wrong_opens_nothing_that_stations_follow_early(
    key: Path, ahead_s: float
) -> None:
    """The soak time is signed, and each station waits for it by its own clock."""
    made = campaign(id="clocks", **SOAKED)
    envelope = sign(canonical(made), messages.KIND, key)
    members = {name: Member(name) for name in NAMES}
    world = Fleet(made, envelope, members, random.Random(1), START)
    world.evaluators_ahead_s = ahead_s
    second = {name for name in NAMES if wave_of(made, name) == 1}
    for _ in range(30):
        world.turn()
    assert not any(members[name].asked_at for name in second)
    for _ in range(15):
        world.turn()
    assert (world.had() == len(NAMES)) is (ahead_s > 0)
    world.evaluators_ahead_s = 0.0
    for _ in range(20):
        world.turn()
    assert world.had() == len(NAMES)
    assert world.ever_stopped is False


def test_a_campaign_of_which_nobody_heard_is_neither_opened_nor_stopped(key: Path) -> None:
    """Openings and stops of a campaign that is not there: whoever said them, nothing follows."""
    world = fleet(key, 1)
    del world.kept[messages.campaign_topic(MADE.id)]
    world.kept[messages.open_topic("unknown", 0)] = messages.opened("stranger", START, {})
    world.kept[messages.stop_topic("unknown", "ops")] = messages.stopped(START, "x", goes_back=True)
    for _ in range(5):
        world.turn()
    assert world.had() == 0
    world.kept[messages.campaign_topic(MADE.id)] = world.envelope
    for _ in range(20):
        world.turn()
    assert world.had() == len(NAMES)


def test_a_broker_that_does_not_work_makes_no_station_silent() -> None:
    """It keeps the connection and grants nothing: what nobody could hear is no silence."""
    hearing = Hearing(lambda: 0.0)
    reports = Reports(device_at, hearing.since, hearing.until)
    assert not hearing.is_sure
    for began_at in (10.0, 20.0):
        hearing.granted(began_at)
    assert (hearing.is_sure, reports.quiet_s(12.0, 100.0)) == (True, 8.0)
    hearing.refused()
    assert not hearing.is_sure
    hearing.granted(30.0)  # one node of a cluster is down: it refuses now and then
    assert (hearing.is_sure, reports.quiet_s(12.0, 100.0)) == (True, 18.0)
    hearing.refused()
    hearing.refused()
    assert reports.quiet_s(12.0, 100.0) == 18.0
    hearing.granted(90.0)
    hearing.granted(95.0)
    assert (hearing.is_sure, reports.quiet_s(12.0, 100.0)) == (True, 5.0)


def test_a_wave_that_the_broker_does_not_take_is_told_so(key: Path) -> None:
    """As with the certificate of somebody who only looks."""
    evaluator = Evaluator(NAMES, None, "a", lambda *_: "Not authorized")
    kept = {messages.campaign_topic(MADE.id): sign(canonical(MADE), messages.KIND, key)}
    told = evaluator.look(kept, Reports(device_at), 0.0, START + 10.0)
    assert told is not None
    assert isinstance(told.verdict, Open)
    assert sentence(told).endswith("wave 0 opens, but the broker does not take it: Not authorized.")
