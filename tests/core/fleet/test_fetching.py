"""A bundle is fetched before its wave opens, and for no campaign that was stopped."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge_daemon.core.fleet import station
from edge_daemon.core.fleet.campaign import Campaign, as_mapping, canonical, read_campaign
from edge_daemon.core.fleet.heard import Opened, Stopped
from edge_daemon.core.fleet.report import Phase
from edge_daemon.core.fleet.station import Memory, Station, open_campaign, to_fetch
from edge_daemon.core.rollout.plan_table import PlanError
from edge_daemon.core.values import BundleRef
from tests.sim.campaigns import START, campaign
from tests.sim.fleet import OLD, digest_of

NOW = START + 10.0
SHARED = {"infohash": "86" * 32, "size": 1 << 20, "manifest_sha256": "4c" * 32}


def remembered(made: Campaign, *heard: Opened | Stopped) -> Memory:
    memory, refusal = station.accept(Memory(), made, NOW)
    assert not refusal
    for message in heard:
        memory = station.hear(memory, message)
    return memory


def test_it_is_fetched_before_any_wave_is_open_and_until_the_end() -> None:
    made = campaign(**SHARED)
    memory = remembered(made)
    assert to_fetch(memory, "cam1", NOW) == made
    assert to_fetch(memory, "cam1", made.expires) is None
    assert open_campaign(memory, made.expires) is None
    assert to_fetch(Memory(), "cam1", NOW) is None


def test_a_stopped_campaign_is_neither_fetched_nor_kept() -> None:
    made = campaign()
    memory = remembered(made, Stopped(made.id, "ops", "why"))
    assert to_fetch(memory, "cam1", NOW) is None
    assert open_campaign(memory, NOW) is None


def test_with_its_wave_it_is_fetched_no_earlier() -> None:
    made = campaign(fetch="with_wave", waves=[1.0], soak_s=[])
    assert to_fetch(remembered(made), "cam1", NOW) is None
    assert to_fetch(remembered(made, Opened(made.id, 0)), "cam1", NOW) == made
    assert open_campaign(remembered(made), NOW) == made


def test_a_campaign_that_says_nothing_of_it_keeps_the_text_that_was_signed() -> None:
    old = as_mapping(campaign())
    assert not {"infohash", "size", "manifest_sha256", "fetch"} & set(old)
    for made in (campaign(), campaign(**SHARED), campaign(fetch="with_wave")):
        assert read_campaign(as_mapping(made)) == made
    assert canonical(campaign(**SHARED)) != canonical(campaign())


@pytest.mark.parametrize(
    "changed",
    [
        {"infohash": "86"},
        {"infohash": 86},
        {"size": 0},
        {"size": -1},
        {"size": 1.5},
        {"size": 2**60},
        {"manifest_sha256": "Z" * 64},
        {"fetch": "never"},
    ],
)
def test_what_makes_no_sense_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(PlanError):
        campaign(**changed)


def test_the_stations_phase_says_what_keeps_the_bundle() -> None:
    memory = remembered(campaign())
    here = Station("cam1", selected=BundleRef("bottle", "1.3.0"), selected_sha256=digest_of(OLD))
    for there, phase, why in (
        (here, Phase.FETCHING, "is not in the store"),
        (replace(here, fetching="The disk has no room."), Phase.FETCHING, "no room"),
        (replace(here, refused="Nobody signed it."), Phase.REFUSED, "Nobody signed"),
    ):
        status = station.step(memory, there, NOW).campaign_status
        assert status is not None
        assert status.phase is phase
        assert why in str(status.why)
