"""What Prometheus reads of a station on which candidates are tried: the contract's names and
labels, in a real scrape, before, while and after.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.sim.mosquitto import new_mosquitto
from tests.sim.rollout_line import OLD, RUNS, RolloutLine

pytestmark = pytest.mark.broker

GOOD, BLIND = "bottle@2.0.0", "bottle@3.0.0"
LASTS = {"until": {"parts": 100_000}}
SIDES = {"missed", "false_rejects"}
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RolloutLine]:
    http = {"listen": "127.0.0.1:0"}
    tester = {"topic": "eol/+/result", "preset": "ipc-cfx", "source": "mes"}
    folder = tmp_path_factory.mktemp("scraped")
    with (
        new_mosquitto() as broker,
        RolloutLine(folder, broker, http=http, feedback=[tester]) as started,
    ):
        yield started


def scrape(line: RolloutLine) -> Samples:
    assert line.daemon is not None
    with urllib.request.urlopen(f"http://127.0.0.1:{line.daemon.http_port}/metrics") as answer:
        text = answer.read().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(found: Samples, name: str) -> dict[tuple[tuple[str, str], ...], float]:
    """The samples of one series, by their labels in order."""
    return {tuple(sorted(labels)): value for (each, labels), value in found.items() if each == name}


def label(found: Samples, name: str, which: str) -> set[str]:
    return {dict(labels)[which] for labels in of(found, name)}


def keys(found: Samples, name: str) -> set[str]:
    return {key for labels in of(found, name) for key, _ in labels}


def state_of(line: RolloutLine) -> dict[str, Any]:
    return dict(line.state)


def test_a_scrape_while_a_candidate_is_tried_and_after_its_end(line: RolloutLine) -> None:
    before = scrape(line)
    assert not of(before, "edge_rollout_info")
    assert of(before, "edge_rollout_share") == {(): 0.0}
    ends = of(before, "edge_rollouts_total")
    assert label(before, "edge_rollouts_total", "outcome") == {"completed", "stopped", "superseded"}
    assert set(ends.values()) == {0.0}

    line.inspector.labels_all = True
    slices = {"dark": {"brightness_below": 250}}
    asked = line.roll(GOOD, RUNS, {"share": 0.5, "either": "none", **LASTS}, slices=slices)
    rollout = line.rollout_of(asked)
    line.until_stage("share 0.5")
    line.ear.until(lambda: state_of(line)["labels"]["have"] > 3)
    line.ear.until(lambda: bool(of(scrape(line), "edge_precision")))
    now = scrape(line)
    ((info, value),) = of(now, "edge_rollout_info").items()
    assert (dict(info), value) == (
        {"rollout": rollout, "model": GOOD, "reference": OLD, "stage": "share"},
        1.0,
    )
    assert of(now, "edge_rollout_share") == {(): 0.5}
    assert keys(now, "edge_rollout_pairs_total") == {"slice", "outcome"}
    assert label(now, "edge_rollout_pairs_total", "slice") == {"all", "dark"}
    outcomes = {"both", "neither", "only_candidate"}
    assert label(now, "edge_rollout_pairs_total", "outcome") == outcomes
    for name in ("edge_rollout_evidence_log10", "edge_rollout_bound"):
        assert keys(now, name) == {"slice", "side"}
        assert label(now, name, "side") == SIDES
        assert label(now, name, "slice") == {"all", "dark"}
    assert keys(now, "edge_rollout_coverage") == {"slice"}
    assert all(0.0 < each <= 1.0 for each in of(now, "edge_rollout_coverage").values())
    assert label(now, "edge_shadow_frames_total", "result") <= {"compared", "skipped", "failed"}
    assert of(now, "edge_shadow_frames_total")[(("result", "compared"),)] > 0
    told = of(now, "edge_feedback_total")
    assert keys(now, "edge_feedback_total") == {"source", "verdict"}
    assert {dict(labels)["source"] for labels in told} == {"downstream"}
    assert 0.0 <= of(now, "edge_precision")[()] <= 1.0
    assert of(now, "edge_rollout_held") == {(): 0.0}
    pairs = of(now, "edge_rollout_pairs_total")
    counted = sum(value for labels, value in pairs.items() if dict(labels)["slice"] == "all")
    assert counted >= of(now, "edge_rollout_labels_missing")[()]

    line.ask("abort", rollout=rollout)
    line.ear.until(lambda: not of(scrape(line), "edge_rollout_info"))
    after = scrape(line)
    assert of(after, "edge_rollouts_total")[(("outcome", "superseded"),)] == 1.0
    assert of(after, "edge_rollout_share") == {(): 0.0}
    for name in ("edge_rollout_evidence_log10", "edge_rollout_bound", "edge_rollout_coverage"):
        assert not of(after, name), "nothing is tried any more"
    assert of(after, "edge_rollout_pairs_total").keys() >= pairs.keys(), "counters go on"
    line.reset()


def test_a_candidate_that_is_stopped_counts_as_such(line: RolloutLine) -> None:
    """And only that: an alert is made of it."""
    line.inspector.labels_all = True
    asked = line.roll(BLIND, {"shadow": 1.0, **LASTS})
    assert line.outcome(asked)["error"]["code"] == "rollout_stopped"
    name = "edge_rollouts_total"
    line.ear.until(lambda: of(scrape(line), name)[(("outcome", "stopped"),)] == 1.0)
    assert of(scrape(line), name)[(("outcome", "completed"),)] == 0.0
    line.reset()


def test_what_a_tester_publishes_is_feedback(line: RolloutLine) -> None:
    """By the part's number here; a message that cannot be read is an event and a problem."""
    line.ear.until(lambda: len(line.inspector.parts) > 5)
    part = line.inspector.parts[-3]["part"]
    unit = {"UnitIdentifier": str(part), "OverallResult": "Failed"}
    body = {"MessageName": "CFX.UnitsTested", "MessageBody": {"TestedUnits": [unit]}}
    line.ear.publish("eol/3/result", body)
    labels = (("source", "mes"), ("verdict", "ng"))
    line.ear.until(lambda: of(scrape(line), "edge_feedback_total").get(labels) == 1.0)
    line.ear.publish("eol/3/result", {"MessageBody": {"TestedUnits": [{"OverallResult": "x"}]}})
    event = line.until_event("feedback_refused")
    assert "UnitIdentifier" in str(event)
