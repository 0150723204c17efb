"""How campaigns stand, for the page: it shows what an evaluator would do, and does nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge_daemon.core.fleet.campaign import Campaign, canonical
from edge_daemon.core.fleet.report import CampaignStatus, Phase
from edge_daemon.core.fleet.waves import members
from edge_daemon.errors import SenderError
from edge_daemon.fleet import messages
from edge_daemon.fleet.campaign_view import CampaignsView
from edge_daemon.fleet.evaluator import Reports, device_at
from edge_daemon.fleet.saying import stop_of
from edge_daemon.messaging import fleet_payloads
from edge_daemon.models.countersigned import Signers, sign
from edge_daemon.models.trust import generate_keypair
from tests.sim.campaigns import START, campaign
from tests.sim.fleet import NEW, said

NAMES = tuple(f"cam{number:02}" for number in range(40))
MADE = campaign(canaries=["cam01", "cam02"], waves=[1e-9, 0.5, 1.0], soak_s=[30.0, 0.0])
WAVES = members(MADE, NAMES)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return generate_keypair(tmp_path_factory.mktemp("keys"), "ops")


def seen_with(
    key: tuple[Path, Path], *kept: tuple[str, bytes], of: Campaign = MADE
) -> CampaignsView:
    seen = CampaignsView(None, NAMES)
    envelope = sign(canonical(of), messages.KIND, key[0])
    for topic, body in ((messages.campaign_topic(of.id), envelope), *kept):
        seen.take(topic, body)
    return seen


def reports_of(**phases: Phase) -> Reports:
    reports = Reports(device_at)
    for device, phase in phases.items():
        status = CampaignStatus(MADE.id, MADE.serial, phase, 0, wave=0)
        report = said(device, NEW, phase=phase, campaign_status=status)
        reports.take(f"edge/{device}/fleet", fleet_payloads.report(report), 100.0)
    return reports


def opening(wave: int, **because: Any) -> tuple[str, bytes]:
    body = messages.opened("evaluator-a", START, because)
    return messages.open_topic(MADE.id, wave), body


def test_each_wave_says_who_is_in_it_and_what_the_next_one_waits_for(
    key: tuple[Path, Path],
) -> None:
    seen = seen_with(key, opening(0, answered=0, of=0, bad=0, slices={}))
    reports = reports_of(cam01=Phase.CONFIRMED, cam02=Phase.TRIAL)
    (shown,) = seen.shown(reports, 100.0, START + 1.0)
    assert (shown["id"], shown["serial"], shown["state"]) == (MADE.id, 118, "waiting")
    assert shown["next"] == "1 of 2 stations have not answered: cam02"
    assert [wave["stations"] for wave in shown["waves"]] == [len(wave) for wave in WAVES]
    first, second, _ = shown["waves"]
    assert first["phases"] == {"confirmed": 1, "trial": 1}
    assert first["opened"]["by"] == "evaluator-a"
    assert (first["open"], second["open"], second["opened"]) == (True, False, None)
    assert second["phases"] == {"no answer": len(WAVES[1])}


def test_a_wave_that_may_open_and_is_not_opened_tells_that_no_evaluator_runs(
    key: tuple[Path, Path],
) -> None:
    seen = seen_with(key, opening(0))
    both = reports_of(cam01=Phase.CONFIRMED, cam02=Phase.CONFIRMED)
    (soaks,) = seen.shown(both, 100.0, START + 10.0)
    assert soaks["next"] == "wave 0 is looked at for 20 s"
    (shown,) = seen.shown(both, 100.0, START + 31.0)
    assert (shown["state"], shown["next"]) == (
        "opening",
        "wave 1 may open: an evaluator opens it",
    )


def test_stations_whose_metadata_has_expired_are_named_for_they_begin_nothing(
    key: tuple[Path, Path],
) -> None:
    seen, reports = seen_with(key), Reports(device_at)
    for device, until in (("cam01", START), ("cam02", START + 9.0), ("cam03", None)):
        report = said(device, fresh_until=until)
        reports.take(f"edge/{device}/fleet", fleet_payloads.report(report), 100.0)
    (shown,) = seen.shown(reports, 100.0, START + 1.0)
    assert shown["next"].endswith("opens it; without fresh metadata of the fleet: cam01")


def test_silence_is_said_of_open_waves_only(key: tuple[Path, Path]) -> None:
    seen = seen_with(key, opening(0))
    reports = reports_of(cam01=Phase.CONFIRMED, cam02=Phase.TRIAL)
    (shown,) = seen.shown(reports, 161.0, START + 61.0)
    first, second, _ = shown["waves"]
    assert first["phases"] == {"confirmed": 1, "silent": 1}
    assert first["silent"] == ["cam02"]
    assert second["silent"] == []


def test_a_stop_and_its_reason_are_final(key: tuple[Path, Path]) -> None:
    topic, body = stop_of(MADE.id, "andon", "scratches on cam01", START, goes_back=True)
    seen = seen_with(key, opening(0), (topic, body))
    seen.take(topic, b"")  # somebody clears it at the broker
    (shown,) = seen.shown(reports_of(), 0.0, START + 1.0)
    assert (shown["state"], shown["stopped"]) == ("stopped", {"andon": "scratches on cam01"})
    assert shown["goes_back"]


def test_a_newer_campaign_replaces_and_a_forged_one_is_named(key: tuple[Path, Path]) -> None:
    later = campaign(id="2026-49-bottle", serial=119)
    seen = seen_with(
        key,
        (messages.campaign_topic(later.id), sign(canonical(later), messages.KIND, key[0])),
        ("fleet/forged/campaign", b"{}"),
    )
    shown = seen.shown(reports_of(), 0.0, START + 1.0)
    states = {each["id"]: each["state"] for each in shown}
    assert list(states) == [later.id, MADE.id, "fleet/forged/campaign"]
    assert states[MADE.id] == "replaced"
    assert states["fleet/forged/campaign"] == "refused"


def test_with_keys_only_what_they_signed_is_a_campaign(
    key: tuple[Path, Path], tmp_path: Path
) -> None:
    _, other = generate_keypair(tmp_path, "other")
    seen = CampaignsView(Signers((key[1], other)), NAMES)
    once = sign(canonical(MADE), messages.KIND, key[0])
    seen.take(messages.campaign_topic(MADE.id), once)
    (shown,) = seen.shown(reports_of(), 0.0, START + 1.0)
    assert shown["state"] == "refused"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"by": 7}',
        b'{"because": {"answered": "many"}}',
        b'{"by": "%s"}' % (b"x" * 65),
        b'{"by": "a\\u001b[2Jb"}',
        b'{"because": {"slices": {"a\\nb": {"n": 1}}}}',
    ],
)
def test_an_opening_that_cannot_be_read_opens_all_the_same(
    key: tuple[Path, Path], body: bytes
) -> None:
    seen = seen_with(key, (messages.open_topic(MADE.id, 0), body or b"{"))
    (shown,) = seen.shown(reports_of(), 0.0, START + 1.0)
    assert shown["waves"][0]["open"]
    assert shown["waves"][0]["opened"] is None


@pytest.mark.parametrize("why", ["", "  ", "two\nlines", "x" * 301])
def test_a_stop_needs_a_reason_that_people_can_read(why: str) -> None:
    with pytest.raises(SenderError):
        stop_of(MADE.id, "ops", why, START, goes_back=False)
