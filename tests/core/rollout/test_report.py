"""The report: each figure with n and interval, and none where nothing was measured."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_daemon.core.rollout.intervals import share
from edge_daemon.core.rollout.progress import Progress
from edge_daemon.core.rollout.report import COMPLETED, STOPPED, Costs, Ending, digest, made
from edge_daemon.core.rollout.values import Arm, Outcome
from edge_daemon.core.values import Verdict
from tests.sim.rollout_record import BEGAN, ROLLOUT, block, progress

RUNS = Ending()


def report(of: Progress, ending: Ending = RUNS, costs: Costs | None = None) -> dict[str, Any]:
    return made(ROLLOUT, of, ending, BEGAN + 7200.0, costs)


def test_every_figure_has_its_n_and_interval() -> None:
    found = report(progress())
    cell = found["table"]["only_candidate"]
    expected = share(8, 469)
    assert expected is not None
    assert cell["parts"] == 8
    assert cell["share"] == {
        "value": round(expected.value, 6),
        "low": round(expected.low, 6),
        "high": round(expected.high, 6),
        "n": 469,
    }
    assert found["labels"] == {"have": 8, "missing": 1}
    assert [one["name"] for one in found["slices"]] == ["all", "low_light"]
    assert found["slices"][0]["missed"]["n"] == 67
    assert 0.0 < found["slices"][0]["false_rejects"]["bound"] < 0.05


def test_precision_and_recall_are_of_verified_parts_alone() -> None:
    """66 bad parts: the incumbent finds 60, the candidate all, with 2 false rejects."""
    verified = report(progress())["verified"]
    assert (verified["incumbent"]["recall"]["value"], verified["incumbent"]["recall"]["n"]) == (
        round(60 / 66, 6),
        66,
    )
    assert verified["candidate"]["recall"]["value"] == 1.0
    assert verified["incumbent"]["precision"]["value"] == 1.0
    assert verified["candidate"]["precision"]["value"] == round(66 / 68, 6)


def test_the_blocks_tell_the_difference_and_its_interval() -> None:
    [stage] = report(progress())["compare"]
    assert (stage["pairs"], stage["wanted"], len(stage["order"])) == (8, 8, 16)
    found = {each["quantity"]: each for each in stage["quantities"]}
    latency = found["latency_p50_ms"]["difference"]
    assert latency["n"] == 8
    assert latency["low"] <= -2.0 <= latency["high"] < -1.5
    power = found["power_package_0_w"]["difference"]
    assert power["low"] <= 1.0 <= power["high"]
    assert found["memory_mb"]["incumbent"] is None
    assert found["temperature"] == {
        "quantity": "temperature",
        "unit": "°C",
        "incumbent": None,
        "candidate": None,
        "blocks": [0, 0],
        "difference": None,
    }
    assert stage["notes"] == []


def test_models_that_did_not_look_equally_often_have_no_comparable_power() -> None:
    of = progress()
    of.blocks[2] = [
        type(each)(
            **{**vars(each), "values": {"looks_share": 0.5 + 0.4 * (each.arm is Arm.CANDIDATE)}}
        )
        for each in map(block, range(16))
    ]
    [note] = report(of)["compare"][0]["notes"]
    assert "cannot be compared" in note


def test_costs_are_of_known_wrong_verdicts_and_only_where_the_settings_have_them() -> None:
    """6 bad parts that the incumbent passed at 10 each; 2 false rejects of the candidate at 1."""
    told = report(progress(), costs=Costs(10.0, 1.0, "EUR"))["cost_per_1000_parts"]
    assert told["incumbent"]["value"] == pytest.approx(1e3 * 60 / 469, rel=1e-4)
    assert told["candidate"]["value"] == pytest.approx(1e3 * 2 / 469, rel=1e-4)
    assert told["candidate"]["low"] < told["candidate"]["value"] < told["candidate"]["high"]
    assert (told["unlabelled"], told["currency"]) == (1, "EUR")
    assert report(progress())["cost_per_1000_parts"] is None


def test_a_rollout_without_evidence_says_so_in_one_sentence() -> None:
    found = report(progress((), 0))
    assert found["recommendation"]["do"] == "wait"
    assert "Nothing was measured yet" in found["recommendation"]["why"]
    assert found["table"]["both"] == {"parts": 0, "share": None}
    assert found["slices"][0]["missed"]["bound"] is None
    assert found["verified"]["candidate"] == {"precision": None, "recall": None}
    assert report(progress((), 0), costs=Costs(1.0, 1.0))["cost_per_1000_parts"] is None


@pytest.mark.parametrize(
    ("ending", "do"),
    [
        (Ending(COMPLETED, "The candidate is active and confirmed."), "keep"),
        (Ending(STOPPED, "The candidate misses 9 bad parts."), "do not use"),
        (Ending(STOPPED, "Aborted by kim: another lot", was_aborted=True), "decide"),
    ],
)
def test_of_one_that_ended_the_end_is_the_recommendation(ending: Ending, do: str) -> None:
    found = report(progress(), ending)
    assert found["recommendation"] == {"do": do, "why": ending.why}
    disagreed, over = found["would_change"]
    assert "models disagree: 1 have none" in disagreed
    assert "the rollout is over" in over, "nothing can stop it any more"


def test_while_it_runs_it_says_what_is_missing() -> None:
    found = report(progress(blocks=6))
    assert found["recommendation"]["do"] == "wait"
    assert any("3 of 8 pairs of blocks" in each for each in found["would_change"])
    assert any("models disagree: 1 have none" in each for each in found["would_change"])
    assert any("stop it" in each for each in found["would_change"])


outcomes = st.tuples(
    st.sampled_from(Outcome), st.sampled_from([None, Verdict.OK, Verdict.NG]), st.integers(0, 9)
)


@settings(max_examples=60, deadline=None)
@given(st.lists(outcomes, max_size=12), st.integers(0, 16))
def test_whatever_was_seen_the_report_is_whole_and_a_changed_figure_is_another_digest(
    seen: list[tuple[Outcome, Verdict | None, int]], blocks: int
) -> None:
    """Plain JSON without NaN; read again it has the same digest."""
    found = report(progress(seen, blocks), costs=Costs(1.0, 2.0))
    assert sum(cell["parts"] for cell in found["table"].values()) == found["parts"]
    again = json.loads(json.dumps(found, allow_nan=False))
    assert digest(again) == digest(found)
    again["parts"] += 1
    assert digest(again) != digest(found)
