"""Every metric of the contract is there under its name, counted once, and bounded."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge_daemon.core.values import Assignment, BundleRef, Judged, Reason, Verdict
from edge_daemon.host import metrics as metrics_module
from edge_daemon.host.gpu import GpuMemory
from edge_daemon.host.metrics import Metrics, ModelRole

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
}


def judged(verdict: Verdict, reason: Reason | None = None, model: BundleRef = BOTTLE) -> Judged:
    inspected = verdict is not Verdict.UNINSPECTED
    return Judged(
        frame=1,
        captured_utc=0.0,
        captured_at=0.0,
        assignment=Assignment(),
        verdict=verdict,
        reason=reason,
        model=model if inspected else None,
        queue_ms=2.0,
        inference_ms=11.0,
    )


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return samples(metrics).get((name, frozenset(labels.items())))


def used() -> Metrics:
    metrics = Metrics()
    metrics.captured(5)
    metrics.frame(judged(Verdict.OK))
    metrics.frame(judged(Verdict.NG))
    metrics.frame(judged(Verdict.UNINSPECTED, Reason.CHANGEOVER))
    metrics.frame(judged(Verdict.UNINSPECTED, Reason.DROPPED_OVERFLOW))
    metrics.swap("succeeded")
    metrics.swap("rejected", "gate_failed")
    metrics.stage("load", 0.4)
    metrics.pause(0.0004)
    metrics.models([ModelRole(BOTTLE, "9f", "A", "active")])
    metrics.slot_restarted("died")
    metrics.slot_memory("A", "host", 1000)
    metrics.camera(up=True)
    metrics.mqtt(connected=False)
    metrics.outbox(3)
    metrics.gpu(GpuMemory(1, 2, 3))
    return metrics


def test_every_metric_of_the_contract_is_there() -> None:
    """Names and labels are what dashboards and alerts were written against."""
    found = set()
    for name, labels in samples(used()):
        keys = ",".join(sorted(key for key, _ in labels))
        found.add(f"{name}{{{keys}}}" if keys else name)
    assert CONTRACT - found == set()


def test_a_frame_is_counted_once_where_it_belongs() -> None:
    """captured = inspected + dropped + uninspected + those still on their way."""
    metrics = used()
    name = "edge_frames_inspected_total"
    assert value(metrics, name, model="bottle@1.4.0", verdict="ok") == 1
    assert value(metrics, name, model="bottle@1.4.0", verdict="ng") == 1
    assert value(metrics, "edge_frames_uninspected_total", reason="changeover") == 1
    assert value(metrics, "edge_frames_dropped_total", reason="dropped_overflow") == 1
    assert value(metrics, "edge_frames_captured_total") == 5
    assert value(metrics, "edge_inference_seconds_sum", model="bottle@1.4.0") == pytest.approx(
        0.022
    )
    assert value(metrics, "edge_frame_latency_seconds_sum") == pytest.approx(0.026)


def test_each_reason_begins_at_zero() -> None:
    """An alert on an increase sees the very first frame."""
    metrics = Metrics()
    for reason in Reason:
        kind = "dropped" if reason.is_drop else "uninspected"
        assert value(metrics, f"edge_frames_{kind}_total", reason=reason.value) == 0


def test_the_models_said_last_are_the_only_ones() -> None:
    """A slot that changed its bundle is not listed twice."""
    metrics = used()
    metrics.models([ModelRole(BundleRef("can", "1"), "aa", "B", "active")])
    info = [labels for name, labels in samples(metrics) if name == "edge_model_info"]
    assert len(info) == 1
    assert ("model", "can@1") in info[0]


def test_years_of_models_do_not_grow_the_registry() -> None:
    """Only the models that judged last keep their series."""
    metrics = Metrics()
    for version in range(metrics_module.MODELS_KEPT * 3):
        metrics.frame(judged(Verdict.OK, model=BundleRef("bottle", str(version))))
    models = {dict(labels).get("model") for _, labels in samples(metrics)} - {None}
    newest = range(metrics_module.MODELS_KEPT * 2, metrics_module.MODELS_KEPT * 3)
    assert models == {f"bottle@{version}" for version in newest}
