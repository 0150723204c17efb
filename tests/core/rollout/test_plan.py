"""A plan from strangers: the same plan comes back, and what is wrong is named by its full key."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_daemon.core.rollout.bounds import bounded
from edge_daemon.core.rollout.plan import as_mapping, digest, read_plan
from edge_daemon.core.rollout.values import (
    Bounds,
    Mode,
    Plan,
    SliceRule,
    Stage,
    Truth,
    UnitKind,
    Until,
    Webhook,
)
from edge_daemon.errors import Code, PlanError

WHOLE = {
    "unit": {"by": "part"},
    "truth": ["verified", "reference"],
    "alpha": {"stop": 0.001, "advance": 0.01},
    "margin": 0.03,
    "slices": {
        "low_light": {"brightness_below": 60, "critical": True, "min_defects": 30},
        "small": {"box_area_below": 400},
    },
    "stages": [
        {"shadow": 1.0, "until": {"parts": 500, "minutes": 30, "margin": 0.2}},
        {"share": 0.1, "either": "reject", "until": {"parts": 500, "minutes": 60, "margin": 0.1}},
        {"compare": {"rotate_s": 60, "burn_in_s": 5, "pairs": 20}},
        {"full": True, "shadow_back_h": 24},
    ],
    "at_most_h": 72,
    "on_inconclusive": "hold",
    "notify": [{"webhook": "https://mes.plant.example/hook", "token_file": "/etc/token"}],
}


def test_the_whole_block_is_read() -> None:
    plan = read_plan(WHOLE)
    assert [stage.mode for stage in plan.stages] == [
        Mode.SHADOW,
        Mode.SHARE,
        Mode.COMPARE,
        Mode.FULL,
    ]
    assert plan.stages[1] == Stage(Mode.SHARE, 0.1, True, Until(500, 60.0, 0.1))
    assert plan.stages[3].shadow_back_h == 24.0
    assert plan.slices[0] == SliceRule(
        "low_light", brightness_below=60.0, critical=True, min_defects=30
    )
    assert plan.truth == (Truth.VERIFIED, Truth.REFERENCE)
    assert read_plan({"rollout": WHOLE}) == plan


def test_the_short_form_is_shadow_then_this_share_then_full() -> None:
    plan = read_plan({"canary_traffic": 0.1, "margin": 0.05})
    assert [(stage.mode, stage.share) for stage in plan.stages] == [
        (Mode.SHADOW, 1.0),
        (Mode.SHARE, 0.1),
        (Mode.FULL, 1.0),
    ]
    assert plan.stages[1].either
    assert plan.margin == 0.05
    assert read_plan({"canary_traffic": 0.25}).stages[1].share == 0.25
    assert read_plan({}) == read_plan({"canary_traffic": 0.1})


def test_shadow_only_never_counts_a_verdict_of_the_candidate() -> None:
    assert [stage.mode for stage in read_plan({"shadow_only": True}).stages] == [Mode.SHADOW]
    assert read_plan({"shadow_only": False}) == read_plan({})


def test_the_stricter_verdict_counts_while_the_share_is_small() -> None:
    stages = read_plan({"stages": [{"share": 0.49}, {"share": 0.5}]}).stages
    assert [stage.either for stage in stages] == [True, False]


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"stagess": []}, "rollout.stagess is not known here"),
        ({"margin": "3 %"}, "rollout.margin must be a number"),
        ({"margin": True}, "rollout.margin must be a number"),
        ({"margin": float("nan")}, "rollout.margin must be a number"),
        ({"alpha": {"stop": 0}}, "rollout.alpha.stop must be a number from 1e-09"),
        ({"alpha": {"halt": 0.1}}, "rollout.alpha.halt is not known"),
        ({"unit": {"by": "frame"}}, "rollout.unit.by must be one of part, span, order"),
        ({"truth": ["hearsay"]}, "rollout.truth has 'hearsay'"),
        ({"truth": []}, "rollout.truth must name"),
        ({"canary_traffic": 0}, "rollout.canary_traffic must be a number"),
        ({"canary_traffic": 0.1, "stages": []}, "rollout.canary_traffic says what stages says"),
        ({"stages": []}, "rollout.stages must have a shadow or a share stage"),
        ({"stages": [{"full": True}]}, "rollout.stages must have a shadow or a share stage"),
        ({"stages": [{"share": 0.1, "full": True}]}, "rollout.stages[0] must have exactly one"),
        ({"stages": ["shadow"]}, "rollout.stages[0] must be a mapping"),
        ({"stages": [{"share": 0.5}, {"share": 0.1}]}, "rollout.stages[1] has a share of 0.1"),
        ({"stages": [{"share": 0.5}, {"shadow": 1.0}]}, "rollout.stages[1] has a share of 0 "),
        (
            {"stages": [{"share": 0.5}, {"full": True}, {"share": 0.6}]},
            "rollout.stages[1] is full, and stages follow it",
        ),
        ({"stages": [{"share": 0.1, "until": {"units": 5}}]}, "rollout.stages[0].until.units"),
        (
            {"stages": [{"shadow": 1}, {"compare": {"rotate_s": 4, "burn_in_s": 4}}]},
            "rollout.stages[1].compare.burn_in_s must be shorter",
        ),
        ({"slices": {"all": {"box_area_below": 4}}}, "rollout.slices.all is no name"),
        ({"slices": {"dark": {"critical": True}}}, "rollout.slices.dark must say which parts"),
        ({"slices": {"dark": {"hours": [6, 6]}}}, "rollout.slices.dark.hours must be two"),
        (
            {"slices": {"dim": {"brightness_above": 60, "brightness_below": 20}}},
            "rollout.slices.dim.brightness_above must be less",
        ),
        ({"notify": [{"webhook": "file:///etc/passwd"}]}, "rollout.notify[0].webhook must be"),
        ({"notify": [{"webhook": "http://[::1"}]}, "rollout.notify[0].webhook must be"),
        ({1: 2}, "rollout.int is not known here"),
        ("shadow", "rollout must be a mapping"),
    ],
)
def test_what_is_wrong_is_named_by_its_full_key(wrong: Any, place: str) -> None:
    with pytest.raises(PlanError) as caught:
        read_plan(wrong)
    assert caught.value.message.startswith(place)
    assert caught.value.code is Code.INVALID_PLAN
    assert caught.value.hint


# --------------------------------------------------------------------------- round trip

numbers = st.floats(0.001, 1.0)
untils = st.builds(Until, st.integers(0, 10**7), st.floats(0, 1000), st.none() | numbers)
rules = st.builds(
    SliceRule,
    name=st.from_regex(r"[a-z][a-z_]{3,8}", fullmatch=True),
    brightness_below=st.floats(100, 255),
    brightness_above=st.none() | st.floats(0, 99),
    box_area_below=st.none() | st.floats(1, 1e6),
    products=st.lists(st.sampled_from(["bottle", "can", "jar"]), unique=True).map(tuple),
    hours=st.none() | st.just((22, 6)),
    critical=st.booleans(),
    min_defects=st.integers(0, 1000),
    margin=st.none() | numbers,
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    shares = sorted(draw(st.lists(numbers, max_size=4)))
    stages = [Stage(Mode.SHADOW, draw(numbers), until=draw(untils))]
    stages += [Stage(Mode.SHARE, share, draw(st.booleans()), draw(untils)) for share in shares]
    if draw(st.booleans()):
        stages.append(
            Stage(Mode.COMPARE, until=draw(untils), rotate_s=30.0, burn_in_s=2.5, pairs=8)
        )
    if draw(st.booleans()):
        stages.append(Stage(Mode.FULL, shadow_back_h=draw(st.floats(0, 720))))
    return Plan(
        stages=tuple(stages),
        unit=draw(st.sampled_from(UnitKind)),
        truth=draw(st.lists(st.sampled_from(Truth), min_size=1, unique=True).map(tuple)),
        alpha_stop=draw(st.floats(1e-9, 0.1)),
        margin=draw(numbers),
        slices=draw(st.lists(rules, max_size=4, unique_by=lambda rule: rule.name).map(tuple)),
        on_inconclusive=draw(st.sampled_from(["hold", "stop"])),
        notify=draw(st.sampled_from([(), (Webhook("https://a.example/b", "/etc/token"),)])),
    )


def plain(plan: Plan) -> Plan:
    """Only a share has an `either` of its own."""
    return replace(
        plan,
        stages=tuple(
            stage if stage.mode is Mode.SHARE else replace(stage, either=True)
            for stage in plan.stages
        ),
    )


@settings(max_examples=40, deadline=None)
@given(plans())
def test_a_plan_that_is_written_and_read_is_the_same(plan: Plan) -> None:
    written = json.loads(json.dumps(as_mapping(plan)))
    assert read_plan(written) == plain(plan)
    assert digest(read_plan(written)) == digest(plan)


def test_the_digest_changes_with_each_value() -> None:
    plan = read_plan(WHOLE)
    others = [
        replace(plan, margin=0.04),
        replace(plan, on_inconclusive="stop"),
        replace(plan, slices=()),
        replace(plan, stages=plan.stages[:2]),
    ]
    assert len({digest(plan), *map(digest, others)}) == 5


WORDS = (
    *("unit", "truth", "alpha", "margin", "slices", "stages", "share", "shadow", "full", "compare"),
    *("until", "by", "stop", "parts", "minutes", "either", "canary_traffic", "shadow_only"),
    *("at_most_h", "notify", "webhook", "hours", "critical", "dark", "rollout"),
)
keys = st.sampled_from(WORDS)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("part"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(keys | st.text(), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=40, deadline=None)
@given(anything | st.dictionaries(keys, anything))
def test_anything_is_a_plan_or_a_complaint(mapping: Any) -> None:
    try:
        plan = read_plan(mapping)
    except PlanError as error:
        complaint = error.message
    else:
        complaint = "rollout."
        assert read_plan(as_mapping(plan)) == plan
    assert complaint.startswith("rollout")
    assert complaint.endswith(".")
    assert complaint.isprintable()


# --------------------------------------------------------------------------- bounds


def test_a_station_without_bounds_takes_the_plan_as_it_is_but_for_its_webhooks() -> None:
    plan = read_plan(WHOLE)
    assert bounded(plan, Bounds()) == replace(plan, notify=())


def test_a_webhook_takes_the_token_of_the_station_and_never_the_plans() -> None:
    hook = Webhook("https://mes.plant.example/hook", "/etc/edge-daemon/mes.token")
    assert bounded(read_plan(WHOLE), Bounds(notify=(hook,))).notify == (hook,)


def test_a_station_may_keep_the_last_word_for_a_person() -> None:
    plan = bounded(read_plan({}), Bounds(share=0.05, full=False))
    assert [(stage.mode, stage.share) for stage in plan.stages] == [
        (Mode.SHADOW, 1.0),
        (Mode.SHARE, 0.05),
    ]


@settings(max_examples=40, deadline=None)
@given(plans(), numbers, numbers, st.integers(0, 1000), st.lists(rules, max_size=2))
def test_of_two_limits_the_narrower_one_counts(
    plan: Plan, share: float, margin: float, parts: int, slices: list[SliceRule]
) -> None:
    own = tuple({rule.name: rule for rule in slices}.values())
    bounds = Bounds(share=share, margin=margin, parts=parts, slices=own, on_inconclusive="stop")
    result = bounded(plan, bounds)
    assert result.margin == min(plan.margin, margin)
    assert result.on_inconclusive == "stop"
    for stage in result.stages:
        assert stage.mode is not Mode.SHARE or stage.share <= share
        assert stage.mode is Mode.FULL or stage.until.parts >= parts
    assert {rule.name for rule in result.slices} == {rule.name for rule in (*plan.slices, *own)}
    assert bounded(result, bounds) == result
    assert read_plan(as_mapping(result)) == plain(result)


def test_each_bound_of_the_station_narrows_a_plan_and_never_widens_one() -> None:
    plan = read_plan(
        {
            "margin": 0.05,
            "false_reject_margin": 0.04,
            "at_most_h": 10,
            "alpha": {"advance": 0.02},
            "slices": {"dark": {"brightness_below": 60, "min_defects": 5, "margin": 0.2}},
            "stages": [
                {"shadow": 1.0, "until": {"parts": 10, "minutes": 5}},
                {"share": 0.2, "either": "none"},
                {"share": 0.9, "either": "none"},
            ],
        }
    )
    dark = SliceRule("dark", brightness_below=80.0, critical=True, min_defects=3, margin=0.1)
    narrow = Bounds(
        share=0.6,
        either_below=0.5,
        parts=20,
        minutes=6.0,
        alpha_advance=0.01,
        margin=0.03,
        false_reject_margin=0.02,
        slices=(dark,),
        at_most_h=8.0,
        on_inconclusive="stop",
    )
    result = bounded(plan, narrow)
    assert [(stage.share, stage.either) for stage in result.stages] == [
        (1.0, True),
        (0.2, True),
        (0.6, False),
    ]
    assert {stage.until.parts for stage in result.stages} == {20}
    assert {stage.until.minutes for stage in result.stages} == {6.0}
    assert (result.alpha_advance, result.margin, result.false_reject_margin) == (0.01, 0.03, 0.02)
    assert (result.at_most_h, result.on_inconclusive) == (8.0, "stop")
    assert result.slices == (replace(dark, min_defects=5),)
    wide = Bounds(at_most_h=99.0, on_inconclusive="hold")
    assert bounded(plan, wide) == plan
