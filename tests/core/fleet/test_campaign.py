"""A campaign is read whole or refused with the key, and its waves can be computed again."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_daemon.core.fleet.campaign import as_mapping, canonical, read_campaign
from edge_daemon.core.fleet.waves import draw, is_within, members, wave_of
from edge_daemon.errors import PlanError
from tests.sim.campaigns import campaign, written

FLEET = [f"station-{number:04}" for number in range(2000)]


def test_a_campaign_is_read_back_as_it_was_written() -> None:
    made = campaign(canaries=["a"], groups={"line3": ["a", "b"]}, window=["22:00-05:00"])
    assert read_campaign(as_mapping(made)) == made
    assert canonical(read_campaign(as_mapping(made))) == canonical(made)
    tried = campaign(rollout={"canary_traffic": 0.2, "slices": {"dark": {"brightness_below": 60}}})
    assert read_campaign(as_mapping(tried)) == tried
    assert tried.rollout is not None
    assert [rule.name for rule in tried.rollout.slices] == ["dark"]
    assert b"rollout" not in canonical(made)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"id": None}, "campaign.id"),
        ({"id": "a/b"}, "campaign.id"),
        ({"serial": 0}, "campaign.serial"),
        ({"serial": True}, "campaign.serial"),
        ({"model": "bottle"}, "campaign.model"),
        ({"sha256": "9f"}, "campaign.sha256"),
        ({"waves": []}, "campaign.waves"),
        ({"waves": [0.5, 0.5]}, "campaign.waves"),
        ({"waves": [0.1, 1.1]}, "campaign.waves"),
        ({"waves": [0.1, math.nan]}, "campaign.waves"),
        ({"waves": [0.1, "all"]}, "campaign.waves"),
        ({"soak_s": [1.0]}, "campaign.soak_s"),
        ({"soak_s": [1.0, -1.0]}, "campaign.soak_s"),
        ({"groups": {"line3": ["a", "b", "c", "d"]}}, "campaign.groups.line3"),
        ({"groups": {"one": ["a"], "two": ["a"]}}, "campaign.groups.two"),
        ({"window": ["25:00-05:00"]}, "campaign.window"),
        ({"window": ["05:00-05:00"]}, "campaign.window"),
        ({"expires": 0.0}, "campaign.expires"),
        ({"not_before": None}, "campaign.not_before"),
        ({"rules": {"silent": 2}}, "campaign.rules.silent"),
        ({"rules": {"silence": 0.1}}, "campaign.rules.silence"),
        ({"rules": {"on_stop": "explode"}}, "campaign.rules.on_stop"),
        ({"hurry": True}, "campaign.hurry"),
        ({"rollout": {"shadow_only": True}}, "campaign.rollout"),
        ({"rollout": {"stages": 7}}, "rollout.stages"),
        ({"rollout": "now"}, "rollout"),
    ],
)
def test_what_is_wrong_with_a_campaign_is_told_by_its_key(
    change: dict[str, object], key: str
) -> None:
    with pytest.raises(PlanError) as refused:
        read_campaign(written(**change))
    assert refused.value.message.startswith(key)


@pytest.mark.parametrize("value", [None, [], "campaign", 7])
def test_what_is_no_mapping_is_no_campaign(value: object) -> None:
    with pytest.raises(PlanError):
        read_campaign(value)


def test_a_share_is_the_fraction_that_is_written() -> None:
    made = campaign(waves=[0.01, 0.1, 1.0])
    sizes = [len(wave) for wave in members(made, FLEET)]
    assert sum(sizes) == 2000
    assert abs(sizes[0] - 20) <= 3 * math.sqrt(20)
    assert abs(sizes[1] - 180) <= 3 * math.sqrt(180)
    below = sum(draw(made.id, device) * 10 < 1 << 64 for device in FLEET)
    assert below == sizes[0] + sizes[1]


@given(st.text("abcdef0123", min_size=1, max_size=8), st.floats(0.001, 1), st.floats(0.001, 1))
def test_a_wider_share_keeps_whom_a_narrower_one_had(device: str, one: float, other: float) -> None:
    narrow, wide = sorted((one, other))
    assert not is_within("c", device, narrow) or is_within("c", device, wide)
    assert is_within("c", device, 1.0)


def test_the_first_ones_are_others_each_time() -> None:
    first = [members(campaign(id=name, waves=[0.02, 1.0]), FLEET)[0] for name in ("one", "two")]
    assert set(first[0]) != set(first[1])


def test_canaries_come_first_and_whom_no_wave_reaches_has_none() -> None:
    made = campaign(canaries=["station-1999"], waves=[0.01, 0.1], soak_s=[0.0])
    assert wave_of(made, "station-1999") == 0
    assert sum(wave_of(made, device) is None for device in FLEET) > 1700


@given(st.integers(0, 10_000), st.integers(1, 3))
def test_two_of_a_group_are_never_in_one_wave(salt: int, size: int) -> None:
    group = [f"cam{number}" for number in range(size)]
    made = campaign(id=f"c{salt}", groups={"line3": group}, canaries=["cam0"])
    waves = [wave_of(made, device) for device in group]
    assert None not in waves
    assert len(set(waves)) == len(waves)
