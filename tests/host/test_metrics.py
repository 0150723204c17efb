"""Every metric of the contract is there under its name, counted once, and bounded."""

from __future__ import annotations

import inspect
import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge_daemon.core.roles import Role
from edge_daemon.core.totals import ModelTotals, Spread, Totals
from edge_daemon.core.values import BundleRef, Counts, Reason, Verdict
from edge_daemon.host.gpu import GpuMemory
from edge_daemon.host.metrics import COUNTERS, GAUGES, HISTOGRAMS, Metrics, ModelRole

BOTTLE = BundleRef("bottle", "1.4.0")

CONTRACT = {
    "edge_frames_captured_total",
    "edge_frames_inspected_total{model,verdict}",
    "edge_frames_dropped_total{reason}",
    "edge_frames_uninspected_total{reason}",
    "edge_inference_seconds_count{model}",
    "edge_frame_latency_seconds_count",
    "edge_swaps_total{code,outcome}",
    "edge_swap_stage_seconds_count{stage}",
    "edge_swap_pause_seconds_count",
    "edge_model_info{model,role,sha256,slot}",
    "edge_slot_restarts_total{reason}",
    "edge_slot_memory_bytes{kind,slot}",
    "edge_camera_up",
    "edge_mqtt_connected",
    "edge_outbox_depth",
    "edge_store_up",
    "edge_gpu_memory_bytes{kind}",
    "edge_certificate_expires_seconds{file}",
}


FRAMES = Totals(
    Counts(captured=5, inspected=3, dropped=1, uninspected=1),
    {Reason.CHANGEOVER: 1, Reason.DROPPED_OVERFLOW: 1},
    {
        BOTTLE: ModelTotals({Verdict.OK: 1, Verdict.NG: 1}, Spread((0, 0, 0, 2, *[0] * 11), 22.0)),
        None: ModelTotals({Verdict.OK: 1}, Spread((*[0] * 14, 1), 11_000.0)),
    },
    Spread((0, 0, 0, 2, *[0] * 10, 1), 26.0),
)


def samples(
    metrics: Metrics, totals: Totals = FRAMES
) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.render(totals).decode())
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return samples(metrics).get((name, frozenset(labels.items())))


def used() -> Metrics:
    metrics = Metrics()
    metrics.swap("succeeded")
    metrics.swap("rejected", "gate_failed")
    metrics.stage("load", 0.4)
    metrics.pause(0.0004)
    metrics.models([ModelRole(BOTTLE, "9f", "A", Role.ACTIVE)])
    metrics.slot_restarted("died")
    metrics.slot_memory("A", "host", 1000)
    metrics.camera(up=True)
    metrics.mqtt(connected=False)
    metrics.outbox(3)
    metrics.certificates({"ca": 2e9})
    metrics.gpu(GpuMemory(1, 2, 3))
    return metrics


def test_every_metric_of_the_contract_is_there() -> None:
    """Names and labels are what dashboards and alerts were written against."""
    found = set()
    for name, labels in samples(used()):
        keys = ",".join(sorted(key for key, _ in labels))
        found.add(f"{name}{{{keys}}}" if keys else name)
    assert CONTRACT - found == set()


def test_frames_are_told_as_the_ledger_counts_them() -> None:
    """By model and verdict, by reason, by time; models of long ago are told together."""
    metrics = used()
    name = "edge_frames_inspected_total"
    assert value(metrics, name, model="bottle@1.4.0", verdict="ok") == 1
    assert value(metrics, name, model="bottle@1.4.0", verdict="ng") == 1
    assert value(metrics, name, model="other", verdict="ok") == 1
    assert value(metrics, "edge_frames_uninspected_total", reason="changeover") == 1
    assert value(metrics, "edge_frames_dropped_total", reason="dropped_overflow") == 1
    assert value(metrics, "edge_frames_captured_total") == 5
    took = "edge_inference_seconds"
    assert value(metrics, f"{took}_sum", model="bottle@1.4.0") == pytest.approx(0.022)
    assert value(metrics, f"{took}_bucket", model="bottle@1.4.0", le="0.01") == 0
    assert value(metrics, f"{took}_bucket", model="bottle@1.4.0", le="0.02") == 2
    assert value(metrics, f"{took}_bucket", model="other", le="10.0") == 0
    assert value(metrics, f"{took}_bucket", model="other", le="+Inf") == 1
    assert value(metrics, "edge_frame_latency_seconds_sum") == pytest.approx(0.026)
    assert value(metrics, "edge_frame_latency_seconds_count") == 3


def test_each_reason_begins_at_zero() -> None:
    """An alert on an increase sees the very first frame."""
    found = samples(Metrics(), Totals())
    for reason in Reason:
        kind = "dropped" if reason.is_drop else "uninspected"
        key = f"edge_frames_{kind}_total", frozenset({("reason", reason.value)})
        assert found[key] == 0


def test_the_models_said_last_are_the_only_ones() -> None:
    """A slot that changed its bundle is not listed twice."""
    metrics = used()
    metrics.models([ModelRole(BundleRef("can", "1"), "aa", "B", None)])  # it is being loaded
    info = [labels for name, labels in samples(metrics) if name == "edge_model_info"]
    assert len(info) == 1
    assert {("model", "can@1"), ("role", "")} <= set(info[0])


def test_bytes_of_bundles_are_counted_from_what_is_told_of_each() -> None:
    """The same word again adds nothing; fewer bytes than before are those of another bundle."""
    metrics = Metrics()
    for origin, peers in ((0, 100), (0, 250), (0, 250), (40, 60)):
        metrics.fleet_bytes({"origin": origin, "peers": peers})
    text = metrics.render().decode()
    assert 'edge_fleet_bytes_total{from="origin"} 40.0' in text
    assert 'edge_fleet_bytes_total{from="peers"} 310.0' in text


def test_a_station_has_one_phase_of_one_campaign_and_no_freshness_that_nothing_limits() -> None:
    metrics = Metrics()
    assert "edge_fleet_fresh_seconds NaN" in metrics.render().decode()
    metrics.fleet("c1", "trial", 7200.0)
    metrics.fleet("c2", "confirmed", -5.0)
    lines = metrics.render().decode().splitlines()
    assert [line for line in lines if line.startswith("edge_fleet_phase{")] == [
        'edge_fleet_phase{campaign="c2",phase="confirmed"} 1.0'
    ]
    assert "edge_fleet_fresh_seconds 0.0" in lines


@pytest.mark.parametrize(
    ("kind", "table"), [("counters", COUNTERS), ("gauges", GAUGES), ("histograms", HISTOGRAMS)]
)
def test_each_metric_of_the_tables_is_set_and_no_other(kind: str, table: dict[str, object]) -> None:
    """A name that is not in its table would raise in the thread that counts."""
    used = re.findall(rf'self\._{kind}\["(\w+)"\]', inspect.getsource(Metrics))
    assert set(used) == set(table)
